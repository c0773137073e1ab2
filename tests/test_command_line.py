"""The `vae` command as a whole: help, version, the list of backends, and how errors end."""

import importlib.metadata
import importlib.util
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from vae_rosetta.applications import training
from vae_rosetta.applications.cli import vae
from vae_rosetta.applications.errors import OneLineErrors
from vae_rosetta.implementations.ports import PORTS, Port

ROOT = Path(__file__).parents[1]
HEAVY = {"numpy", "matplotlib", "PIL", "rich", "mlxtend", "pooch"}.union(*(port.packages for port in PORTS.values()))


def run_vae(*arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, "-m", "vae_rosetta.applications", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["generate", "--help"], ["report", "--help"]], ids=" ".join
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    done = run_vae(*arguments, options=("-X", "importtime"))
    imported = set(re.findall(r"^import time:.*\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert done.returncode == 0
    assert {"vae_rosetta.applications.cli", "click"} <= imported, "the list of imports was not read"
    assert not {name.partition(".")[0] for name in imported} & HEAVY


def test_help_answers_within_half_a_second() -> None:
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        assert run_vae("train", "--help").returncode == 0
        seconds.append(time.perf_counter() - started)
    assert statistics.median(seconds) < 0.5


def test_without_click_the_cure_is_told() -> None:
    code = "import sys; sys.modules['click'] = None; import applications.cli"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "Error: the vae command needs click; try: pip install 'vae-rosetta[app]'\n",
    )


def test_version_names_the_specification_too() -> None:
    result = CliRunner().invoke(vae, ["--version"])
    assert re.fullmatch(r"vae-rosetta \S.*, specification \d+\.\d+\n", result.output)


def test_backends_tells_how_to_install_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    monkeypatch.setattr(Port, "folder", Path("nowhere"))
    result = CliRunner(env={"COLUMNS": "80"}).invoke(vae, ["backends"])
    lines = [line.rstrip() for line in result.output.splitlines()]
    table = [line.split() for line in lines[: len(PORTS) + 1]]
    assert [row[0] for row in table] == ["backend", *PORTS]
    assert table[list(PORTS).index("oracle") + 1][:4] == [
        "oracle",
        "Python",
        "numpy",
        importlib.metadata.version("numpy"),
    ]
    assert table[list(PORTS).index("c") + 1] == ["c", "C", "no", "yes", "no", "yes", "no"]
    assert lines[len(PORTS) + 1 :] == [
        "torch needs torch: not installed; try: pip install 'vae-rosetta[torch]'",
        "tensorflow needs tensorflow, keras: not installed; try: pip install 'vae-rosetta[tensorflow]'",
        "jax needs jax, flax, optax: not installed; try: pip install 'vae-rosetta[jax]'",
        "c is not built; run: cd nowhere && make",
    ]


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("seed: got -1; expected 0 or more"), 2, "Error: seed: got -1; expected 0 or more"),
        (TypeError("x: got list"), 2, "Error: x: got list"),
        (FileNotFoundError(2, "No such file or directory", "x.npy"), 2, "Error: x.npy: No such file or directory"),
        (ModuleNotFoundError("needs jax"), 2, "Error: needs jax"),
        (
            ModuleNotFoundError("No module named 'PIL'"),
            2,
            "Error: No module named 'PIL'; try: pip install 'vae-rosetta[app]'",
        ),
        (OSError(28, "No space left on device", "w"), 1, "Error: w: No space left on device"),
        (FloatingPointError("not finite"), 1, "Error: not finite"),
        (ValueError("first line\nsecond line"), 2, "Error: first line [...]"),
        (MemoryError(), 1, "Error: MemoryError"),
        (KeyboardInterrupt(), 130, "Interrupted."),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_errors_are_one_line_and_an_exit_code(error: BaseException, code: int, line: str) -> None:
    result = CliRunner().invoke(failing_with(error))
    assert (result.exit_code, result.stderr, result.stdout) == (code, line + "\n", "")


def test_other_errors_are_bugs_and_keep_their_traceback() -> None:
    result = CliRunner().invoke(failing_with(KeyError("bug")))
    assert isinstance(result.exception, KeyError)


def test_traceback_shows_where_an_error_arose(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    error = ValueError("deep inside")
    monkeypatch.setattr(training, "start", lambda *_, **__: (_ for _ in ()).throw(error))
    arguments = ["train", "--backend", "oracle", "--out", str(tmp_path / "run")]
    assert CliRunner().invoke(vae, ["--traceback", *arguments]).exception is error
    assert CliRunner().invoke(vae, arguments).stderr == "Error: deep inside\n"


def test_a_reader_that_had_enough_ends_the_command_quietly() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "vae_rosetta.applications", "backends"]
    with os.fdopen(write_end, "wb") as closed_pipe:
        done = subprocess.run(command, cwd=ROOT, stdout=closed_pipe, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")


def failing_with(error: BaseException) -> click.Command:
    """A command that raises `error`."""

    @click.command(cls=OneLineErrors)
    def command() -> None:
        raise error

    return command
