"""Statistical tests of random numbers, with both error rates stated.

Every test has a limit, which numbers as they should be exceed with probability at most `alpha` (false alarm), and a
fault: the smallest one that the test finds but for the probability MISS. A battery shares ALPHA out evenly among its
tests, and each test among the quantities that it looks at (Bonferroni), so a battery as a whole raises a false alarm
once in a million.

The tests see different faults. Moments alone pass a uniform distribution of variance one; a distribution test alone
passes numbers that are used twice; neither sees half precision, which the count of distinct values does.
"""

import math
from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vae_rosetta.shared.contract import Array

ALPHA: Final = 1e-6  # false alarms of a whole battery
MISS: Final = 1e-6  # of the smallest fault that a test states

_NORMAL: Final = NormalDist()
_TAIL: Final = 4.0  # standard deviations; a normal is further out once in 15,787
_BINS: Final = 200
_CDF_POINTS: Final = 20_000  # of the empirical distribution at which the true one is computed


class Outcome(NamedTuple):
    """What one test saw."""

    test: str
    value: float
    limit: float
    size: float  # of the smallest fault that is found with probability 1 - MISS; 0: any is found, always
    fault: str  # what kind of fault that is, "{}" standing for its size

    @property
    def alarm(self) -> bool:
        """Whether the numbers fail the test; NaN does."""
        return not self.value <= self.limit

    def __str__(self) -> str:
        verdict = "ALARM" if self.alarm else "passes"
        fault = self.fault.format(f"{self.size:.2g}")
        return f"{self.test}: {self.value:.4g}, limit {self.limit:.4g}: {verdict} (finds {fault})"


def standard_normals(noise: Array, again: Array | None = None, *, alpha: float = ALPHA) -> list[Outcome]:
    """Tests numbers (N, L) for independent standard normals, and `again`, of the same shape, for another draw."""
    noise = noise.astype(np.float64)
    tests = 9 if again is None else 10
    return list(_standard_normals(noise, again, alpha / tests))


def uniforms(numbers: Array, *, alpha: float = ALPHA) -> list[Outcome]:
    """Tests (N,) numbers for independent uniforms in [0, 1)."""
    numbers = numbers.astype(np.float64)
    return list(_uniforms(numbers, alpha / 4))


def permutations(orders: Array, *, alpha: float = ALPHA) -> list[Outcome]:
    """Tests (K, N) rows for independent uniform permutations of 0 ... N - 1."""
    return list(_permutations(orders, alpha / 2))


def _standard_normals(noise: Array, again: Array | None, alpha: float) -> Iterator[Outcome]:
    rows, count = len(noise), noise.size
    yield _mean("mean of each latent", noise.mean(axis=0), rows, alpha)
    yield _mean("mean of all", noise.mean(keepdims=True).ravel(), count, alpha)
    yield _variance("variance of each latent", np.mean(noise**2, axis=0), rows, alpha)
    yield _variance("variance of all", np.mean(noise**2, keepdims=True).ravel(), count, alpha)
    yield _distribution(noise.ravel(), _NORMAL.cdf, alpha)
    yield _equal_bins(noise.ravel(), [_NORMAL.inv_cdf(i / _BINS) for i in range(1, _BINS)], alpha)
    yield _tail_count(int((np.abs(noise) > _TAIL).sum()), count * math.erfc(_TAIL / math.sqrt(2)), alpha)
    yield _correlations(noise, alpha)
    # Float32 normals made of 23 random bits repeat one in 300; of 11 bits, as in half precision, nearly all.
    repeated = 1 - len(np.unique(noise[:, 0])) / rows
    yield Outcome("repeated values in a latent, share", repeated, 0.1, 0.1, "a share of {} that repeats")
    if again is not None:
        again = again.astype(np.float64)
        pairs = ((noise, again), (noise[1:], again[:-1]), (noise[:-1], again[1:]))  # a draw may be another one moved on
        found = np.abs([np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in pairs]).max()
        yield _correlation("correlation of two draws", float(found), count - noise.shape[1], 3, alpha)


def _uniforms(numbers: Array, alpha: float) -> Iterator[Outcome]:
    count = len(numbers)
    outside = float(((numbers < 0) | (numbers >= 1)).sum())
    yield Outcome("numbers outside [0, 1)", outside, 0.0, 0.0, "any")
    yield _distribution(numbers, float, alpha)
    yield _equal_bins(numbers, [i / _BINS for i in range(1, _BINS)], alpha)
    found = abs(float(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]))
    yield _correlation("correlation of neighbours", found, count - 1, 1, alpha)


def _permutations(orders: Array, alpha: float) -> Iterator[Outcome]:
    rows, items = orders.shape
    wrong = (np.sort(orders, axis=1) != np.arange(items)).any(axis=1).sum()
    yield Outcome("rows that lose or repeat an item", float(wrong), 0.0, 0.0, "any")
    if wrong:
        return
    counts = np.zeros((items, items))  # of each item (column) at each position (row)
    for position in range(items):
        counts[position] = np.bincount(orders[:, position], minlength=items)
    # Rows and columns sum to K, hence (N - 1)^2 degrees of freedom; each permutation moves the cells of a row together,
    # which scales the statistic by N / (N - 1).
    statistic = float(((counts - rows / items) ** 2).sum() / (rows / items)) * (items - 1) / items
    freedom = (items - 1) ** 2
    yield _chi_square("items at positions, chi-square", statistic, freedom, rows * items, alpha)


def _mean(name: str, means: Array, count: int, alpha: float) -> Outcome:
    """`means`, each of `count` normals."""
    found, limit = float(np.abs(means).max() * math.sqrt(count)), _two_sided(alpha / len(means))
    shift = (limit + _one_sided(MISS)) / math.sqrt(count)
    return Outcome(f"{name}, standard errors", found, limit, shift, "a shift of {}")


def _variance(name: str, variances: Array, count: int, alpha: float) -> Outcome:
    """`variances` about a known mean of 0, each of `count` normals: Wilson & Hilferty 1931 makes them normal."""
    spread = math.sqrt(2 / (9 * count))
    found = float(np.abs((np.cbrt(variances) - (1 - spread**2)) / spread).max())
    limit = _two_sided(alpha / len(variances))
    scale = (limit + _one_sided(MISS)) / math.sqrt(2 * count)
    return Outcome(f"{name}, standard errors", found, limit, scale, "a standard deviation off by a share of {}")


def _distribution(numbers: Array, cdf: Callable[[float], float], alpha: float) -> Outcome:
    """Kolmogorov-Smirnov with the bound of Dvoretzky, Kiefer & Wolfowitz (Massart 1990), at some order statistics."""
    count = numbers.size
    step = max(1, count // _CDF_POINTS)
    drawn = np.sort(numbers)[::step]
    true = np.array([cdf(value) for value in drawn.tolist()])
    empirical = np.arange(len(drawn)) * step / count
    room = step / count  # the empirical distribution rises by that much from one of these points to the next
    limit = math.sqrt(math.log(2 / alpha) / (2 * count)) + room
    gap = limit + math.sqrt(math.log(1 / MISS) / (2 * count)) + room
    return Outcome("gap between distributions", float(np.abs(true - empirical).max()), limit, gap, "a gap of {}")


def _equal_bins(numbers: Array, edges: list[float], alpha: float) -> Outcome:
    counts = np.bincount(np.searchsorted(edges, numbers, side="right"), minlength=_BINS)
    expected = numbers.size / _BINS
    statistic = float(((counts - expected) ** 2).sum() / expected)
    return _chi_square(f"{_BINS} equal bins, chi-square", statistic, _BINS - 1, numbers.size, alpha)


def _chi_square(name: str, statistic: float, freedom: int, count: int, alpha: float) -> Outcome:
    spread = math.sqrt(2 / (9 * freedom))
    limit = freedom * (1 - spread**2 + _one_sided(alpha) * spread) ** 3  # Wilson & Hilferty 1931
    # With cells that are off by the share d (root mean square), the statistic has the mean k + n d^2 and the variance
    # 2 (k + 2 n d^2). Which d lifts it over the limit?
    excess, quantile = limit - freedom, _one_sided(MISS)
    noncentral = excess + 2 * quantile**2 + quantile * math.sqrt(2 * freedom + 4 * excess + 4 * quantile**2)
    return Outcome(name, statistic, limit, math.sqrt(noncentral / count), "cells off by a share of {}")


def _tail_count(seen: int, expected: float, alpha: float) -> Outcome:
    """How many lie beyond _TAIL, against the Poisson distribution."""
    probabilities = _poisson(expected)
    below, above = np.cumsum(probabilities), 1 - np.cumsum(probabilities) + probabilities  # P(<= k), P(>= k)
    at = min(seen, len(probabilities) - 1)
    p_value = 2 * float(min(below[at], above[at]))
    threshold = int(np.argmax(above <= alpha / 2))  # the smallest count that is too many
    low, high = 1.0, 1e4
    while high / low > 1.001:  # the ratio at which the count stays below the threshold with probability MISS
        ratio = math.sqrt(low * high)
        missed = np.cumsum(_poisson(ratio * expected)[:threshold])[-1]
        low, high = (ratio, high) if missed > MISS else (low, ratio)
    return Outcome(
        f"numbers beyond {_TAIL:g} standard deviations, -log10 of the probability",
        -math.log10(max(p_value, 1e-300)),
        -math.log10(alpha),
        high,
        "{} times as many",
    )


def _poisson(mean: float) -> npt.NDArray[np.float64]:
    """Probabilities of 0, 1, ...; what lies beyond is below 1e-16."""
    k = np.arange(int(mean + 12 * math.sqrt(mean) + 60))
    logs: npt.NDArray[np.float64] = k * math.log(mean) - mean - np.array([math.lgamma(i + 1) for i in k.tolist()])
    return np.exp(logs)


def _correlations(noise: Array, alpha: float) -> Outcome:
    """Between any two latents, and between each latent and the same in the next row."""
    rows, latents = noise.shape
    with np.errstate(invalid="ignore"):  # constant numbers have no correlation: NaN, an alarm
        between = np.corrcoef(noise.T).reshape(latents, latents) - np.eye(latents)
        following = [np.corrcoef(column[:-1], column[1:])[0, 1] for column in noise.T]
    found = float(np.abs(np.append(between, following)).max())
    return _correlation("correlation of latents, and of rows", found, rows - 1, latents * (latents + 1) // 2, alpha)


def _correlation(name: str, found: float, count: int, quantities: int, alpha: float) -> Outcome:
    """Fisher 1921: artanh of a correlation of `count` pairs is normal with the variance 1 / (count - 3)."""
    limit, spread = _two_sided(alpha / quantities), 1 / math.sqrt(count - 3)
    fault = math.tanh((limit + _one_sided(MISS)) * spread)
    return Outcome(name, found, math.tanh(limit * spread), fault, "a correlation of {}")


def _one_sided(probability: float) -> float:
    """What a standard normal exceeds with `probability`."""
    return -_NORMAL.inv_cdf(probability)


def _two_sided(probability: float) -> float:
    """What the absolute value of a standard normal exceeds with `probability`."""
    return -_NORMAL.inv_cdf(probability / 2)
