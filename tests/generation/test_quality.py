"""Measures of sets of images: against closed forms, brute force and another library."""

import re
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from vae_rosetta.applications.generation import quality
from vae_rosetta.applications.generation.quality import Moments


def features(count: int, width: int, seed: int, *, scale: float = 1.0, shift: float = 0.0) -> Any:
    return np.random.default_rng(seed).standard_normal((count, width)) * scale + shift


def spread(seed: int, width: int, rank: int | None = None) -> Any:
    """A covariance."""
    factor = features(width, rank or width, seed)
    return factor @ factor.T


def test_moments_are_numpys() -> None:
    x = features(9, 4, 0)
    got = quality.moments(x)
    np.testing.assert_allclose(got.mean, x.mean(axis=0))
    np.testing.assert_allclose(got.covariance, np.cov(x.T))
    assert quality.moments(x[:, :1]).covariance.shape == (1, 1)


def test_frechet_of_gaussians_with_common_axes_is_the_closed_form() -> None:
    """|m1 - m2|^2 + the sum over axes of (s1 - s2)^2."""
    axes = np.linalg.qr(features(3, 3, 0))[0]
    s1, s2, apart = np.array([1.0, 2.0, 0.0]), np.array([4.0, 0.5, 3.0]), np.array([1.0, -2.0, 2.0])
    a, b = (Moments(mean, (axes * s**2) @ axes.T) for mean, s in ((np.zeros(3), s1), (apart, s2)))
    expected = 9.0 + 3.0**2 + 1.5**2 + 3.0**2
    assert quality.frechet(a, b) == pytest.approx(expected, rel=1e-12)
    assert quality.frechet(b, a) == pytest.approx(expected, rel=1e-12)


def test_frechet_of_one_and_the_same_is_nothing() -> None:
    a = Moments(features(1, 30, 0)[0], spread(1, 30, rank=10))
    assert abs(quality.frechet(a, a)) < 1e-6 * np.trace(a.covariance)


@pytest.mark.parametrize("width", [1, 2, 17])
def test_frechet_agrees_with_the_matrix_square_root(width: int) -> None:
    a, b = (Moments(features(1, width, s)[0], spread(s + 9, width)) for s in (0, 1))
    cross = np.trace(scipy.linalg.sqrtm(a.covariance @ b.covariance)).real
    expected = np.sum((a.mean - b.mean) ** 2) + np.trace(a.covariance + b.covariance) - 2 * cross
    assert quality.frechet(a, b) == pytest.approx(expected, rel=1e-9)


def brute_force(real: Any, made: Any, k: int) -> tuple[float, float, float, float]:
    """The definitions, one image after the other."""

    def radius(x: Any, i: int) -> float:
        return float(sorted(np.linalg.norm(x[i] - x[j]) for j in range(len(x)) if j != i)[k - 1])

    real_balls = [[np.linalg.norm(m - r) < radius(real, i) for i, r in enumerate(real)] for m in made]
    made_balls = [[np.linalg.norm(r - m) < radius(made, i) for i, m in enumerate(made)] for r in real]
    return (
        float(np.mean([any(inside) for inside in real_balls])),
        float(np.mean([any(inside) for inside in made_balls])),
        float(np.mean([sum(inside) for inside in real_balls])) / k,
        float(np.mean([any(column) for column in zip(*real_balls, strict=True)])),
    )


@pytest.mark.parametrize(("k", "scale", "shift"), [(1, 1.0, 0.0), (3, 1.0, 1.0), (5, 0.3, 0.0), (2, 3.0, 0.5)], ids=str)
def test_neighbourhoods_agree_with_a_count_by_hand(k: int, scale: float, shift: float) -> None:
    real, made = features(40, 3, 0), features(25, 3, 1, scale=scale, shift=shift)
    got = quality.neighbourhoods(real, made, k)
    expected = brute_force(real, made, k)
    assert got == pytest.approx(expected)
    assert len({*expected}) == 4, "a test that could not tell them apart"


def test_neighbourhoods_in_chunks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    import sklearn.metrics

    real, made = features(400, 3, 0), features(300, 3, 1, shift=0.5)
    whole = quality.neighbourhoods(real, made)
    chunked, sizes = sklearn.metrics.pairwise_distances_chunked, []

    def small(x: Any, y: Any) -> Any:
        for part in chunked(x, y, working_memory=0.05):
            sizes.append(len(part))
            yield part

    monkeypatch.setattr(sklearn.metrics, "pairwise_distances_chunked", small)
    assert quality.neighbourhoods(real, made) == whole
    assert len(sizes) > 5
    assert sum(sizes) == 400


def test_neighbourhoods_need_neighbours() -> None:
    with pytest.raises(ValueError, match=re.escape("n: got 5 images; expected more than 5")):
        quality.neighbourhoods(features(9, 2, 0), features(5, 2, 1))


def test_nearest_is_the_least_distance() -> None:
    real, made = features(50, 4, 0).astype(np.float32), features(20, 4, 1).astype(np.float32)
    expected = np.linalg.norm(made[:, None] - real[None], axis=-1).min(axis=1)
    np.testing.assert_allclose(quality.nearest(real, made), expected, rtol=1e-4)


def test_histogram_is_that_of_the_library() -> None:
    expected = np.repeat([2, 5, 9], [10, 30, 60])
    labels = np.repeat([2, 5], [12, 38])
    got = quality.histogram(labels, expected)
    assert got.counts.tolist() == [12, 38, 0]
    library = scipy.stats.chisquare([12, 38, 0], [5, 15, 30])
    assert (got.chi_square, got.p) == pytest.approx((library.statistic, library.pvalue))


def test_histogram_of_the_right_shares_fits() -> None:
    got = quality.histogram(np.repeat([0, 1], [10, 30]), np.repeat([0, 1], [1, 3]))
    assert (got.chi_square, got.p) == (0.0, 1.0)
