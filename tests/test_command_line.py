"""The `vae` command as a whole: all verbs and their help, version, the list of backends, and how errors end."""

import importlib.metadata
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from vae_rosetta import PACKAGES
from vae_rosetta.applications import training
from vae_rosetta.applications.cli import vae
from vae_rosetta.implementations import ports
from vae_rosetta.implementations.ports import PORTS
from vae_rosetta.shared.command_line import EXIT_CODES, Command, CommandWithOthers, Group

ROOT = Path(__file__).parents[1]
HEAVY = {"numpy", "matplotlib", "PIL", "rich", "mlxtend", "pooch"}.union(*(port.packages for port in PORTS.values()))


def run_vae(*arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, "-m", "vae_rosetta.applications", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def every_command(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """A command and all below it, by what a user types."""
    yield name, command
    below: click.Command = command.others if isinstance(command, CommandWithOthers) else command
    if not isinstance(below, Group):
        return
    for word in below.list_commands(click.Context(below)):
        found = below.find(word)
        assert found is not None
        yield from every_command(found, f"{name} {word}")


COMMANDS = dict(every_command(vae, "vae"))


def test_all_verbs_are_commands() -> None:
    assert {
        *("vae", "vae train", "vae generate", "vae evaluate", "vae score", "vae compress", "vae decompress"),
        *("vae report", "vae backends", "vae conformance", "vae audit", "vae bench"),
        *(f"vae evaluate {word}" for word in ("samples", "anomaly", "compression")),
        *(f"vae conformance {word}" for word in ("matrix", "headroom", "mixed", "audit")),
        *(f"vae bench {word}" for word in ("compare", "show")),
    } == {*COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_sentences(name: str) -> None:
    command = COMMANDS[name]
    assert isinstance(command, Command), "the errors of a command are its class's"
    paragraphs = [part.strip() for part in (command.help or "").split("\n\n")]
    assert paragraphs[0].endswith(".")
    assert "..." not in command.get_short_help_str(limit=70), "the list of commands has room for 70 columns"
    helps = {p.name: p.help or "" for p in command.params if isinstance(p, click.Option)}
    for option, text in helps.items():
        words = re.sub(r"  \[default: .*\]$", "", text)
        assert re.fullmatch(r"[A-Z][a-z]+ .*\.", words, re.DOTALL), f"{option}: {text!r} is no sentence"
        assert not words.startswith(("Of ", "As ", "For "))


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_the_terminal(name: str, columns: int) -> None:
    runner = CliRunner(env={"COLUMNS": str(columns)})
    shown = runner.invoke(COMMANDS[name], ["--help"], prog_name=name).output.partition("\nExamples:")[0]
    as_it_stands = ("|", "(n", "(2", "  class-means", "  traversal", "  samples  ", "  manifold")  # choices; a table
    long = [line for line in shown.splitlines() if len(line) > columns and not any(s in line for s in as_it_stands)]
    assert not long


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_commands_that_parse(name: str) -> None:
    """Every option of an example exists, and every command needs no more than what it shows."""
    command = COMMANDS[name]
    assert isinstance(command, Command)
    for example in command.examples:
        words = shlex.split(example)
        assert words[0] == "vae"
        assert len(example) <= 78, "two columns are its indentation"
        context = vae.make_context("vae", words[1:])
        _, found, rest = vae.resolve_command(context, words[1:])
        assert found is not None
        found.make_context(words[1], rest, parent=context)


def test_help_of_vae_has_the_exit_codes() -> None:
    shown = " ".join(CliRunner().invoke(vae, ["--help"]).output.partition("Exit codes:")[2].split())
    assert shown == " ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items())


def test_help_of_all_commands_imports_nothing_heavy() -> None:
    words = json.dumps([name.split()[1:] for name in COMMANDS])
    source = "from vae_rosetta.applications.cli import vae\n"
    source += f"for words in {words}:\n    vae.main([*words, '--help'], 'vae', standalone_mode=False)"
    command = [sys.executable, "-X", "importtime", "-c", source]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    imported = set(re.findall(r"^import time:.*\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert done.returncode == 0
    assert len(re.findall(r"^Usage: vae", done.stdout, re.MULTILINE)) == len(COMMANDS)
    assert {"vae_rosetta.applications.cli", "click"} <= imported, "the list of imports was not read"
    assert not {name.partition(".")[0] for name in imported} & HEAVY


def test_help_takes_less_than_half_a_second() -> None:
    """Of the processor: other work on the machine does not count."""
    before = os.times()
    assert run_vae("train", "--help").returncode == 0
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 0.5


def test_version_names_the_specification_too() -> None:
    result = CliRunner().invoke(vae, ["--version"])
    assert re.fullmatch(r"vae-rosetta \S.*, specification \d+\.\d+\n", result.output)


def test_backends_tells_how_to_install_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(ports, "_lack", ports._lack.__wrapped__)
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
    cures = lines[len(PORTS) + 1 :]
    assert len(cures) == sum(1 for port in PORTS.values() if port.packages or port.program)
    assert "jax needs jax, flax, optax: not installed; try: pip install 'vae-rosetta[jax]'" in cures
    assert "c needs make: there is no make on the PATH" in cures


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
    assert result.exit_code == 3
    assert result.stderr.startswith("Traceback")
    assert result.stderr.splitlines()[-1] == "Error: KeyError: 'bug'; this is a bug of vae-rosetta"


@pytest.mark.parametrize("place", [0, 1], ids=["before the command", "after the command"])
def test_traceback_shows_where_an_error_arose(place: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    error = ValueError("deep inside")
    monkeypatch.setattr(training, "start", lambda *_, **__: (_ for _ in ()).throw(error))
    arguments = ["train", "--backend", "oracle", "--out", str(tmp_path / "run")]
    assert CliRunner().invoke(vae, arguments).stderr == "Error: deep inside\n"
    arguments.insert(place, "--traceback")
    result = CliRunner().invoke(vae, arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("Traceback")
    assert result.stderr.endswith("ValueError: deep inside\nError: deep inside\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["trian"], "No such command 'trian'.* See: vae --help"),
        (["train", "--epoch", "3"], "No such option '?--epoch'?.* See: vae train --help"),
        (["evaluate"], "Missing option '--weights'. See: vae evaluate --help"),
        (["evaluate", "--seed", "1", "samples"], "Missing option '--weights'. See: vae evaluate --help"),
        (["bench", "compare", "a", "b", "c"], "Got unexpected extra argument .* See: vae bench compare --help"),
        (
            ["generate", "--kind", "cats"],
            "Invalid value for '--kind': 'cats' is not one of .* See: vae generate --help",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_usage_is_one_line(arguments: list[str], line: str) -> None:
    result = CliRunner().invoke(vae, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(f"Error: {line}\n", result.stderr)


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("conformance", ["matrix", "no.json"]),
        ("conformance", ["no_such_module", "-q"]),
        ("benchmarks", ["show", "no.json"]),
        ("applications", ["generate", "--weights", "no"]),
    ],
)
def test_modules_are_the_same_commands(package: str, arguments: list[str], tmp_path: Path) -> None:
    verbs = {"conformance": ["conformance"], "benchmarks": ["bench"], "applications": []}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def end(*words: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    code, out, error = end("-m", f"vae_rosetta.{package}", *arguments)
    assert (code, out, error.count("\n"), error[:7]) == (2, "", 1, "Error: ")
    assert end("-m", "vae_rosetta.applications", *verbs[package], *arguments) == (code, out, error)
    assert end("-m", package, *arguments) == (code, out, error), "the short name, from a checkout"


# What pip makes of the entry point `vae`: a script in a folder of its own, which is the first of Python's path.
SCRIPT = """
import sys
from vae_rosetta.applications.cli import main
if __name__ == "__main__":
    sys.exit(main())
"""


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The installed `vae`, run in the folder "theirs", which holds a stranger's packages named as ours."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/vae").write_text(SCRIPT, encoding="utf-8")
    for package in PACKAGES:
        (tmp_path / "theirs" / package).mkdir(parents=True)
        (tmp_path / "theirs" / package / "__init__.py").touch()
    theirs = "from vae_rosetta.shared.oracle import describe, load"
    (tmp_path / "theirs/shared/mine.py").write_text(theirs, encoding="utf-8")
    (tmp_path / "theirs/port.py").write_text("from shared.mine import describe, load", encoding="utf-8")

    def run(*arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *options, str(tmp_path / "bin/vae"), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            command, cwd=tmp_path / "theirs", env=environment, capture_output=True, text=True, check=False
        )

    return run


def test_installed_command_grades_a_module_of_the_current_folder(
    script: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    graded = script("conformance", "port", "-q", "-k", "test_loss and soft-targets")
    assert graded.returncode == 0, graded.stdout + graded.stderr
    assert "2 passed" in graded.stdout


def test_installed_command_audits_a_function_of_the_current_folder(
    script: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "theirs/benchmarks/losses.py").write_text(
        "from vae_rosetta.conformance.meta.wrong_losses import right_sum", encoding="utf-8"
    )
    audited = script("audit", "benchmarks.losses:right_sum")
    assert audited.returncode == 0, audited.stdout + audited.stderr


def test_installed_command_measures_a_module_of_the_current_folder(
    script: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """The gate finds it, in a process of its own, as every worker is."""
    (tmp_path / "theirs/half.py").write_text("from shared.mine import describe", encoding="utf-8")
    refused = script("bench", "half", "--data", "mnist-5k", "--quick", "--no-peers")
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        "refused: half cannot be graded: MODULE: 'half' has no function load(); see shared/contract.py",
        "Error: not measured: half",
    ]


def test_python_that_keeps_the_current_folder_out_does_so_for_the_command_too(
    script: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    refused = script("conformance", "port", options=("-P",))
    assert (refused.returncode, refused.stderr) == (
        2,
        "Error: MODULE: cannot import 'port': ModuleNotFoundError: No module named 'port'\n",
    )


def test_a_reader_that_had_enough_ends_the_command_quietly() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "vae_rosetta.applications", "backends"]
    with os.fdopen(write_end, "wb") as closed_pipe:
        done = subprocess.run(command, cwd=ROOT, stdout=closed_pipe, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")


def failing_with(error: BaseException) -> click.Command:
    """A command that raises `error`."""

    @click.command(cls=Command)
    def command() -> None:
        raise error

    return command
