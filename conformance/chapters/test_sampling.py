"""Chapter sampling: the framework's own generator draws from the right distributions.

A million normals in each test that counts. The tests together raise a false alarm once in a million: each of the five
statistics gets ALPHA, shared out among the latents it looks at (Bonferroni).
"""

import math

import numpy as np
import pytest

from conformance.plugin import Grader
from shared import parameters
from shared.contract import Array
from shared.spec import Sizes

pytestmark = [pytest.mark.clause("sampling"), pytest.mark.ability("sample")]

ALPHA = 1e-6 / 5
ROWS, SIZES = 50_000, Sizes(4, 3, 20)  # a million normals


def _quantile(probability: float) -> float:
    """The |z| that a standard normal exceeds with `probability`, by bisection of erfc."""
    low, high = 0.0, 40.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erfc(middle / math.sqrt(2)) > probability else (low, middle)
    return high


@pytest.fixture
def noise(grader: Grader) -> Array:
    """What `sample` drew, standardised: (ROWS, L) standard normals if it draws from q(z|x)."""
    params = parameters.initial(11, SIZES)
    x = np.random.default_rng(4).random((ROWS, SIZES.input_dim)).astype(np.float32)
    model = grader.load(params)
    mu, logvar = (answer.astype(np.float64) for answer in model.encode(x))
    z = model.sample(x, seed=2024)
    assert z.shape == (ROWS, SIZES.latent_dim)
    assert z.dtype == np.dtype(grader.dtype)
    standardised: Array = (z - mu) / np.exp(logvar / 2)
    return standardised


def test_mean_and_variance_of_each_latent(noise: Array) -> None:
    limit = _quantile(ALPHA / SIZES.latent_dim)
    assert np.abs(noise.mean(axis=0)).max() * math.sqrt(ROWS) < limit
    assert np.abs(noise.var(axis=0) - 1).max() * math.sqrt(ROWS / 2) < limit


def test_distribution_is_normal(noise: Array) -> None:
    """Dvoretzky-Kiefer-Wolfowitz: the empirical distribution is off by more than `gap` with probability ALPHA."""
    drawn = np.sort(noise.ravel())[:: noise.size // 20_000]  # every fiftieth order statistic bounds those between
    true = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in drawn])
    gap = math.sqrt(math.log(2 / ALPHA) / (2 * noise.size))
    empirical = np.arange(len(drawn)) * (noise.size // 20_000) / noise.size
    assert np.abs(true - empirical).max() < gap + 1 / 20_000


def test_rows_latents_and_calls_are_independent(grader: Grader, noise: Array) -> None:
    limit = _quantile(ALPHA / SIZES.latent_dim**2) / math.sqrt(ROWS)
    between_latents = np.corrcoef(noise.T) - np.eye(SIZES.latent_dim)
    assert np.abs(between_latents).max() < limit
    next_row = [np.corrcoef(column[:-1], column[1:])[0, 1] for column in noise.T]
    assert np.abs(next_row).max() < limit
    assert len(np.unique(noise[:, 0])) > 0.9 * ROWS  # rows repeat, or half precision hides inside


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


def test_generate_decodes_the_prior(grader: Grader) -> None:
    """A decoder that hands z through: the logits of what `generate` returns are standard normal."""
    sizes = Sizes(1, 2, 1)
    params = {name: np.zeros_like(tensor) for name, tensor in parameters.initial(0, sizes).items()}
    params["decoder.fc3.weight"] = np.array([[1.0], [-1.0]], np.float32)
    params["decoder.fc4.weight"] = np.array([[1.0, -1.0]], np.float32)
    rows = 1_000_000
    probabilities = grader.load(params).generate(rows, seed=7).astype(np.float64)
    assert probabilities.shape == (rows, 1)
    assert 0.0 < probabilities.min() < probabilities.max() < 1.0
    logits = np.log(probabilities) - np.log1p(-probabilities)
    limit = _quantile(ALPHA / 2)
    assert abs(logits.mean()) * math.sqrt(rows) < limit
    assert abs(logits.var() - 1) * math.sqrt(rows / 2) < limit
