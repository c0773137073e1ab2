"""Every mutant is rejected by the vectors that claim it, the true oracle by none; and the tools that prove it can fail.

What only the chapters' tests see is proved by `nox -s mutants`, which runs them all; here it is a few of each kind.
"""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from click.testing import CliRunner

import vae_rosetta
from vae_rosetta.conformance.meta import __main__ as command
from vae_rosetta.conformance.meta import kill, pitfalls, seeds
from vae_rosetta.conformance.meta.mutants import MUTANTS
from vae_rosetta.conformance.meta.mutants.base import Mutant, both, fresh_subject, light, on, on_arithmetic, on_method
from vae_rosetta.shared import checks, oracle, spec
from vae_rosetta.shared.bugs import BUGS
from vae_rosetta.shared.vectors import operations
from vae_rosetta.shared.vectors.flags import FLAGS

SEEN_BY_VECTORS: Final = [mutant for mutant in MUTANTS if mutant.vectors]
TRUE: Final = Mutant("kl-sign", "left out", ("loss/tiny",), on("encode", lambda true, *given: true(*given)))


@pytest.mark.parametrize("mutant", SEEN_BY_VECTORS, ids=lambda mutant: mutant.name)
def test_mutant_is_rejected(mutant: Mutant) -> None:
    verdict = kill.judge(mutant._replace(rejected_by=light(mutant)))
    assert verdict.sound, f"silent: {verdict.silent}; rejecting though they must not: {verdict.strangers}"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", kill.VECTORS)
def test_true_oracle_passes(name: str, dtype: str) -> None:
    assert not kill.rejects(kill.VECTORS[name], fresh_subject(), dtype)


def test_port_that_flushes_subnormals_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What hardware may do (pitfall P23) is no bug, though the vectors' own answers hold subnormal numbers."""
    smallest = np.finfo(np.float32).tiny
    vectors = {name: vector for name, vector in kill.VECTORS.items() if vector.operation not in operations.DRAWS}
    answers = [answer for vector in vectors.values() for answer in vector.expected.values() if answer.dtype.kind == "f"]
    assert any(((answer != 0) & (np.abs(answer) < smallest)).any() for answer in answers)

    def flushed(true: Any, *given: Any, **options: Any) -> Any:
        value = true(*given, **options)
        return np.where(np.abs(value) < smallest, np.zeros_like(value), value)

    subject = fresh_subject()
    operators = [on_arithmetic(name, flushed) for name in ("rounded", "matmul", "sum")]
    both(*operators, on_method("_out", flushed), on("_real", flushed))(subject, monkeypatch)
    assert not [name for name, vector in vectors.items() if kill.rejects(vector, subject, "float32")]


def test_every_flag_has_a_mutant_that_a_vector_with_it_rejects() -> None:
    proven = {
        flag for m in MUTANTS for name in m.vectors for flag in kill.VECTORS[name].flags if m.bug in FLAGS[flag].bugs
    }
    assert proven == set(FLAGS)


def test_every_mutant_is_in_order() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 60
    tests = _chapter_tests()
    for mutant in MUTANTS:
        assert mutant.bug in BUGS
        assert not re.search(r"[`|\n]|\.$", mutant.variant), mutant.name
        assert mutant.rejected_by, mutant.name
        assert set(mutant.vectors) <= set(kill.VECTORS), mutant.name
        assert set(mutant.chapter_tests) <= set(tests), mutant.name
        assert len(mutant.vectors) == 1 or not mutant.alone, mutant.name


def test_every_bug_has_a_mutant_or_a_reason() -> None:
    assert {bug.id for bug in BUGS.values() if not bug.no_mutant} == {mutant.bug for mutant in MUTANTS}


def test_every_clause_that_a_test_stands_on_has_a_mutant() -> None:
    marked = {clause for clauses in _chapter_tests().values() for clause in clauses}
    stood_on = marked | {clause for vector in kill.VECTORS.values() for clause in vector.clauses}
    assert set(spec.CLAUSES) == stood_on == {BUGS[mutant.bug].clause for mutant in MUTANTS}


def test_page_of_pitfalls_is_up_to_date() -> None:
    assert pitfalls.PAGE.read_text(encoding="utf-8") == pitfalls.page(), (
        "run: python -m vae_rosetta.conformance.meta pitfalls"
    )


def _chapter_tests() -> dict[str, tuple[str, ...]]:
    """The clauses that each test of the chapters stands on, read from the source."""
    found: dict[str, tuple[str, ...]] = {}
    for path in sorted((kill.SUITE / "chapters").glob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        marks = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and "mark.clause" in ast.unparse(node)]
        clauses = tuple(str(a.value) for mark in marks for a in mark.args if isinstance(a, ast.Constant))
        tests = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
        found |= {f"{path.stem.removeprefix('test_')}::{name}": clauses for name in tests}
    return found


def test_a_survivor_is_reported(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "matrix.md"
    assert command.report([TRUE], page) == 1
    assert "kl-sign (left out): SURVIVES; claimed by loss/tiny, which does not reject it" in capsys.readouterr().out
    assert "0 of 1 mutants rejected" in page.read_text(encoding="utf-8")


def test_a_claim_that_does_not_hold_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    negative = next(mutant for mutant in MUTANTS if mutant.name == "kl-sign")
    claimed = negative._replace(rejected_by=("loss/tiny", "forward/tiny"))
    assert command.report([claimed]) == 1
    assert "claimed by forward/tiny, which does not reject it" in capsys.readouterr().out
    alone = negative._replace(rejected_by=("loss/tiny",), alone=True)
    assert command.report([alone]) == 1
    assert "rejected by loss/full too, though only loss/tiny is said to" in capsys.readouterr().out


@pytest.mark.parametrize(("options", "code"), [(["--filter", "kl-sign"], 0), (["--filter", "no such mutant"], 2)])
def test_matrix_from_any_directory(options: list[str], code: int, tmp_path: Path) -> None:
    run = _python("-m", "vae_rosetta.conformance.meta", *options, directory=tmp_path)
    assert run.returncode == code, run.stdout + run.stderr
    assert "1 of 1 mutants rejected" in run.stdout or "--filter: got 'no such mutant'" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_test_that_rejects_the_true_oracle_is_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kill, "rejects", lambda vector, backend, dtype: True)
    assert kill.false_alarms([TRUE]) == ["loss/tiny (float32)"]
    assert command.report([TRUE]) == 1
    assert "FALSE ALARM: loss/tiny (float32) rejects the true oracle" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_such_vae"], "MODULE: cannot import 'no_such_vae'"),
        (["json"], "MODULE: 'json' has no"),
        (["oracle", "--seeds", "0"], "'--seeds': 0 is not in the range x>=1."),
    ],
)
def test_seeds_that_cannot_be_run_are_bad_input(arguments: list[str], message: str) -> None:
    ended = CliRunner().invoke(command.main, ["seeds", *arguments])
    assert ended.exit_code == 2
    assert message in ended.stderr


def test_seeds_report_alarms_and_cost() -> None:
    ended = CliRunner().invoke(command.main, ["seeds", "vae_rosetta.shared.oracle", "--seeds", "1", "--first", "7"])
    assert ended.exit_code == 0
    assert "vae_rosetta.shared.oracle: 1 seeds, 0 alarms" in ended.stdout


def test_fresh_seeds_raise_no_alarm_on_the_oracle_and_one_on_a_mutant() -> None:
    alarms, headroom = seeds.run(oracle, range(2))
    assert not alarms
    assert max(headroom.values()) < 1.0
    wrong = fresh_subject()
    wrong.spec = type("Spec", (), {**vars(spec), "LEARNING_RATE": 1.001e-3})
    assert seeds.run(wrong, range(1))[0]


def test_fresh_seeds_grade_load_and_load_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first seed trains the models that were loaded, the second those that took up its state."""
    forgetful = fresh_subject()
    next(mutant for mutant in MUTANTS if mutant.name == "state-not-restored (the step)").patch(forgetful, monkeypatch)
    alarms, _ = seeds.run(forgetful, range(2))
    assert len(alarms) == len(seeds.SIZES) * len(checks.DTYPES)
    assert all(re.match(r"ALARM: seed 1, .*: (objective|state)", alarm) for alarm in alarms)
    rounding = fresh_subject()
    true = rounding.load
    rounding.load = lambda params, **kind: true({k: v.astype(np.float16).astype(v.dtype) for k, v in params.items()})
    assert all(": loaded." in alarm for alarm in seeds.run(rounding, range(1))[0])


PORT = """
import numpy as np
from vae_rosetta.shared import oracle
from vae_rosetta.shared.oracle import describe

def load(params, *, dtype="float32", device="auto"):
    return Port(oracle.load(params, dtype=dtype, device=device))

class Port:
    def __init__(self, model):
        self._model = model
    def __getattr__(self, name):
        return getattr(self._model, name)
    def losses(self, x, noise):
        losses = self._model.losses(x, noise)
        mu, logvar = self._model.encode(x)
        logits = self._model.decode(self._model.reparameterize(mu, logvar, noise))
        with np.errstate(all="ignore"):
            log_p = -np.log1p(np.exp(-logits))
            log_q = np.log(-np.expm1(log_p))
        return losses._replace(reconstruction=-(x * log_p + (1 - x) * log_q).sum(axis=1).astype(logits.dtype))
"""


def _python(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    root = str(Path(vae_rosetta.__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=directory, env=environment, capture_output=True, text=True, timeout=600
    )


def _run_suite(module: str, directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return _python("-m", "vae_rosetta.conformance", module, "-q", "--no-header", *options, directory=directory)


def test_suite_rejects_a_strangers_wrong_port_from_any_directory(tmp_path: Path) -> None:
    (tmp_path / "log_of_sigmoid_vae.py").write_text(PORT, encoding="utf-8")
    (tmp_path / "conftest.py").write_text("raise SystemExit('a stranger has settings of their own')", encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --collect-only\n", encoding="utf-8")
    run = _run_suite("log_of_sigmoid_vae", tmp_path, "-k", "loss and vector")
    assert run.returncode == 1, run.stdout + run.stderr
    assert "\nfails: loss/saturated-logits in float32" in run.stdout
    assert "reconstruction[" in run.stdout


def test_suite_accepts_the_oracle_from_any_directory(tmp_path: Path) -> None:
    run = _run_suite("vae_rosetta.shared.oracle", tmp_path, "-k", "loss or contract", "--vae-dtype", "float64")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "headroom" in run.stdout
    assert not list(tmp_path.iterdir()), "the suite writes nothing into a stranger's directory"


@pytest.mark.parametrize(
    ("module", "message"),
    [("no_such_vae", "cannot import 'no_such_vae'"), ("json", "has no function describe()")],
)
def test_module_that_cannot_be_graded_is_an_error(module: str, message: str, tmp_path: Path) -> None:
    run = _run_suite(module, tmp_path)
    assert run.returncode == 2
    assert message in run.stdout + run.stderr


def test_partial_port_is_graded_on_what_it_has(tmp_path: Path) -> None:
    forward_only = PORT.replace("getattr(self._model, name)", "getattr(self._model, _known(name))").replace(
        "    def losses", "    def _losses"
    )
    forward_only += (
        "\ndef _known(name):\n"
        "    if name in ('params', 'encode', 'reparameterize', 'decode', 'losses'):\n"
        "        return name\n"
        "    raise AttributeError(name)\n"
    )
    (tmp_path / "forward_vae.py").write_text(forward_only, encoding="utf-8")
    run = _run_suite("forward_vae", tmp_path, "-rs", "--vae-dtype", "float64")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Absent: train: the model has no gradients, load_state, state, train" in run.stdout
    assert "Absent: sample: the model has no generate, sample" in run.stdout
    assert json.dumps(run.stdout).count("SKIPPED") >= 2
