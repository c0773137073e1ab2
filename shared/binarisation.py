"""Grey pixels made black and white: three data sets that share a name in the literature, and must not be compared.

* dynamic: every time an image is seen, each pixel is 1 with the probability that its grey value is (Salakhutdinov &
  Murray 2008). For training, with uniforms from stream (seed, BINARISATION, epoch).
* drawn: the same, once, for images held out: from stream (seed, BINARISED_DRAW, draw). Named by its seed and draw.
* rounded: x >= 1/2. An easier data set: compressors and likelihoods come out much better than on the other two.

Uniform i D + d of the stream decides pixel d of the i-th image of the data set: 1 where the uniform is below its grey
value, so that 0 stays 0 and 1 stays 1.
"""

import numpy as np
import numpy.typing as npt

from vae_rosetta.shared import stream
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.stream import Purpose

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


def _below(x: Array, seed: int, purpose: Purpose, index: int) -> Bits:
    bits = np.empty(x.shape, dtype=np.float32)
    flat, grey = bits.reshape(-1), x.reshape(-1)
    position = 0
    for uniforms in stream.uniform_chunks(seed, purpose, index, x.size):
        pixels = slice(position, position + len(uniforms))
        flat[pixels] = uniforms < grey[pixels]
        position = pixels.stop
    return bits
