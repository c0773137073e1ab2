"""Chapter sampling: the framework's own generator draws from the right distributions.

A million normals each from `sample` and from `generate`, and as many again under another seed; each of the two
batteries raises a false alarm once in a million (`conformance/statistics.py`).
"""

from typing import Any

import numpy as np
import pytest

from vae_rosetta.conformance import statistics
from vae_rosetta.conformance.grader import Grader
from vae_rosetta.shared import parameters
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes

pytestmark = [pytest.mark.clause("sampling"), pytest.mark.ability("sample")]

ROWS, SIZES = 50_000, Sizes(4, 3, 20)  # a million normals


def _alarms(noise: Array, again: Array) -> list[str]:
    return [str(outcome) for outcome in statistics.standard_normals(noise, again) if outcome.alarm]


def test_sample_draws_from_the_posterior(grader: Grader) -> None:
    """What `sample` drew, standardised with the model's own mu and logvar, are independent standard normals."""
    model = grader.load(parameters.initial(11, SIZES))
    x = np.random.default_rng(4).random((ROWS, SIZES.input_dim)).astype(np.float32)
    mu, logvar = (answer.astype(np.float64) for answer in model.encode(x))  # (N, L)
    draws = [model.sample(x, seed=seed) for seed in (2024, 2025)]
    assert {(z.shape, z.dtype) for z in draws} == {((ROWS, SIZES.latent_dim), np.dtype(grader.dtype))}
    assert not _alarms(*((z - mu) / np.exp(logvar / 2) for z in draws))


def test_generate_decodes_the_prior(grader: Grader) -> None:
    """A decoder that hands z through: the logits of what `generate` returns are independent standard normals."""
    latents = np.eye(20, dtype=np.float32)
    sizes = Sizes(20, 40, 20)
    params = {name: np.zeros_like(tensor) for name, tensor in parameters.initial(0, sizes).items()}
    params["decoder.fc3.weight"] = np.concatenate([latents, -latents])  # (H, L): relu(z) and relu(-z)
    params["decoder.fc4.weight"] = np.concatenate([latents, -latents], axis=1)  # (D, H): relu(z) - relu(-z) = z
    model = grader.load(params)
    draws = [model.generate(ROWS, seed=seed).astype(np.float64) for seed in (7, 8)]  # (N, D)
    assert {probabilities.shape for probabilities in draws} == {(ROWS, 20)}
    assert all(0.0 < probabilities.min() < probabilities.max() < 1.0 for probabilities in draws)
    assert not _alarms(*(np.log(probabilities) - np.log1p(-probabilities) for probabilities in draws))


def test_seeds_of_numpy_are_seeds(grader: Grader) -> None:
    model = grader.untouched()
    seeds: list[Any] = [np.int32(5), np.int64(5), np.uint64(5)]
    for seed in seeds:
        np.testing.assert_array_equal(model.generate(4, seed), model.generate(4, 5), strict=True)
    greatest: Any = np.uint64(2**64 - 1)
    assert np.isfinite(model.generate(4, greatest)).all()


def test_noise_is_as_fine_as_float32(grader: Grader) -> None:
    """One image over and over: half precision has some 20,000 numbers to draw, and must repeat itself."""
    x = np.full((ROWS, SIZES.input_dim), 0.5, np.float32)
    z = grader.load(parameters.initial(11, SIZES)).sample(x, seed=99)
    assert len(np.unique(z[:, 0])) > 0.9 * ROWS


def test_equal_seeds_draw_alike_and_others_do_not(grader: Grader) -> None:
    model = grader.load(parameters.initial(11, SIZES))
    x = np.random.default_rng(5).random((64, SIZES.input_dim)).astype(np.float32)
    np.testing.assert_array_equal(model.sample(x, seed=1), model.sample(x, seed=1), strict=True)
    np.testing.assert_array_equal(model.generate(64, seed=1), model.generate(64, seed=1), strict=True)
    for one, other in ((0, 1), (1, 2**32 + 1), (2**63, 2**63 + 1)):
        assert (model.sample(x, seed=one) != model.sample(x, seed=other)).mean() > 0.9
        assert (model.generate(64, seed=one) != model.generate(64, seed=other)).mean() > 0.9
