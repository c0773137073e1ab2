"""How near one set of images is to another, in a feature space. Symbols: N images, F features, C classes, k neighbours.

The Fréchet distance and the others depend on N, and on the feature space: a figure means something only beside others
of the same N and the same judge, above all that of real images held out, which is as near as new images can be.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vae_rosetta.shared.contract import Array

NEIGHBOURS: Final = 5  # k of Naeem et al. 2020

Real = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


class Moments(NamedTuple):
    """Mean and covariance of features."""

    mean: Real  # (F,)
    covariance: Real  # (F, F)


class Neighbourhoods(NamedTuple):
    """Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models", equations 1 to 4."""

    precision: float  # share of made images that lie in the ball of some real image
    recall: float  # share of real images that lie in the ball of some made image
    density: float  # balls of real images that a made image lies in, on average, over k
    coverage: float  # share of real images whose ball holds some made image


class Histogram(NamedTuple):
    """How labels are spread, and whether as they should be."""

    counts: Labels  # (C,)
    chi_square: float
    p: float  # of a greater chi-square, were the labels drawn from the expected shares


def moments(features: Real) -> Moments:
    """Of features (N, F), N > 1; the covariance is the unbiased one."""
    return Moments(features.mean(axis=0), np.cov(features, rowvar=False, ddof=1).reshape(2 * features.shape[1:]))


def frechet(a: Moments, b: Moments) -> float:
    """Squared Fréchet distance of two Gaussians (Dowson & Landau 1982; Heusel et al. 2017, equation 6).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). With C1 = A A^T and C2 = B B^T the last trace is the sum of the
    singular values of A^T B: no square root of a matrix, which rounding makes complex where a covariance is singular.
    """
    cross = np.linalg.norm(_factor(a.covariance).T @ _factor(b.covariance), "nuc")
    apart = a.mean - b.mean
    return float(apart @ apart + np.trace(a.covariance) + np.trace(b.covariance) - 2.0 * cross)


def neighbourhoods(real: Real, made: Real, k: int = NEIGHBOURS) -> Neighbourhoods:
    """Precision, recall, density and coverage of made (M, F) against real (N, F).

    The ball of an image reaches to its k-th nearest neighbour in its own set, and does not hold its surface.

    Raises:
        ValueError: one of the sets has not more than k images.
    """
    from sklearn.metrics import pairwise_distances_chunked

    real_radii, made_radii = _radii(real, k), _radii(made, k)
    recalled = covered = first = 0
    balls = np.zeros(len(made), dtype=np.int64)  # of real images, that each made image lies in
    for distances in pairwise_distances_chunked(real, made):  # (rows, M)
        inside = distances < real_radii[first : first + len(distances), None]
        balls += inside.sum(axis=0)
        covered += int(inside.any(axis=1).sum())
        recalled += int((distances < made_radii).any(axis=1).sum())
        first += len(distances)
    return Neighbourhoods(
        float(np.mean(balls > 0)), recalled / len(real), float(np.mean(balls)) / k, covered / len(real)
    )


def nearest(real: Array, made: Array) -> Real:
    """Euclidean distance of each image of made (M, D) to its nearest of real (N, D), (M,)."""
    from sklearn.neighbors import NearestNeighbors

    distances: Real = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(real).kneighbors(made)[0][:, 0]
    return distances


def histogram(labels: Labels, expected: Labels) -> Histogram:
    """The labels (N,) counted by class, against the shares of the classes in `expected`, which has all of them."""
    from scipy.stats import chi2

    classes, of_expected = np.unique(expected, return_counts=True)
    counts = np.array([np.count_nonzero(labels == label) for label in classes])
    fair = len(labels) * of_expected / len(expected)
    statistic = float(np.sum((counts - fair) ** 2 / fair))
    return Histogram(counts, statistic, float(chi2.sf(statistic, len(classes) - 1)))


def _factor(covariance: Real) -> Real:
    """A with A A^T = `covariance`, (F, F); what is 0 but for rounding is 0."""
    values, vectors = np.linalg.eigh(covariance)
    least = values[-1] * len(values) * np.finfo(np.float64).eps
    factor: Real = vectors * np.sqrt(np.where(values > least, values, 0.0))
    return factor


def _radii(features: Real, k: int) -> Real:
    """Distance of each row to its k-th nearest other row, (N,)."""
    from sklearn.neighbors import NearestNeighbors

    if len(features) <= k:
        raise ValueError(f"n: got {len(features)} images; expected more than {k}, the neighbours of each")
    neighbours = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(features)
    distances: Real = neighbours.kneighbors()[0][:, -1]  # without an argument: of the rows themselves, each left out
    return distances
