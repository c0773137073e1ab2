"""Grey pixels made black and white: three data sets that share a name in the literature, and must not be compared.

* dynamic: every time an image is seen, each pixel is 1 with the probability that its grey value is (Salakhutdinov &
  Murray 2008). For training, with uniforms from stream (seed, BINARISATION, epoch).
* drawn: the same, once, for images held out: from stream (seed, BINARISED_DRAW, draw). Named by its seed and draw.
* rounded: x >= 1/2. An easier data set: compressors and likelihoods come out much better than on the other two.

Uniform i D + d of the stream decides pixel d of the i-th image of the data set: 1 where the uniform is below its grey
value, so that 0 stays 0 and 1 stays 1.

A `Protocol` says what is done to held-out images, and names it in the words that stand beside every figure.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vae_rosetta.shared import checks, stream
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.datasets import Dataset
from vae_rosetta.shared.stream import Purpose

GREY: Final = "none"
DRAWN: Final = "drawn"
ROUNDED: Final = "rounded"
CHOICES: Final = (GREY, DRAWN, ROUNDED)  # what may be done to held-out images

_TRAINED_ON: Final = {"none": "grey", "dynamic": "dynamic-binarised"}
TRAINABLE: Final = tuple(_TRAINED_ON)  # what an epoch may do with grey pixels

Bits = npt.NDArray[np.float32]  # of 0 and 1


def dynamic(x: Array, seed: int, epoch: int) -> Bits:
    """x (N, D) in [0, 1] -> bits (N, D), as epoch `epoch` (from 0) sees it."""
    return _below(x, seed, Purpose.BINARISATION, epoch)


def drawn(x: Array, seed: int, draw: int = 0) -> Bits:
    """x (N, D) in [0, 1] -> bits (N, D): one fixed draw of a data set."""
    return _below(x, seed, Purpose.BINARISED_DRAW, draw)


def rounded(x: Array) -> Bits:
    """x (N, D) in [0, 1] -> bits (N, D): 1 from one half on."""
    return (x >= 0.5).astype(np.float32)


def is_binary(x: Array) -> bool:
    """Whether every pixel is 0 or 1."""
    return bool(np.all((x == 0) | (x == 1)))


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
            return drawn(x, self.seed)
        return rounded(x) if self.binarise == ROUNDED else x

    def words(self, x: npt.NDArray[np.floating]) -> str:
        """The name of these data, where x (N, D) are the images before `apply`."""
        if is_binary(x):
            return "binary as given"  # then neither a draw nor rounding changes anything
        one_draw = f"dynamic-binarised (one draw, seed {self.seed})"
        return {GREY: "grey", DRAWN: one_draw, ROUNDED: "rounded"}[self.binarise]

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
    """The name of the data that `recipe.fit` trains on with `binarise`.

    Raises:
        ValueError: it knows no such.
    """
    return _TRAINED_ON[checks.one_of("binarise", binarise, _TRAINED_ON)]


def held_out(binarise: str, seed: int) -> Protocol:
    """What a run that was trained with `binarise` and `seed` is tested on, after every epoch."""
    return Protocol(DRAWN, seed) if binarise == "dynamic" else Protocol(GREY)


def _below(x: Array, seed: int, purpose: Purpose, index: int) -> Bits:
    bits = np.empty(x.shape, dtype=np.float32)
    flat, grey = bits.reshape(-1), x.reshape(-1)
    position = 0
    for uniforms in stream.uniform_chunks(seed, purpose, index, x.size):
        pixels = slice(position, position + len(uniforms))
        flat[pixels] = uniforms < grey[pixels]
        position = pixels.stop
    return bits
