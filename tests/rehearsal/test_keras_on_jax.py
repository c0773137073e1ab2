"""A stranger's rehearsal: in a folder of its own, with the installed wheel, `keras_on_jax.py` is graded as any port is.

Run by `nox -s rehearsal`, which installs the wheel, NumPy, safetensors, pytest, Keras and JAX, and nothing else.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

PORT: Final = Path(__file__).with_name("keras_on_jax.py")
EXPECTED: Final = {("probabilities-clipped", "at 1e-07"), ("epsilon-hat", "epsilon is 1e-08")}
Run = tuple[subprocess.CompletedProcess[str], Any]


def _grade(folder: Path, *options: str) -> Run:
    """Grades the port in `folder`; what was printed, and the certificate."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [
        sys.executable,
        "-m",
        "vae_rosetta.conformance",
        PORT.stem,
        "--report",
        "report.json",
        "--report",
        "report.md",
    ]
    run = subprocess.run([*command, *options], cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    print(run.stdout[-6000:], run.stderr)
    return run, json.loads((folder / "report.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the port and what it imports of its own, and nothing else."""
    place = tmp_path_factory.mktemp("stranger")
    shutil.copy(PORT, place)
    shutil.copytree(PORT.with_name("shared"), place / "shared", ignore=shutil.ignore_patterns("__pycache__"))
    return place


@pytest.fixture(scope="module")
def graded(folder: Path) -> Run:
    return _grade(folder)


def test_both_deviations_are_named_by_cause_and_no_other_is(graded: Run) -> None:
    run, found = graded
    assert run.returncode == 1
    assert {(cause["cause"], cause["detail"]) for cause in found["causes"]} == EXPECTED
    for words in ("clause adam, pitfall P16", "clause loss.bce.logits, pitfall P01", "fix: use the loss on logits"):
        assert words in run.stdout
    assert "known causes account for" in run.stdout
    assert "Traceback" not in run.stdout + run.stderr


def test_every_failure_follows_from_the_two(graded: Run, folder: Path) -> None:
    _, found = graded
    explained = {(entry["case"], entry["dtype"]) for cause in found["causes"] for entry in cause["explains"]}
    assert {(entry["case"], entry["dtype"]) for entry in found["failures"]} == explained
    verdicts = {chapter["name"]: chapter["verdict"] for chapter in found["chapters"]}
    assert {name for name, verdict in verdicts.items() if verdict == "conforms"} == {
        *("contract", "forward", "checkpoint", "sampling", "errors")
    }
    at_once = [entry for cause in found["causes"] for entry in cause["explains"] if entry["how"] == "at once"]
    assert at_once, "in some training vectors both act"
    assert "either" not in {entry["how"] for cause in found["causes"] for entry in cause["explains"]}
    assert "\n## Causes\n" in (folder / "report.md").read_text(encoding="utf-8")


def _declaration(found: Any, *, without: str = "", more: str = "") -> str:
    """A file of deviations with an entry for each cause, as the README says; a case of both goes to the first."""
    entries: list[str] = []
    declared: set[str] = set()
    for cause in found["causes"]:
        cases = [f"{entry['case']} in {entry['dtype']}" for entry in cause["explains"]]
        cases = [case for case in cases if case not in declared and case != without]
        declared |= {*cases}
        listed = json.dumps([*cases, *([more] if more and not entries else [])])
        entries.append(f'[[deviation]]\ncase = {listed}\nreason = "stock Keras: {cause["cause"]}"\n')
    return "\n".join(entries)


def test_declared_they_are_told_and_nothing_fails(graded: Run, folder: Path) -> None:
    (folder / "deviations.toml").write_text(_declaration(graded[1]), encoding="utf-8")
    run, found = _grade(folder, "--deviations", "deviations.toml", "-k", "test_vector")
    assert run.returncode == 0
    cases = len(graded[1]["failures"])
    assert f": 2 declared deviations, {cases} cases\n" in run.stdout
    assert (found["counts"]["failed"], found["counts"]["deviating"]) == (0, cases)
    assert {(cause["cause"], cause["detail"]) for cause in found["causes"]} == EXPECTED
    assert "deviates: stock Keras: epsilon-hat: " in run.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"without": "loss/saturated-logits in float64"}, "fails: loss/saturated-logits in float64"),
        ({"more": "forward/tiny"}, "is out of date"),
    ],
    ids=["a case too few", "a case too many"],
)
def test_declaration_is_strict_both_ways(graded: Run, folder: Path, change: dict[str, str], message: str) -> None:
    (folder / "strict.toml").write_text(_declaration(graded[1], **change), encoding="utf-8")
    run, _ = _grade(folder, "--deviations", "strict.toml", "-k", "saturated-logits or (test_forward and tiny)")
    assert run.returncode == 1
    assert message in run.stdout
