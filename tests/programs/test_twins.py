"""Wrong twins of the ports on the JVM: each has one bug that their users meet, and the suite names it.

`twins.toml` says what is changed in which file. The changed file is compiled beside the port's build, not into it.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

from vae_rosetta.implementations import programs
from vae_rosetta.implementations.ports import Port
from vae_rosetta.shared.bugs import BUGS

HERE: Final = Path(__file__).parent
TWINS: Final[dict[str, dict[str, dict[str, str]]]] = tomllib.loads((HERE / "twins.toml").read_text(encoding="utf-8"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "twin" in metafunc.fixturenames:
        twins = TWINS.get(metafunc.config.getoption("--port"), {})
        metafunc.parametrize("twin", twins.values(), ids=twins.keys())


def test_wrong_twin_is_rejected_and_its_bug_is_named(port: Port, twin: dict[str, str], tmp_path: Path) -> None:
    classes = tmp_path / "classes"
    classes.mkdir()
    _compile(port, _changed(port, twin, tmp_path), classes)
    built = programs.built(port)
    path = f"{classes}{os.pathsep}{built / 'classes'}"
    words = [word.replace(str(built / "classes"), path) for word in _words(port)]
    report = tmp_path / "report.json"
    options = ["--command", shlex.join(words), "--dtype", twin.get("dtype", "float64"), "--report", str(report)]
    grade = [sys.executable, "-m", "vae_rosetta.conformance", *options, "-q", "-k", twin["tests"]]
    done = subprocess.run(grade, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stdout + done.stderr
    certificate: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    said = "\n".join(f"{failure['message']} {failure['explanation']}" for failure in certificate["failures"])
    assert (BUGS[twin["bug"]].what if "bug" in twin else twin["says"]) in said


def _changed(port: Port, twin: dict[str, str], folder: Path) -> Path:
    """The file of the port with the bug in it."""
    file = folder / "source" / twin["file"]
    text = (port.folder / twin["file"]).read_text(encoding="utf-8")
    assert text.count(twin["old"]) == 1, (
        f"{twin['file']}: the words to change are there {text.count(twin['old'])} times"
    )
    file.parent.mkdir(parents=True)
    file.write_text(text.replace(twin["old"], twin["new"]), encoding="utf-8")
    return file


def _words(port: Port) -> list[str]:
    """The command of the port, with Java's argument file, if it has one, written out."""
    words: list[str] = []
    for word in programs.command(port):
        words += shlex.split(Path(word[1:]).read_text(encoding="utf-8")) if word.startswith("@") else [word]
    return words


def _compile(port: Port, file: Path, classes: Path) -> None:
    words = _words(port)
    path = words[words.index("-cp") + 1]
    if file.suffix == ".clj":
        (classes / "vaerosetta").mkdir()
        shutil.copy(file, classes / "vaerosetta")
        return
    compiler = {".java": ["javac"], ".scala": ["java", "-cp", path, "scala.tools.nsc.Main"]}[file.suffix]
    done = subprocess.run(
        [*compiler, "-d", str(classes), "-cp", path, str(file)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
