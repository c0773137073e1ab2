"""`implementations/programs.py`: a port in another language is built once, and whoever cannot build it is told why."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from vae_rosetta.implementations import ports, programs
from vae_rosetta.implementations.ports import Port, Program

# Copies its source, counts its builds, and fails if the source says so.
BUILD: Final = """
import pathlib, sys, time
source = pathlib.Path("source.txt").read_text()
with open(sys.argv[2], "a") as counted: counted.write("+")
time.sleep(0.2)
if source == "broken": sys.exit("reading\\nsource.txt: line 1: error\\nfor more see the manual")
pathlib.Path(sys.argv[1], "program").write_text(source)
"""


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Port:
    """A port whose program is a copy of its source."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(ports.Port, "folder", tmp_path / "toy_vae")
    for folder in ("toy_vae", "common"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "source.txt").write_text("one", encoding="utf-8")
    build = ("{python}", "-c", BUILD, "{build}", str(tmp_path / "builds"))
    return Port("toy", "Python", "toy", program=Program((), build, ("cat", "{build}/program"), shares=("common",)))


def _builds(tmp_path: Path) -> int:
    return len((tmp_path / "builds").read_text(encoding="utf-8"))


def test_program_is_built_once(port: Port, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = programs.command(port)
    assert words[0] == "cat"
    assert Path(words[1]).is_relative_to(tmp_path / "cache")
    assert Path(words[1]).read_text(encoding="utf-8") == "one"
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("toy: building the port with python")
    assert second.startswith("toy: built in ")
    assert programs.command(port) == words
    assert capsys.readouterr().err == ""
    assert _builds(tmp_path) == 1


@pytest.mark.parametrize("changed", ["toy_vae", "common"])
def test_program_is_built_again_if_a_source_changes(port: Port, tmp_path: Path, changed: str) -> None:
    before = programs.built(port)
    (tmp_path / changed / "source.txt").write_text("two", encoding="utf-8")
    assert programs.built(port) != before
    (tmp_path / changed / "source.txt").write_text("one", encoding="utf-8")
    assert programs.built(port) == before
    assert _builds(tmp_path) == 2


def test_pages_and_tests_are_no_sources(port: Port, tmp_path: Path) -> None:
    before = programs.built(port)
    (tmp_path / "toy_vae/README.md").write_text("two", encoding="utf-8")
    (tmp_path / "toy_vae/src/test").mkdir(parents=True)
    (tmp_path / "toy_vae/src/test/some.txt").write_text("two", encoding="utf-8")
    assert programs.built(port) == before


def test_failed_build_is_one_line_that_quotes_its_log_and_is_tried_again(port: Port, tmp_path: Path) -> None:
    source = tmp_path / "toy_vae/source.txt"
    source.write_text("broken", encoding="utf-8")
    for _ in range(2):
        with pytest.raises(
            OSError, match=r"^toy: .* exit code 1: source.txt: line 1: error \(all of it: .*build\.log\)$"
        ):
            programs.built(port)
    assert _builds(tmp_path) == 2


def test_two_at_once_build_once(port: Port, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(programs.built, [port, port]))) == 1
    assert _builds(tmp_path) == 1


def test_interrupted_build_is_done_anew(port: Port, tmp_path: Path) -> None:
    folder = programs.built(port)
    (folder / "finished").unlink()
    (folder / "left over").touch()
    assert programs.built(port) == folder
    assert not (folder / "left over").exists()


def test_builds_that_nobody_uses_go(port: Port, tmp_path: Path) -> None:
    old = programs.built(port)
    os.utime(old / "finished", (0, 0))
    (tmp_path / "toy_vae/source.txt").write_text("two", encoding="utf-8")
    programs.built(port)
    assert not old.exists()


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is the whole PATH."""
    folder = tmp_path / "jdk/bin"
    folder.mkdir(parents=True)
    monkeypatch.setenv("PATH", str(folder))
    ports._lack.cache_clear()
    yield folder
    ports._lack.cache_clear()


def _command(path: Path, script: str = "") -> None:
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


JDK: Final = Port("toy", "Java", "toy", program=Program(("jdk", "maven"), (), ()))


def test_tools_that_are_missing_are_one_line_each(tools: Path) -> None:
    needs = "needs a Java development kit (JDK), version 17 or later"
    assert JDK.lacks() == f"{needs}: there is no javac on the PATH"
    _command(tools / "javac", "echo javac 1.8.0_402")
    ports._lack.cache_clear()
    assert JDK.lacks() == f"{needs}: {tools / 'javac'} is of version 8"
    (tools.parent / "release").write_text('IMPLEMENTOR="Some"\nJAVA_VERSION="21.0.2"\n', encoding="utf-8")
    ports._lack.cache_clear()
    assert JDK.lacks() == "needs Apache Maven: there is no mvn on the PATH"
    _command(tools / "mvn")
    ports._lack.cache_clear()
    assert JDK.lacks() == ""


def test_program_without_its_tool_is_one_line(tools: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"^backend: 'toy' needs a Java .*: there is no javac on the PATH$"):
        programs.command(JDK)


def test_backend_without_its_tool_is_one_line(tools: Path) -> None:
    assert "c" not in ports.installed()
    with pytest.raises(ModuleNotFoundError, match=r"^backend: 'c' needs make: there is no make on the PATH$"):
        ports.backend("c")


def test_rows_can_be_read_without_anything_installed() -> None:
    code = "import runpy, sys; rows = runpy.run_path('implementations/ports.py'); print(*rows['PORTS'])"
    words = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(words, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.stdout.split() == list(ports.PORTS), done.stderr
