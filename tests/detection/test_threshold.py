"""The threshold keeps its false-alarm rate, and its margin covers what rounding does."""

import math
from fractions import Fraction

import numpy as np
import pytest

from vae_rosetta.applications.detection import scores, threshold
from vae_rosetta.shared import oracle, parameters
from vae_rosetta.shared.contract import Array, Losses
from vae_rosetta.shared.oracle import Oracle
from vae_rosetta.shared.spec import Sizes

Params = dict[str, Array]


@pytest.mark.parametrize(
    ("count", "rate", "rank"),
    [
        (99, 0.01, 99),
        (100, 0.01, 100),
        (199, 0.01, 198),
        (10_000, 0.01, 9901),
        (99, 0.29, 71),
        (9, 0.5, 5),
        (1, 0.5, 1),
    ],
)
def test_it_is_the_conformal_rank(count: int, rate: float, rank: int) -> None:
    values = np.random.default_rng(0).permutation(count).astype(np.float64) + 1.0
    assert threshold.conformal(values, rate) == rank == math.ceil((count + 1) * (1 - Fraction(str(rate))))


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.29])
@pytest.mark.parametrize("count", [100, 137, 400])
def test_a_normal_image_is_flagged_at_most_at_the_rate(count: int, rate: float) -> None:
    """Each of n + 1 exchangeable images is as likely to be the new one: so many are above the limit of the others."""
    values = np.random.default_rng(count).normal(size=count + 1)
    alarms = sum(values[i] > threshold.conformal(np.delete(values, i), rate) for i in range(len(values)))
    assert alarms == math.floor((count + 1) * Fraction(str(rate)))  # no more, and no fewer than could be


def test_equal_scores_are_not_flagged() -> None:
    level = threshold.conformal(np.ones(100), 0.1)
    assert not threshold.decide(np.ones(5), level, 0.0).flagged.any()


@pytest.mark.parametrize(
    ("count", "rate", "message"),
    [
        (98, 0.01, "^normal: got 98 images; expected at least 99 for a rate of 0.01$"),
        (2, 0.3, "^normal: got 2 images; expected at least 3 for a rate of 0.3$"),
        (0, 0.5, "^normal: got 0 images; expected at least 1"),
        (99, 0.0, r"^false-alarm: got 0; expected a rate between 0 and 1"),
        (99, 1.0, "^false-alarm: got 1"),
        (99, math.nan, "^false-alarm: got nan"),
    ],
)
def test_too_few_images_or_no_rate_is_told(count: int, rate: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        threshold.conformal(np.arange(count, dtype=np.float64), rate)


def test_decisions_and_what_is_near() -> None:
    decided = threshold.decide(np.array([1.0, 1.9, 2.0, 2.1, 3.0]), 2.0, 0.1 + 1e-9)
    assert decided.flagged.tolist() == [False, False, False, True, True]
    assert decided.near.tolist() == [False, True, True, True, False]


class _Single:
    """The model in plain float32 NumPy, in another order than the oracle's: a backend that rounds as backends do."""

    def __init__(self, params: Params) -> None:
        self._params = params

    def params(self) -> Params:
        return self._params

    def _linear(self, layer: str, x: Array) -> Array:
        weight: Array = self._params[f"{layer}.weight"][:, ::-1]
        output: Array = x[:, ::-1] @ weight.T + self._params[f"{layer}.bias"]
        return output

    def encode(self, x: Array) -> tuple[Array, Array]:
        hidden = np.maximum(self._linear("encoder.fc1", x), np.float32(0))
        return self._linear("encoder.fc2_mu", hidden), self._linear("encoder.fc2_logvar", hidden)

    def reparameterize(self, mu: Array, logvar: Array, noise: Array) -> Array:
        z: Array = mu + np.exp(logvar / np.float32(2)) * noise
        return z

    def decode(self, z: Array) -> Array:
        return self._linear("decoder.fc4", np.maximum(self._linear("decoder.fc3", z), np.float32(0)))

    def losses(self, x: Array, noise: Array) -> Losses:
        mu, logvar = self.encode(x)
        logits = self.decode(self.reparameterize(mu, logvar, noise))
        terms = np.maximum(logits, np.float32(0)) - x * logits + np.log1p(np.exp(-np.abs(logits)))
        kl = np.float32(0.5) * np.sum(mu * mu + np.exp(logvar) - np.float32(1) - logvar, axis=1)
        total = np.cumsum(terms, axis=1, dtype=np.float32)[:, -1]  # one after another, as a port may
        return Losses(total, kl)


@pytest.mark.parametrize("name", scores.NAMES)
def test_two_backends_agree_outside_the_margin(name: str) -> None:
    params = {key: 2 * value for key, value in parameters.initial(0, Sizes(196, 64, 8)).items()}
    exact, single = oracle.load(params), _Single(params)
    x = np.random.default_rng(0).random((2000, 196), dtype=np.float32)
    normal, new = x[:1000], x[1000:]
    decided, off = [], []
    for model in (exact, single):
        values = scores.score(model, normal, name, samples=2, draw=2)
        level = threshold.conformal(values, 0.1)
        rows = threshold.nearest(values, level)
        margin = threshold.margin(params, normal[rows], level, name, samples=2)
        found = scores.score(model, new, name, samples=2)
        decided.append(threshold.decide(found, level, margin))
        off.append(found)
        assert 0 < margin < 1e-3 * abs(level)
    near = decided[0].near | decided[1].near
    assert ((decided[0].flagged == decided[1].flagged) | near).all()
    assert 0 < np.abs(off[0] - off[1]).max() < margin / 2  # rounding is there, and the margin is of its kind
    assert near.mean() < 0.05


def test_rounding_can_turn_a_decision_and_such_rows_are_near(params: Params, images: Array) -> None:
    """A threshold at an image's own score: by another backend it is above."""
    first, second = oracle.load(params), _Single(params)
    values, others = (scores.score(model, images) for model in (first, second))
    row = int(np.argmax(others - values))
    assert others[row] > values[row]
    margin = threshold.margin(params, images[[row]], values[row], "elbo", calibrated=False)
    decided = [threshold.decide(found, values[row], margin) for found in (values, others)]
    assert [d.flagged[row] for d in decided] == [False, True]
    assert all(d.near[row] for d in decided)


def test_nearest_rows_come_in_order(model: Oracle) -> None:
    values = np.arange(100.0)[::-1]
    assert threshold.nearest(values, 50.0).tolist() == sorted(threshold.nearest(values, 50.0).tolist())
    assert 49 in threshold.nearest(values, 50.0)
