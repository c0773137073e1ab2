"""What was done to grey pixels, in words that stand beside every figure: likelihoods of different data do not compare.

See `shared/binarisation.py` for the data sets themselves.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vae_rosetta.shared import binarisation, checks
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.datasets import Dataset

GREY: Final = "none"
DRAWN: Final = "drawn"
ROUNDED: Final = "rounded"
CHOICES: Final = (GREY, DRAWN, ROUNDED)

_TRAINED_ON: Final = {"none": "grey", "dynamic": "dynamic-binarised"}
TRAINABLE: Final = tuple(_TRAINED_ON)  # what `shared.recipe.fit` may do with grey pixels

_Images = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Protocol:
    """How held-out images become what the model is given."""

    binarise: str  # one of CHOICES
    seed: int = 0  # of the draw, where there is one

    def __post_init__(self) -> None:
        checks.one_of("binarise", self.binarise, CHOICES)

    def apply(self, x: Array) -> Array:
        """x (N, D) in [0, 1] -> the images (N, D) that this protocol evaluates on; x itself if it leaves them grey."""
        if self.binarise == DRAWN:
            return binarisation.drawn(x, self.seed)
        return binarisation.rounded(x) if self.binarise == ROUNDED else x

    def words(self, x: _Images) -> str:
        """The name of these data, where x (N, D) are the images before `apply`."""
        if binarisation.is_binary(x):
            return "binary as given"  # then neither a draw nor rounding changes anything
        drawn = f"dynamic-binarised (one draw, seed {self.seed})"
        return {GREY: "grey", DRAWN: drawn, ROUNDED: "rounded"}[self.binarise]

    def held_out(self, data: Dataset, count: int | None = None) -> "HeldOut":
        """The images that `data` holds out, or the first `count`, as this protocol evaluates on them.

        Raises:
            ValueError: there are fewer.
        """
        if count is not None and count > len(data.test):
            raise ValueError(f"images: got {count}; expected at most {len(data.test)}, which {data.name} holds out")
        grey = data.test[:count]
        return HeldOut(data, self, self.apply(grey), self.words(grey))


class HeldOut(NamedTuple):
    """What a model is evaluated on."""

    data: Dataset
    protocol: Protocol
    x: Array  # (N, D), as it is evaluated
    words: str  # that name its protocol beside every figure


def trained_on(binarise: str) -> str:
    """The name of the data that `shared.recipe.fit` trains on with `binarise`.

    Raises:
        ValueError: it knows no such.
    """
    return _TRAINED_ON[checks.one_of("binarise", binarise, _TRAINED_ON)]


def held_out(binarise: str, seed: int) -> Protocol:
    """What a run that was trained with `binarise` and `seed` is tested on, after every epoch."""
    return Protocol(DRAWN, seed) if binarise == "dynamic" else Protocol(GREY)
