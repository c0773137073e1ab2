"""Folders of a stranger's own, named as ours are in a checkout: they are found as before, and the port is graded.

Each row of the table is a folder, plain or a package, with a module named as one of ours, which the port imports.
"""

from pathlib import Path
from typing import Any, Final

import pytest

# A module for each folder that ours has too.
MODULES: Final = {
    "shared": "spec",
    "implementations": "ports",
    "conformance": "plugin",
    "benchmarks": "cli",
    "applications": "cli",
    "tests": "conftest",
}
PORT: Final = """\
from vae_rosetta.shared import oracle

describe, load = oracle.describe, oracle.load
"""
THEIR_TEST: Final = """\
import port

def test_of_their_own(request):
    assert request.config.getoption("--report") == "their own"
"""
# The options of our suite, with another meaning; and settings that would leave our suite without a test.
THEIR_CONFTEST: Final = """\
def pytest_addoption(parser):
    for option in ("--report", "--deviations", "--timeout", "--vae-backend", "--vae-dtype"):
        parser.addoption(option)

def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if item.name == "test_of_their_own"]
"""
THEIR_SETTINGS: Final = "[pytest]\naddopts = --report='their own' --import-mode=importlib\npythonpath = .\n"
GRADE: Final = ("-q", "-k", "test_forward and tiny", "--vae-dtype", "float64")


def repository(folder: Path, names: tuple[str, ...], kind: str) -> Path:
    """A stranger's, with a port that imports a module of each of their folders, and pytest settings of their own."""
    folder.mkdir()
    port = PORT
    for name in names:
        (folder / name).mkdir()
        module = folder / name / f"{MODULES[name]}.py"
        module.write_text(f"MINE = {name!r}\n", encoding="utf-8")
        if kind == "package":
            (folder / name / "__init__.py").touch()
        port += f"from {name} import {MODULES[name]}\nassert {MODULES[name]}.MINE == {name!r}\n"
    files = {"port.py": port, "test_port.py": THEIR_TEST, "conftest.py": THEIR_CONFTEST, "pytest.ini": THEIR_SETTINGS}
    for file, source in files.items():
        (folder / file).write_text(source, encoding="utf-8")
    return folder


def assert_graded(done: Any) -> None:
    """One test has run and passed: the port was imported."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n1 passed, " in done.stdout


@pytest.fixture(params=["wheel", "editable"])
def either(request: pytest.FixtureRequest) -> Any:
    """Both ways to install."""
    return request.getfixturevalue("installed" if request.param == "wheel" else "editable")


KINDS: Final = pytest.mark.parametrize("kind", ["plain folder", "package"])


@KINDS
@pytest.mark.parametrize("name", MODULES)
def test_port_is_graded_beside_a_folder_of_theirs(name: str, kind: str, installed: Any, tmp_path: Path) -> None:
    """By the command, whose script does not lie in the current folder."""
    root = repository(tmp_path / "theirs", (name,), kind)
    assert_graded(installed.run("vae", "conformance", "port", *GRADE, folder=root))


@KINDS
def test_all_six_from_elsewhere(kind: str, either: Any, tmp_path: Path) -> None:
    """On PYTHONPATH, and run in another folder, which has pytest settings too."""
    root = repository(tmp_path / "theirs", tuple(MODULES), kind)
    elsewhere = repository(tmp_path / "elsewhere", (), kind)
    (elsewhere / "port.py").unlink()
    assert_graded(either.run("vae", "conformance", "port", *GRADE, folder=elsewhere, path=root))


@KINDS
def test_all_six_under_their_own_pytest(kind: str, either: Any, tmp_path: Path) -> None:
    root = repository(tmp_path / "theirs", tuple(MODULES), kind)
    done = either.run("python", "-m", "pytest", "-q", folder=root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@KINDS
def test_all_six_from_their_root(kind: str, either: Any, tmp_path: Path) -> None:
    root = repository(tmp_path / "theirs", tuple(MODULES), kind)
    assert_graded(either.run("python", "-m", "vae_rosetta.conformance", "port", *GRADE, folder=root))
