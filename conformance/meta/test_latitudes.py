"""What the specification leaves open, a port may choose: the oracle with each choice passes, in both precisions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vae_rosetta.conformance.meta import kill
from vae_rosetta.conformance.meta.mutants.base import Patch, fresh_subject, on
from vae_rosetta.shared import oracle, spec
from vae_rosetta.shared.oracle import Arithmetic, Real

TRAINING = ("training/tiny", "training/tiny-gradients", "training/short-last-batch", "training/tiny-recipe")
EXACT = oracle.EXACT


def _adam(corrected: Callable[[float, int], float], rest1: float, rest2: float) -> Patch:
    """Algorithm 1 with its bias corrections and 1 - beta given."""

    def wrong(true: Any, param: Real, m: Real, v: Real, gradient: Real, step: int, ar: Arithmetic = EXACT) -> Any:
        m = spec.BETA1 * m + rest1 * gradient
        v = spec.BETA2 * v + rest2 * gradient * gradient
        m_hat, v_hat = m / corrected(spec.BETA1, step), v / corrected(spec.BETA2, step)
        return param - spec.LEARNING_RATE * m_hat / (np.sqrt(v_hat) + spec.EPSILON), m, v

    return on("adam_step", wrong)


def _in_float32(beta: float, step: int) -> float:
    return float(np.float32(1) - np.float32(beta) ** np.float32(step))


def _by_products(beta: float, step: int) -> float:
    """beta^t kept in float32 and multiplied on, as a state of the optimiser."""
    return float(np.float32(1) - np.multiply.reduce(np.full(step, beta, np.float32)))


def _exactly(beta: float, step: int) -> float:
    return float(-np.expm1(step * np.log(beta)))


CHOICES: dict[str, tuple[Patch, tuple[str, ...]]] = {
    "bias corrections in float32": (_adam(_in_float32, 0.1, 0.001), ("float32",)),
    "powers of beta multiplied in float32": (_adam(_by_products, 0.1, 0.001), ("float32",)),
    "bias corrections by expm1": (_adam(_exactly, 1 - spec.BETA1, 1 - spec.BETA2), ("float32", "float64")),
    "0.1 and 0.001 written out": (_adam(_exactly, 0.1, 0.001), ("float32", "float64")),
}


@pytest.mark.parametrize("name", [*TRAINING, "training/full", "training/whole-run"])
@pytest.mark.parametrize(("patch", "dtypes"), CHOICES.values(), ids=CHOICES.keys())
def test_choice_passes(patch: Patch, dtypes: tuple[str, ...], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = fresh_subject()
    patch(subject, monkeypatch)
    assert not [dtype for dtype in dtypes if kill.rejects(kill.VECTORS[name], subject, dtype)]
