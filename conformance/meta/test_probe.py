"""The precision probe names coarse modes and refuses to grade them; it lets true precisions pass."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vae_rosetta
from vae_rosetta.conformance import probe
from vae_rosetta.conformance.meta.mutants import MUTANTS
from vae_rosetta.conformance.meta.mutants.base import fresh_subject, on_arithmetic
from vae_rosetta.conformance.meta.mutants.precision import keep_bits
from vae_rosetta.shared import oracle

TF32_PORT = """
import numpy as np
from vae_rosetta.shared.oracle import Arithmetic, Oracle, describe

class Coarse(Arithmetic):
    def matmul(self, a, b):
        return cut(a) @ cut(b)

def cut(values):
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(mantissa * 2.0**11) / 2.0**11, exponent)

def load(params, *, dtype="float32", device="auto"):
    return Oracle(params, dtype, Coarse())
"""


def _with_products(cut: Any) -> Any:
    subject = fresh_subject()
    with pytest.MonkeyPatch.context() as undoing:
        on_arithmetic("matmul", lambda true, ar, a, b: true(ar, cut(a), cut(b)))(subject, undoing)
    return subject


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_true_precision_passes(dtype: str) -> None:
    assert probe.refusal(oracle, dtype) is None


@pytest.mark.parametrize(
    "name",
    [
        "batch-statistics (mu is centred over the batch)",
        "heads-swapped",
        "no-bias (of the last layer)",
        "transposed-weights (every square one)",
    ],
)
def test_other_bugs_are_not_taken_for_a_coarse_mode(name: str) -> None:
    subject = fresh_subject()
    with pytest.MonkeyPatch.context() as undoing:
        next(mutant for mutant in MUTANTS if mutant.name == name).patch(subject, undoing)
        assert probe.refusal(subject, "float32") is None


@pytest.mark.parametrize(
    ("cut", "dtype", "mode"),
    [
        (lambda values: keep_bits(values, 11), "float32", "TF32"),
        (lambda values: keep_bits(values, 8), "float32", "bfloat16"),
        (lambda values: values.astype(np.float16).astype(np.float64), "float32", "float16"),
        (lambda values: keep_bits(values, 16), "float32", "a precision of 16 bits"),
        (lambda values: keep_bits(values, 24), "float64", "float32"),
    ],
    ids=["TF32", "bfloat16", "float16", "16 bits", "float32 for float64"],
)
def test_coarse_mode_is_named(cut: Any, dtype: str, mode: str) -> None:
    message = probe.refusal(_with_products(cut), dtype)
    assert message is not None
    assert f"matrix products in {mode} from a model loaded as {dtype}" in message


def test_suite_refuses_to_grade_a_coarse_device(tmp_path: Path) -> None:
    (tmp_path / "tf32_vae.py").write_text(TF32_PORT, encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(Path(vae_rosetta.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]))
    run = subprocess.run(
        [sys.executable, "-m", "vae_rosetta.conformance", "tf32_vae", "-q"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 2, run.stdout + run.stderr
    assert "precision: got matrix products in TF32 from a model loaded as float32" in run.stdout + run.stderr
    assert "Traceback" not in run.stderr
