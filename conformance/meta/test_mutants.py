"""Every mutant is rejected by the vectors that claim it, and the true oracle by none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conformance.meta.mutants import MUTANTS, Mutant
from conformance.plugin import Grader
from shared import oracle, vectors
from shared.vectors import Vector, operations
from shared.vectors.flags import FLAGS

# The whole run on real digits takes the oracle seconds and rejects most of these mutants: the small vectors must do so
# alone.
VECTORS = {name: vector for name, vector in vectors.load().items() if "data" not in vector.arguments}


def _passes(vector: Vector, dtype: str) -> bool:
    try:
        if vector.operation in operations.DRAWS:
            _check_draw(vector)
        else:
            Grader(oracle, dtype).check(vector)
    except AssertionError:
        return False
    return True


def _check_draw(vector: Vector) -> None:
    """The portable stream is exact, but for the last bit that another machine's logarithm may give a normal."""
    found = operations.DRAWS[vector.operation](vector.arguments)
    assert found.keys() == vector.expected.keys()
    for name, wanted in vector.expected.items():
        if name == "normal":
            np.testing.assert_array_max_ulp(found[name], wanted, maxulp=1)
        else:
            np.testing.assert_array_equal(found[name], wanted, strict=True)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.bug)
def test_mutant_is_rejected(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mutant.flag in FLAGS
    assert all(mutant.flag in VECTORS[name].flags for name in mutant.claimed), "the vectors do not carry the flag"
    mutant.patch(monkeypatch)
    chosen = VECTORS.values() if mutant.alone else [VECTORS[name] for name in mutant.claimed]
    rejecting = {vector.id for vector in chosen if not _passes(vector, "float32")}
    assert rejecting == set(mutant.claimed)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS.keys())
def test_true_oracle_passes(vector: Vector, dtype: str) -> None:
    assert _passes(vector, dtype)


def test_every_flag_has_a_mutant() -> None:
    assert set(FLAGS) - {mutant.flag for mutant in MUTANTS} == {"log-of-sigmoid"}  # see the port below


PORT = """
import numpy as np
from shared import oracle
from shared.oracle import describe

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


def _run_suite(module: str, directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(oracle.__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "conformance", module, "-q", "--no-header", *options]
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=600)


def test_suite_rejects_a_strangers_wrong_port_from_any_directory(tmp_path: Path) -> None:
    (tmp_path / "log_of_sigmoid_vae.py").write_text(PORT, encoding="utf-8")
    (tmp_path / "conftest.py").write_text("raise SystemExit('a stranger has settings of their own')", encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --collect-only\n", encoding="utf-8")
    run = _run_suite("log_of_sigmoid_vae", tmp_path, "-k", "loss and vector")
    assert run.returncode == 1, run.stdout + run.stderr
    failed = [line for line in run.stdout.splitlines() if line.startswith("FAILED")]
    assert any("saturated-logits" in line for line in failed), run.stdout
    assert "reconstruction[" in run.stdout


def test_suite_accepts_the_oracle_from_any_directory(tmp_path: Path) -> None:
    run = _run_suite("shared.oracle", tmp_path, "-k", "loss or contract", "--vae-dtype", "float64")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "headroom" in run.stdout
    assert not list(tmp_path.iterdir()), "the suite writes nothing into a stranger's directory"


@pytest.mark.parametrize(
    ("module", "message"),
    [("no_such_vae", "cannot import 'no_such_vae'"), ("json", "has no function describe()")],
)
def test_module_that_cannot_be_graded_is_an_error(module: str, message: str, tmp_path: Path) -> None:
    run = _run_suite(module, tmp_path)
    assert run.returncode == 4
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
    assert "absent ability 'train': the model has no gradients, load_state, state, train" in run.stdout
    assert "absent ability 'sample': the model has no generate, sample" in run.stdout
    assert json.dumps(run.stdout).count("SKIPPED") >= 2
