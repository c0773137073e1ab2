"""The ports: one row for each. Whoever needs to know about ports reads the rows, which import no framework.

One word names a port everywhere: its folder `<word>_vae`, its extra in `pyproject.toml`, `--backend <word>`,
`nox -s "conformance(<word>)"`. A row names the packages that a port needs; their least versions are the extra's.
"""

import functools
import importlib
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, cast

if TYPE_CHECKING:  # what is known of a port without importing it costs nothing, not even NumPy
    from vae_rosetta.shared.contract import Backend


class Program(NamedTuple):
    """What answers the requests of `conformance/PROTOCOL.md`, for a port that is not written in Python.

    In these commands {build} stands for the folder that the build fills, {python} for this Python's
    executable and {sep} for what separates the folders of a path.
    """

    tools: tuple[str, ...]  # what both need, of `_TOOLS`
    build: tuple[str, ...]  # the command that builds it, run in the port's folder: see `programs.py`
    run: tuple[str, ...]  # the command that runs it
    shares: tuple[str, ...] = ()  # further folders that it is built from, beside the port's
    test: tuple[str, ...] = ()  # the command that runs the tests that are written in the port's language, in its folder


class Port(NamedTuple):
    """What the project knows of a port: a row."""

    word: str
    language: str
    module: str  # `describe` and `load`: see `shared/contract.py`
    packages: tuple[str, ...] = ()  # beside NumPy, as they are imported and as they are installed
    # Beyond the forward passes and their losses: a model's abilities, as the suite calls them, and dtypes of `load`.
    offers: frozenset[str] = frozenset()
    program: Program | None = None  # what the module runs

    @property
    def folder(self) -> Path:
        """Where its files are; the oracle's are in `shared`."""
        return Path(__file__).with_name(f"{self.word}_vae")

    def missing_packages(self) -> list[str]:
        """The packages that it needs and that are not installed."""
        needed = self.packages if self.program is None else (*self.packages, *_OF_PROGRAMS)
        return [package for package in needed if importlib.util.find_spec(package) is None]

    def lacks_tool(self) -> str:
        """Which tool its program needs and the machine does not have, in one line; empty if there is none."""
        tools = () if self.program is None else self.program.tools
        return next(filter(None, map(_lack, tools)), "")

    def lacks(self) -> str:
        """Why it cannot be used here and what helps, in one line; empty if it can."""
        if lack := self.lacks_tool():
            return lack
        if missing := self.missing_packages():
            extra = self.word if self.packages else "app"
            return f"needs {', '.join(missing)}: not installed; try: pip install 'vae-rosetta[{extra}]'"
        return ""


# What `programs.py` imports, beside NumPy: packages of the extra `app`.
_OF_PROGRAMS: Final = ("filelock", "platformdirs", "rich")


class _Tool(NamedTuple):
    """What a program's build needs on the machine."""

    command: str
    words: str  # for messages
    least: int = 0  # the first number of its version


_TOOLS: Final[Mapping[str, _Tool]] = MappingProxyType(
    {
        "make": _Tool("make", "make"),
        "cc": _Tool("cc", "a C compiler"),
        "jdk": _Tool("javac", "a Java development kit (JDK), version 17 or later", 17),
        "maven": _Tool("mvn", "Apache Maven"),
    }
)


@functools.cache
def _lack(tool: str) -> str:
    """Why `tool` cannot be used here, in one line; empty if it can."""
    command, words, least = _TOOLS[tool]
    path = shutil.which(command)
    if path is None:
        return f"needs {words}: there is no {command} on the PATH"
    if least and (version := _java_version(Path(path))) < least:
        return f"needs {words}: {path} is of version {version}"
    return ""


def _java_version(javac: Path) -> int:
    """The first number of a JDK's version: 8 of 1.8.0, 17 of 17.0.15."""
    release = javac.resolve().parents[1] / "release"  # says it sooner than the compiler, which takes half a second
    if release.is_file():
        text = release.read_text(encoding="utf-8", errors="replace")
    else:
        done = subprocess.run([str(javac), "-version"], capture_output=True, text=True, check=False)
        text = done.stdout + done.stderr
    found = re.search(r'(?:JAVA_VERSION="|javac )(?:1\.)?(\d+)', text)
    return int(found[1]) if found else 0


FULL: Final = frozenset({"train", "sample", "loss_on_probabilities", "float64"})
MIXED: Final = "mixed_bfloat16"


def _maven(*main: str) -> Program:
    """A program on the JVM that Maven builds: the words after the class path, and the flags that ND4J needs."""
    maven = ("mvn", "--batch-mode", "--no-transfer-progress", "-Dvae.build={build}")
    java = ("java", "--add-opens=java.base/java.nio=ALL-UNNAMED", "-cp", "{build}/classes{sep}{build}/lib/*")
    return Program(("jdk", "maven"), (*maven, "process-classes"), (*java, *main), ("jvm",), (*maven, "test"))


_HERE: Final = "vae_rosetta.implementations"
_MAKE: Final = Program(("make", "cc"), ("make", "BUILD={build}"), ("{build}/vae-c",))
_MAIN: Final = "vaerosetta.spark.Main"
_SPARK: Final = Program(("jdk",), ("{python}", "build.py", "{build}"), ("java", "@{build}/java.args", _MAIN), ("jvm",))
_ROWS: Final = (  # the first that can be used is the default
    Port("torch", "Python", f"{_HERE}.torch_vae", ("torch",), FULL | {MIXED}),
    Port("tensorflow", "Python", f"{_HERE}.tensorflow_vae", ("tensorflow", "keras"), FULL | {MIXED}),
    Port("jax", "Python", f"{_HERE}.jax_vae", ("jax", "flax", "optax"), FULL | {MIXED}),
    Port("oracle", "Python", "vae_rosetta.shared.oracle", (), FULL),
    Port("c", "C", f"{_HERE}.c_vae", (), frozenset({"train", "float64"}), _MAKE),
    Port("java", "Java", f"{_HERE}.java_vae", (), FULL, _maven("vaerosetta.dl4j.Main")),
    Port("clojure", "Clojure", f"{_HERE}.clojure_vae", (), FULL, _maven("clojure.main", "-m", "vaerosetta.main")),
    Port("scala", "Scala", f"{_HERE}.scala_vae", ("pyspark",), FULL, _SPARK),
)
PORTS: Final[Mapping[str, Port]] = MappingProxyType({port.word: port for port in _ROWS})
# What the demonstration compares and the benchmark measures if none is named: neither the reference, nor programs, each
# request to which goes through files.
FRAMEWORKS: Final = tuple(port for port in _ROWS if port.word != "oracle" and port.program is None)


def installed() -> list[str]:
    """The ports that can be used here, told without importing them; `oracle` is always among them."""
    return [port.word for port in PORTS.values() if not port.lacks()]


def module_of(name: str) -> str:
    """The dotted name of the module that a port's word stands for; any other name is a module's own.

    Raises:
        ModuleNotFoundError: the port cannot be used here; the message says what helps.
    """
    if name not in PORTS:
        return name
    if lacks := PORTS[name].lacks():
        raise ModuleNotFoundError(f"MODULE: {name!r} {lacks}")
    return PORTS[name].module


def backend(name: str) -> "Backend":
    """The module of backend `name`, imported now.

    Raises:
        ValueError: unknown name; the message lists the known ones.
        ModuleNotFoundError: its framework is not installed, or its program not built; the message says what helps.
    """
    if name not in PORTS:
        raise ValueError(f"backend: got {name!r}; expected one of {', '.join(PORTS)}")
    if lacks := PORTS[name].lacks():
        raise ModuleNotFoundError(f"backend: {name!r} {lacks}")
    return cast("Backend", importlib.import_module(PORTS[name].module))
