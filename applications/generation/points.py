"""Points of the latent space worth decoding. Symbols: N images, D pixels, L latents, C classes, n steps.

Lines between two images are arcs: the direction turns evenly and the length changes evenly (after White 2016, "Sampling
Generative Networks"). Where a model uses all its latents, posterior means lie near the shell of radius sqrt(L), as do
draws of the prior (784-400-20 after 10 epochs of MNIST: lengths of 4.3 on average, and 4.4). The middle of a straight
line between two of them (3.0) is a place that the decoder was hardly trained for: its images are averages. Halfway
between 8,992 pairs of different digits, the Fréchet distance of `comparison` is 4.7 on arcs and 10.3 on straight lines,
and the judge's confidence 0.85 and 0.82. White's formula does not turn and grow apart, and bends far outwards between
means of unequal length that are nearly opposite.
"""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from vae_rosetta.shared import passes
from vae_rosetta.shared.contract import Array, Model

EXTENT: Final = 3.0  # standard deviations of the prior, to either side of 0, that a traversal covers
_NO_TURN: Final = 1e-6  # sine of an angle too small to turn by, or too near half a turn

Latents = npt.NDArray[np.float32]


def posterior_means(model: Model, x: Array) -> Latents:
    """Images x (N, D) -> means of q(z|x), (N, L)."""
    return passes.posterior(model, x).mu.astype(np.float32)


def most_informative_first(kl: npt.NDArray[np.float64]) -> list[int]:
    """Latents by falling KL (L,), those that tell the same to a thousandth of a nat by their number.

    Rounded, so that latents that the model leaves unused, whose KL is rounding noise, come in one order in any backend.
    """
    return [int(latent) for latent in np.argsort(-np.round(kl, 3), kind="stable")]


def arc(start: Array, end: Array, n: int) -> Latents:
    """n points, (n, L), from `start` (L,) to `end` (L,), both included, in equal steps of direction and of length.

    A straight line where there is no one way to turn: between opposite directions, equal ones, or from or to 0.

    Raises:
        ValueError: fewer than two.
    """
    share = _at_least_two(n)
    lengths = [float(np.linalg.norm(point.astype(np.float64))) for point in (start, end)]
    straight: Latents = ((1.0 - share) * start + share * end).astype(np.float32)
    if not all(lengths):
        return straight
    first, last = (point.astype(np.float64) / length for point, length in zip((start, end), lengths, strict=True))
    angle = np.arccos(np.clip(first @ last, -1.0, 1.0))
    if np.sin(angle) < _NO_TURN:
        return straight
    directions = (np.sin((1.0 - share) * angle) * first + np.sin(share * angle) * last) / np.sin(angle)
    arc: Latents = (((1.0 - share) * lengths[0] + share * lengths[1]) * directions).astype(np.float32)
    return arc


def traversal(centre: Array, dimensions: Sequence[int], n: int) -> Latents:
    """For each of K dimensions, n points (K, n, L): `centre` (L,) with that one moved from -3 to 3 in equal steps.

    Raises:
        ValueError: n below two, or a latent that is none of the L.
    """
    for latent in dimensions:
        if not 0 <= latent < len(centre):
            raise ValueError(f"dimensions: got {latent}; expected latents of the model, 0 to {len(centre) - 1}")
    moved = np.tile(centre.astype(np.float32), (len(dimensions), n, 1))  # (K, n, L)
    for row, latent in zip(moved, dimensions, strict=True):
        row[:, latent] = steps(n)
    return moved


def steps(n: int) -> npt.NDArray[np.float32]:
    """The n values, from -3 to 3, that a traversal gives a latent.

    Raises:
        ValueError: fewer than two.
    """
    return (EXTENT * (2.0 * _at_least_two(n)[:, 0] - 1.0)).astype(np.float32)


def quantiles(n: int) -> npt.NDArray[np.float32]:
    """n numbers that part the prior of one latent equally: its quantiles at (i + 1/2) / n, rising."""
    normal = NormalDist()
    return np.array([normal.inv_cdf((i + 0.5) / n) for i in range(n)], dtype=np.float32)


def manifold(n: int) -> Latents:
    """An n x n grid over a prior of two latents, (n, n, 2), as a map is read: latent 0 rises to the right, 1 upwards.

    Evenly spaced on the unit square, then through the inverse normal CDF (Kingma & Welling 2014, figure 4).
    """
    across, up = np.meshgrid(quantiles(n), quantiles(n)[::-1])
    return np.stack([across, up], axis=-1)


def class_means(means: Array, labels: npt.NDArray[np.int64]) -> tuple[list[int], Latents]:
    """The C labels, rising, and for each the mean (C, L) of the posterior means (N, L) of its images."""
    classes = np.unique(labels)
    return classes.tolist(), np.stack(
        [means[labels == label].mean(axis=0, dtype=np.float64).astype(np.float32) for label in classes]
    )


def _at_least_two(n: int) -> npt.NDArray[np.float64]:
    """n shares from 0 to 1, (n, 1)."""
    if n < 2:
        raise ValueError(f"n: got {n}; expected at least 2 steps, for the two ends")
    return np.linspace(0.0, 1.0, n)[:, None]
