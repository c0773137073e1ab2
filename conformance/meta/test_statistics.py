"""The statistical tests measured: they pass what is right as often as they say, and find the faults that they state."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from vae_rosetta.conformance import statistics
from vae_rosetta.conformance.statistics import Outcome
from vae_rosetta.shared.contract import Array


def _draw(seed: int, rows: int = 50_000, latents: int = 20) -> Array:
    return np.random.default_rng(seed).standard_normal((rows, latents))


def _alarms(noise: Array, again: Array | None = None) -> set[str]:
    return {outcome.test.partition(",")[0] for outcome in statistics.standard_normals(noise, again) if outcome.alarm}


def _named(outcomes: list[Outcome], test: str) -> Outcome:
    (found,) = [outcome for outcome in outcomes if outcome.test.startswith(test)]
    return found


def test_right_numbers_pass() -> None:
    assert not _alarms(_draw(0), _draw(1))
    assert not [str(o) for o in statistics.uniforms(np.random.default_rng(0).random(100_000)) if o.alarm]


def test_false_alarms_are_as_rare_as_stated() -> None:
    """At alpha = 0.05, 400 batteries on right numbers: at most 38 alarms, which 0.05 exceeds with probability 1e-4."""
    pairs = [(_draw(2 * i, 1500, 4), _draw(2 * i + 1, 1500, 4)) for i in range(400)]
    alarms = [any(o.alarm for o in statistics.standard_normals(*pair, alpha=0.05)) for pair in pairs]
    assert 2 <= sum(alarms) <= 38  # none at all would be a limit that is too wide


# Samplers that are wrong, and the tests that must find them out.
WRONG: dict[str, tuple[Callable[[Array], Array], set[str]]] = {
    "std is exp(logvar), at logvar 0.1": (lambda e: e * np.exp(0.05), {"variance of all", "variance of each latent"}),
    "std 1 % too large": (lambda e: 1.01 * e, {"variance of all"}),
    "variance forgotten": (lambda e: 0 * e, {"variance of all", "gap between distributions"}),
    "mean shifted by 0.02": (lambda e: e + 0.02, {"mean of all"}),
    "truncated at 2": (lambda e: np.where(abs(e) < 2, e, np.sign(e) * abs(e) % 2), {"200 equal bins"}),
    "clipped at 4": (lambda e: np.clip(e, -3.99, 3.99), {"numbers beyond 4 standard deviations"}),
    "uniform of variance 1": (
        lambda e: (np.random.default_rng(1).random(e.shape) - 0.5) * np.sqrt(12),
        {"gap between distributions", "200 equal bins", "numbers beyond 4 standard deviations"},
    ),
    "Student's t with 50 degrees, scaled": (
        lambda e: np.random.default_rng(1).standard_t(50, e.shape) * np.sqrt(48 / 50),
        {"numbers beyond 4 standard deviations"},
    ),
    "shared by all rows": (lambda e: np.broadcast_to(e[:1], e.shape), {"repeated values in a latent"}),
    "shared by all latents": (
        lambda e: np.broadcast_to(e[:, :1], e.shape),
        {"correlation of latents"},
    ),
    "every row twice": (
        lambda e: np.repeat(e[::2], 2, axis=0),
        {"correlation of latents", "repeated values in a latent"},
    ),
    "half precision": (lambda e: e.astype(np.float16), {"repeated values in a latent"}),
    "one NaN": (lambda e: np.where(e == e[3, 3], np.nan, e), {"mean of all"}),
}


@pytest.mark.parametrize("bug", WRONG)
def test_wrong_samplers_are_found(bug: str) -> None:
    wrong, finders = WRONG[bug]
    assert finders <= _alarms(wrong(_draw(0)))


def test_a_seed_that_does_nothing_is_found() -> None:
    noise = _draw(0)
    for again in (noise, np.roll(noise, 1, axis=0), np.roll(noise, -1, axis=0)):
        assert _alarms(noise, again) == {"correlation of two draws"}


def _shift(size: float, e: Array) -> Array:
    moved: Array = e + size * (np.arange(e.shape[1]) == 7)
    return moved


def _stretch(size: float, e: Array) -> Array:
    stretched: Array = e * (1 + size * (np.arange(e.shape[1]) == 7))
    return stretched


def _correlate(size: float, e: Array) -> Array:
    changed = e.copy()
    changed[:, 1] = size * e[:, 0] + np.sqrt(1 - size**2) * e[:, 1]
    return changed


def _open_a_gap(size: float, e: Array) -> Array:
    """Moves the share `size` of all numbers from below 0 to above."""
    return np.where((e < 0) & (np.random.default_rng(5).random(e.shape) < 2 * size), -e, e)


def _fatten(size: float, e: Array) -> Array:
    """`size` times as many beyond 4: the numbers near 0 have the others' place to spare."""
    extra = (size - 1) * 6.334e-5 / 0.0796  # the share of those with |e| < 0.1
    return np.where((abs(e) < 0.1) & (np.random.default_rng(5).random(e.shape) < extra), 4.5, e)


FAULTS: dict[str, Callable[[float, Array], Array]] = {
    "mean of each latent": _shift,
    "mean of all": lambda size, e: e + size,
    "variance of each latent": _stretch,
    "variance of all": lambda size, e: e * (1 + size),
    "gap between distributions": _open_a_gap,
    "numbers beyond": _fatten,
    "correlation of latents": _correlate,
}


@pytest.mark.parametrize("test", FAULTS)
def test_the_stated_fault_is_found(test: str) -> None:
    """One miss in a million is stated; none in eight is seen. A tenth of the fault is not found."""
    size = _named(statistics.standard_normals(_draw(0, 20_000, 10)), test).size
    for share, alarms in ((1.0, True), (0.1, False)):
        wrong = partial(FAULTS[test], 1 + share * (size - 1) if test == "numbers beyond" else share * size)
        found = [_named(statistics.standard_normals(wrong(_draw(seed, 20_000, 10))), test).alarm for seed in range(8)]
        assert found == [alarms] * 8, f"{test}, {share} of {size}"


def test_the_stated_share_of_cells_is_found() -> None:
    random = np.random.default_rng(0)
    size = _named(statistics.uniforms(random.random(200_000)), "200 equal bins").size
    numbers = random.random(1_000_000)
    odd = (np.floor(numbers * 200) % 2).astype(bool)
    kept = numbers[~odd | (random.random(numbers.size) < (1 - size) / (1 + size))][:200_000]
    assert _named(statistics.uniforms(kept), "200 equal bins").alarm


def test_uniforms_that_are_not() -> None:
    random = np.random.default_rng(0)
    right = random.random(100_000)
    for wrong, test in (
        (right + 0.001, "numbers outside"),
        (right**1.05, "gap between distributions"),
        (np.repeat(right[::2], 2), "correlation of neighbours"),
        (np.where(right < 0.002, right + 0.5, right), "200 equal bins"),
    ):
        assert _named(statistics.uniforms(wrong), test).alarm, test


def test_orders_that_are_not_uniform_permutations() -> None:
    random = np.random.default_rng(0)
    right = random.permuted(np.tile(np.arange(20), (5000, 1)), axis=1)
    assert not [str(outcome) for outcome in statistics.permutations(right) if outcome.alarm]
    lost = right.copy()
    lost[7, 3] = lost[7, 4]
    assert statistics.permutations(lost)[0].alarm
    first_stays = np.concatenate(
        [np.zeros((5000, 1), int), 1 + random.permuted(np.tile(np.arange(19), (5000, 1)), axis=1)], 1
    )
    nearby = np.argsort(np.arange(20) + 8 * random.random((5000, 20)), axis=1)  # shuffled within a window only
    for wrong in (first_stays, nearby):
        assert statistics.permutations(wrong)[1].alarm
