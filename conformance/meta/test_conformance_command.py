"""The command line: what is graded, the matrix of certificates, and what is refused."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest
from click.testing import CliRunner
from click.testing import Result as Ended

import vae_rosetta
from vae_rosetta.conformance import backend, grade, headroom, matrix, report
from vae_rosetta.conformance.backend import BackendError
from vae_rosetta.conformance.cli import conformance
from vae_rosetta.conformance.meta.strangers import WHOLE, suite
from vae_rosetta.conformance.outcome import Case, Outcome, Result
from vae_rosetta.conformance.report import Report
from vae_rosetta.shared import oracle, spec

ORACLE = "vae_rosetta.shared.oracle"
ROOT = Path(vae_rosetta.__file__).parents[1]


def run(*arguments: str) -> Ended:
    return CliRunner().invoke(conformance, arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-k", "loss"], "got the option '-k'; expected the module's dotted name first, or --command"),
        (["--dtype", "float32"], "got nothing; expected the module's dotted name first, or --command"),
        (["port", "--command", "./port"], "got 'port' and --command; expected one of them"),
        (["port", "--vae-command=./port"], "got 'port' and --command; expected one of them"),
    ],
)
def test_module_or_command_and_not_both(arguments: list[str], message: str) -> None:
    refused = run(*arguments)
    assert (refused.exit_code, refused.stderr) == (2, f"Error: MODULE: {message}\n")


@pytest.mark.parametrize("words", [[], ["matrix"], ["headroom"], ["mixed"], ["audit"]], ids=" ".join)
def test_no_arguments_and_help_print_the_same(words: list[str]) -> None:
    alone, asked, short = run(*words), run(*words, "--help"), run(*words, "-h")
    assert (alone.exit_code, asked.exit_code, short.exit_code) == (2, 0, 0)
    assert alone.stderr == asked.stdout == short.stdout
    assert " ".join(["Usage:", "conformance", *words, "[OPTIONS]"]) in asked.stdout


def test_word_of_a_port_that_cannot_run_says_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    refused = run("torch")
    expected = "MODULE: 'torch' needs torch: not installed; try: pip install 'vae-rosetta[torch]'"
    assert (refused.exit_code, refused.stderr) == (2, f"Error: {expected}\n")


def test_options_reach_pytest_and_the_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    graded: list[list[str]] = []
    monkeypatch.setattr(grade, "run", graded.append)
    ours = ["--report", "a.json", "--report", "a.md", "--dtype", "float32", "--deviations", "d.toml"]
    theirs = ["-k", "loss or help", "-xkh", "-h2", "--junitxml=x.xml", "--tb", "no", "--vae-device", "cpu"]
    assert run("oracle", *theirs[:4], *ours, *theirs[4:]).exit_code == 0
    assert run("--command", "./port -v", "-q", "--timeout", "5").exit_code == 0
    device = ["--vae-device", "auto"]
    assert graded == [
        [
            *("--vae-backend", ORACLE, "--vae-dtype", "float32", "--vae-deviations", "d.toml", *device),
            *("--vae-report", "a.json", "--vae-report", "a.md", *theirs),
        ],
        ["--vae-command", "./port -v", "--vae-timeout", "5.0", *device, "-q"],
    ]


@pytest.mark.parametrize(
    ("code", "ours"),
    [(0, 0), (1, 1), (2, 3), (3, 3), (4, 2), (77, 3)],
)
def test_exit_codes_of_pytest_become_ours(code: int, ours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytest, "main", lambda *_, **__: code)
    assert run("oracle").exit_code == ours


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-k", "nosuchtest"], "the options leave no test to run"),
        (["--nosuch"], "unrecognized arguments: --nosuch"),
        (["--tb=loud"], "argument --tb: invalid choice: 'loud'"),
        (["no/such/file.py"], "file or directory not found: no/such/file.py"),
    ],
)
def test_what_pytest_refuses_is_one_line(options: list[str], message: str, tmp_path: Path) -> None:
    refused = suite(tmp_path, "oracle", "-q", *options)
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].startswith(f"Error: {message}")
    assert len(refused.stderr.splitlines()) == 1
    assert "Traceback" not in refused.stdout


@pytest.mark.parametrize(("module", "command", "got"), [("port", "./port", "both"), (None, None, "neither")])
def test_plugin_wants_exactly_one(module: str | None, command: str | None, got: str) -> None:
    with pytest.raises(BackendError, match=f"got {got} of --vae-backend and --vae-command"):
        backend.find(module, command)


class _Commands(ModuleType):
    """Stands for the module that talks to commands."""

    asked: ClassVar[list[str]] = []

    def backend(self, command: str) -> ModuleType:
        if command == "./gone":
            raise OSError("no such file")
        self.asked.append(command)
        return oracle


def test_command_is_handed_over_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vae_rosetta.shared.process", _Commands("vae_rosetta.shared.process"))
    assert backend.find(None, "java -jar port.jar") is oracle
    assert _Commands.asked == ["java -jar port.jar"]
    with pytest.raises(BackendError, match=r"--vae-command: cannot use './gone': no such file"):
        backend.find(None, "./gone")


def test_module_is_graded_without_the_commands(tmp_path: Path) -> None:
    """The talk to processes is imported for a command alone."""
    (tmp_path / "port.py").write_text(WHOLE, encoding="utf-8")
    source = (
        "import sys\nsys.modules['vae_rosetta.shared.process'] = None\n"
        "from vae_rosetta.conformance.cli import conformance\nconformance()"
    )
    graded = suite(tmp_path, "port", "-q", "-k", "test_loss and tiny", python=("-c", source))
    assert graded.returncode == 0, graded.stdout + graded.stderr


def test_command_that_cannot_be_graded_is_one_line(tmp_path: Path) -> None:
    graded = suite(tmp_path, "--command", f"'{sys.executable}' -c 0", "-q")
    assert graded.returncode == 2
    assert graded.stderr.startswith("Error: --command: cannot use")
    assert "Traceback" not in graded.stdout + graded.stderr


def _certificate(folder: Path, module: str, result: str) -> Path:
    """A certificate in which each clause has one case, with the same result."""
    gathered = Report(report.run_identity({"module": module, "command": None}, oracle, "auto"))
    for clause in spec.CLAUSES:
        gathered.cases[clause] = Case(f"checkpoint/{clause}", "checkpoint", "float32", (clause,))
        gathered.record(clause, Outcome(Result(result), "it is", ability="train", reason="because"))
    path = folder / f"{module}.json"
    path.write_text(json.dumps(gathered.certificate()), encoding="utf-8")
    return path


def test_matrix_has_a_word_for_each_clause_and_backend(tmp_path: Path) -> None:
    results = {"mine.torch_vae": "passed", "mine.jax_vae": "deviating", "keras_vae": "failed", "c_vae": "skipped"}
    paths = [str(_certificate(tmp_path, module, result)) for module, result in results.items()]
    shown = run("matrix", *paths)
    assert shown.exit_code == 1
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["clause", "torch_vae", "jax_vae", "keras_vae", "c_vae"]
    rows = {line.split()[0]: line.split()[1:] for line in lines[1 : 1 + len(spec.CLAUSES)]}
    assert rows == {clause: ["yes", "dev", "NO", "part"] for clause in spec.CLAUSES}
    assert "keras_vae: does not conform" in lines
    assert f"jax_vae: conforms with deviations: 1 declared deviation, {len(spec.CLAUSES)} cases" in lines
    assert max(map(len, lines)) <= matrix.WIDTH


def test_matrix_exits_with_0_where_none_fails(tmp_path: Path) -> None:
    paths = [str(_certificate(tmp_path, module, result)) for module, result in {"a": "passed", "b": "absent"}.items()]
    assert run("matrix", *paths).exit_code == 0


def test_many_backends_are_numbered_and_fit(tmp_path: Path) -> None:
    paths = [str(_certificate(tmp_path, f"my_long_package_{i}.my_long_vae", "passed")) for i in range(7)]
    shown = run("matrix", *paths)
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["clause", *"1234567"]
    assert "  my_long_package_6.my_long_vae" in lines
    assert max(map(len, lines)) <= matrix.WIDTH


def test_other_vectors_are_told(tmp_path: Path) -> None:
    path = _certificate(tmp_path, "a", "passed")
    assert "other vectors" not in run("matrix", str(path)).stdout
    found = json.loads(path.read_text(encoding="utf-8"))
    found["run"]["vectors_sha256"] = "0" * 64
    path.write_text(json.dumps(found), encoding="utf-8")
    shown = run("matrix", str(path))
    assert shown.exit_code == 0
    assert "graded with other vectors than this installation's" in shown.stdout


def test_format_1_is_read(tmp_path: Path) -> None:
    path = _certificate(tmp_path, "a", "absent")
    found = json.loads(path.read_text(encoding="utf-8"))
    former = {**found, "format": 1, "absent": ["train: the model has no train"]}
    path.write_text(json.dumps(former), encoding="utf-8")
    assert run("matrix", str(path)).exit_code == 0
    assert [one.name for one in headroom.read([path])] == ["a"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        ("{", "not JSON"),
        ("[]", "not a certificate"),
        ('{"format": 1}', "not a certificate"),
        ('{"format": 3, "verdict": "", "run": {}, "clauses": []}', "got format 3; expected 1 or 2"),
    ],
)
def test_matrix_refuses_other_files(content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    refused = run("matrix", str(path))
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"Error: {path}: {message}")


def test_a_stranger_keeps_packages_of_the_names_that_ours_have_in_a_checkout(tmp_path: Path) -> None:
    for package in vae_rosetta.PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "shared/mine.py").write_text("from vae_rosetta.shared.oracle import describe, load", encoding="utf-8")
    (tmp_path / "port.py").write_text("from shared.mine import describe, load", encoding="utf-8")
    graded = suite(tmp_path, "port", "-q", "-k", "test_loss and soft-targets")
    assert graded.returncode == 0, graded.stdout + graded.stderr


def test_the_environment_changes_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vae_rosetta.conformance", ORACLE, "-q", "-k", "test_loss and soft-targets"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": "--collect-only", "PYTEST_PLUGINS": "nosuch"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
