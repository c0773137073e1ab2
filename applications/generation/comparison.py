"""The quality of a model's samples: each set of images against the training images, by the same judge.

The sets: real images held out, the floor, which no model's samples should be expected to beat; samples as
probabilities; both again as bits drawn from their grey values; and two ceilings, see `anchors`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vae_rosetta.applications.generation import anchors, quality
from vae_rosetta.applications.generation.decoding import Draw, latents, probabilities
from vae_rosetta.applications.generation.judge import Judge
from vae_rosetta.applications.generation.quality import Histogram, Moments, Neighbourhoods
from vae_rosetta.shared import binarisation, stream
from vae_rosetta.shared.contract import Array, Model
from vae_rosetta.shared.datasets import Dataset
from vae_rosetta.shared.stream import Purpose

FLOOR: Final = "test"
IN_NEIGHBOURHOODS: Final = 5000  # images of either set: the work grows with the square
IN_NEAREST: Final = 2000  # images whose nearest training image is looked for

Real = npt.NDArray[np.float64]


class Set(NamedTuple):
    """Images to be measured."""

    name: str
    what: str
    images: npt.NDArray[np.float32]  # (n, D)


@dataclass(frozen=True)
class Measures:
    """A set of n images beside the training images; lengths in units of the features' standard deviations."""

    name: str
    what: str
    n: int  # images, but for what follows
    n_neighbourhoods: int
    n_nearest: int
    frechet: float
    neighbourhoods: Neighbourhoods
    labels: Histogram
    confidence: float  # the judge's, on average
    nearest_median: float  # Euclidean distance between pixels of an image and its nearest training image
    nearest_percentile: float  # the first: a model that learns its images by heart has it near 0


class Reference:
    """The training images (N, D) as the judge sees them, and an order to take them in."""

    def __init__(self, judge: Judge, data: Dataset, labels: npt.NDArray[np.int64], seed: int) -> None:
        self.judge, self.images, self.labels = judge, data.train, labels
        features = judge.features(data.train)  # (N, F)
        order = stream.permutation(seed, Purpose.LATENT, Draw.TRAIN, len(features))
        self.moments: Moments = quality.moments(features)
        self.features: Real = features[order[:IN_NEIGHBOURHOODS]]


def check_n(n: int, data: Dataset) -> int:
    """`n` itself, if there are so many images held out, for a floor of the same number.

    Raises:
        ValueError: there are fewer, or n is too small for neighbourhoods.
    """
    least = quality.NEIGHBOURS + 1
    if not least <= n <= len(data.test):
        raise ValueError(f"n: got {n}; expected {least} to {len(data.test)}, the images held out in {data.name}")
    return n


def sets(model: Model, data: Dataset, latent_dim: int, n: int, seed: int) -> Iterator[Set]:
    """The sets of n images, the floor first. For n see `check_n`."""
    test = data.test[stream.permutation(seed, Purpose.LATENT, Draw.TEST, len(data.test))[:n]]  # (n, D)
    samples = probabilities(model, latents(seed, n, latent_dim))  # (n, D)
    yield Set(FLOOR, "real images held out: the floor", test)
    yield Set("samples", "the model's samples, as probabilities", samples)
    yield Set("test, bits", "real images held out, as bits drawn from their grey values", _bits(test, seed, 0))
    yield Set("samples, bits", "the model's samples, as bits drawn from their probabilities", _bits(samples, seed, 1))
    pca = anchors.pca_gaussian(data.train, n, seed)
    yield Set("PCA-20", "a Gaussian on 20 principal components of the training images: a ceiling", pca)
    noise = anchors.pixel_noise(data.train, n, seed)
    yield Set("pixel noise", "each pixel of another training image: a ceiling", noise)


def measure(images: Set, reference: Reference) -> Measures:
    """The set beside the training images.

    Raises:
        ValueError: too few images.
    """
    judge, pixels = reference.judge, images.images
    features = judge.features(pixels)
    near = min(len(features), len(reference.features), IN_NEIGHBOURHOODS)
    verdict = judge.verdict(pixels)
    distances = quality.nearest(reference.images, pixels[:IN_NEAREST])
    return Measures(
        name=images.name,
        what=images.what,
        n=len(pixels),
        n_neighbourhoods=near,
        n_nearest=len(distances),
        frechet=quality.frechet(reference.moments, quality.moments(features)),
        neighbourhoods=quality.neighbourhoods(reference.features[:near], features[:near]),
        labels=quality.histogram(verdict.labels, reference.labels),
        confidence=float(verdict.confidence.mean()),
        nearest_median=float(np.median(distances)),
        nearest_percentile=float(np.percentile(distances, 1.0)),
    )


def compare(
    model: Model, reference: Reference, data: Dataset, latent_dim: int, n: int, seed: int, done: Callable[[int], None]
) -> list[Measures]:
    """All sets measured; `done` is called with 1 after each.

    Raises:
        ValueError: see `check_n`.
    """
    check_n(n, data)
    measured = []
    for images in sets(model, data, latent_dim, n, seed):
        measured.append(measure(images, reference))
        done(1)
    return measured


def ratios(measured: Measures, floor: Measures) -> dict[str, float]:
    """Each number over that of the floor, where that is not 0."""
    pairs = {name: (value, _numbers(floor)[name]) for name, value in _numbers(measured).items()}
    return {name: value / of for name, (value, of) in pairs.items() if of}


def _numbers(measured: Measures) -> dict[str, Any]:
    return {
        "frechet": measured.frechet,
        **measured.neighbourhoods._asdict(),
        "chi_square": measured.labels.chi_square,
        "confidence": measured.confidence,
        "nearest_median": measured.nearest_median,
        "nearest_percentile": measured.nearest_percentile,
    }


def _bits(x: Array, seed: int, draw: int) -> npt.NDArray[np.float32]:
    return binarisation.drawn(x, seed, draw)
