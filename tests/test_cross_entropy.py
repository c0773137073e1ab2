"""The fast cross-entropy against the oracle's, pixel by pixel in float64."""

import numpy as np
import pytest

from vae_rosetta.shared import cross_entropy, oracle
from vae_rosetta.shared.contract import Array

RANDOM = np.random.default_rng(0)
ROUNDING = 2.0**-24  # of 1 + exp(-|l|) in float32: all there is of a pixel that is nearly certain


def exact(x: Array, logits: Array) -> Array:
    found: Array = oracle.cross_entropy(logits.astype(np.float64), x.astype(np.float64)).sum(axis=-1)
    return found


@pytest.mark.parametrize("shape", [(1, 300, 784), (300, 1, 784), (7, 40, 784), (2, 3, 1), (3, 2, 13), (2, 2, 200_000)])
@pytest.mark.parametrize("pixels", ["grey", "black and white"])
def test_it_is_the_oracles_to_1e_6(shape: tuple[int, int, int], pixels: str) -> None:
    """Whatever the width, which is halved four times, and however many samples or images make a block."""
    x = RANDOM.random(shape[1:], dtype=np.float32)
    x = x if pixels == "grey" else (x < 0.3).astype(np.float32)
    logits = (8 * RANDOM.standard_normal(shape) - 2).astype(np.float32)
    before = logits.copy()
    found = cross_entropy.bernoulli(x, logits)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, exact(x, logits), rtol=1e-6, atol=shape[2] * ROUNDING, strict=True)
    np.testing.assert_array_equal(logits, before)


def test_float64_logits_keep_their_digits() -> None:
    x = (RANDOM.random((5, 50)) < 0.5).astype(np.float32)
    logits = 5 * RANDOM.standard_normal((2, 5, 50))
    np.testing.assert_allclose(cross_entropy.bernoulli(x, logits), exact(x, logits), rtol=1e-14)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 100.0, 1e4])
def test_saturated_and_tiny_logits(scale: float) -> None:
    """A pixel that is certain and right costs nothing, one that is certain and wrong its whole logit."""
    x = (RANDOM.random((4, 64)) < 0.5).astype(np.float32)
    logits = (scale * RANDOM.choice([-1.0, 1.0], size=(3, 4, 64))).astype(np.float32)
    np.testing.assert_allclose(cross_entropy.bernoulli(x, logits), exact(x, logits), rtol=1e-6, atol=64 * ROUNDING)
    right = (scale * (2 * x - 1))[None]
    np.testing.assert_allclose(cross_entropy.bernoulli(x, right), exact(x, right), rtol=1e-6, atol=64 * ROUNDING)
