"""Builds the port: `python build.py BUILD` leaves BUILD/vae.jar, and flags and class path in BUILD/java.args.

It needs a JDK and pip's pyspark, which carries Spark, Breeze and the Scala compiler.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
LEAST_JAVA = 17
SCALA_OPTIONS = ("-release", str(LEAST_JAVA), "-deprecation", "-feature", "-Xlint", "-Werror")
# Loops over arrays are written once, as methods that take a function: the compiler puts both where they are called.
INLINING = ("-opt:inline:vaerosetta.spark.**", "-Wopt")
# Spark asks for Java's vector module itself. The system's BLAS would decide speed and last digits: README.md.
JAVA_FLAGS = ("-Ddev.ludovic.netlib.blas.allowNative=false",)


def main(build: Path) -> None:
    jars, java = jars_of_pyspark(), jdk()
    classes = build / "classes"
    shutil.rmtree(classes, ignore_errors=True)
    classes.mkdir(parents=True)
    libraries = f"{jars}{os.sep}*"
    both = f"{classes}{os.pathsep}{libraries}"
    shared = sorted(HERE.parent.glob("jvm/src/main/java/**/*.java"))
    run([java["javac"], "--release", str(LEAST_JAVA), "-cp", libraries, "-d", classes, *shared])
    sources = sorted(HERE.glob("src/main/scala/**/*.scala"))
    compiler = [java["java"], "-Xss8m", "-cp", libraries, "scala.tools.nsc.Main"]
    every = os.pathsep.join([str(classes), *map(str, sorted(jars.glob("*.jar")))])  # it knows no wildcards
    run([*compiler, *SCALA_OPTIONS, *INLINING, "-classpath", every, "-d", classes, *sources])
    run([java["jar"], "--create", "--file", build / "vae.jar", "-C", classes, "."])  # what a cluster's workers are sent
    spark = run([java["java"], "-cp", both, "vaerosetta.spark.Flags"]).split()  # what Spark opens of Java's modules
    shutil.copy(HERE / "src/main/resources/log4j2.properties", build)
    words = [*spark, *JAVA_FLAGS, f"-Dlog4j2.configurationFile={build / 'log4j2.properties'}", "-cp", both]
    (build / "java.args").write_text("\n".join(map(quoted, words)) + "\n", encoding="utf-8")


def jars_of_pyspark() -> Path:
    """The folder of Spark's jars."""
    found = importlib.util.find_spec("pyspark")
    if found is None or not found.submodule_search_locations:
        sys.exit("scala: needs pyspark: not installed; try: pip install 'vae-rosetta[scala]'")
    jars = Path(found.submodule_search_locations[0]) / "jars"
    if not any(jars.glob("scala-compiler-*.jar")):
        sys.exit(f"scala: got no Scala compiler in {jars}; expected the jars of pip's pyspark")
    return jars


def jdk() -> dict[str, str]:
    """Where Java's tools are."""
    needs = f"scala: needs a Java development kit (JDK), version {LEAST_JAVA} or later"
    found = {}
    for tool in ("java", "javac", "jar"):
        path = shutil.which(tool)
        if path is None:
            sys.exit(f"{needs}: there is no {tool} on the PATH")
        found[tool] = path
    version = run([found["javac"], "-version"]).strip()
    number = re.search(r"\d+", version)
    if number is None or int(number[0]) < LEAST_JAVA:
        sys.exit(f"{needs}: {found['javac']} is {version}")
    return found


def run(words: Sequence[str | Path]) -> str:
    """What a command prints to stdout; if it fails, its exit code is ours."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}scala: {Path(words[0]).name} ended with exit code {done.returncode}")
    return done.stdout


def quoted(word: str) -> str:
    """A word as it is written in a file of Java's arguments."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python build.py BUILD")
    main(Path(sys.argv[1]).resolve())
