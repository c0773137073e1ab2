"""The portable random stream: the same seed means the same numbers in every framework, language and process.

Framework seeds do not transfer, not even between versions or tensor sizes of one framework (pytorch/pytorch#80202), so
no framework's generator decides a training run. Everything random in a run comes from here:

* Words. Block j of stream (seed, purpose, index) is Philox4x64-10 of the counter words (j, 0, index, 0) under the key
  words (seed, purpose): four 64-bit words, little end first. Word n of a stream is word n mod 4 of block n // 4.
  (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11.)
* Uniform n: (word n >> 11) * 2^-53, in [0, 1).
* Normals 2k and 2k + 1 (Box & Muller 1958), computed in float64 and then rounded to float32:
  r cos(a) and r sin(a), with r = sqrt(-2 ln(1 - uniform 2k)) and a = 2 pi uniform 2k+1.
* Permutation of n: the positions of words 0 .. n-1 in ascending order (stable, should two words be equal).

A stream is random-access, so a run resumes at any step. NumPy serves the raw words only: those are stable by NumPy's
policy (NEP 19), its derived samplers are not.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

_CHUNK: Final = 8192  # words worked on at a time: stays in the cache, which halves the time of a long draw


class Purpose(IntEnum):
    """The second key word: streams for different uses never overlap. `index` counts what is named here."""

    WEIGHTS = 1  # index: position of the tensor in canonical order
    ORDER = 2  # index: epoch, from 0
    NOISE = 3  # index: epoch, from 0; row i belongs to the i-th image of that epoch's order
    EVALUATION = 4  # index: draw number; row i belongs to the i-th image of the data set
    LATENT = 5  # index: 0, prior samples for pictures that must agree across backends; others: what is shown with them
    VECTORS = 6  # index: chosen by the generator of the golden vectors
    BINARISATION = 7  # index: epoch; dynamic binarisation of grey pixels, uniform i D + d for pixel d of image i
    BINARISED_DRAW = 8  # index: draw number; the same for images held out, once
    COMPRESSION = 9  # index: block of images; what its stack begins with


def words(seed: int, purpose: Purpose, index: int, count: int, *, start: int = 0) -> npt.NDArray[np.uint64]:
    """Words `start` .. `start + count - 1` of the stream (seed, purpose, index), shape (count,)."""
    return np.concatenate(list(_word_chunks(seed, purpose, index, count, start)))


def uniform(seed: int, purpose: Purpose, index: int, count: int, *, start: int = 0) -> npt.NDArray[np.float64]:
    """Uniforms `start` .. `start + count - 1` in [0, 1) of the stream, shape (count,)."""
    return _unit(words(seed, purpose, index, count, start=start))


def uniform_chunks(seed: int, purpose: Purpose, index: int, count: int) -> Iterator[npt.NDArray[np.float64]]:
    """The same uniforms from 0 on, a few thousand at a time: work on each while it is in the cache."""
    return map(_unit, _word_chunks(seed, purpose, index, count, 0))


def normal(
    seed: int, purpose: Purpose, index: int, shape: tuple[int, ...], *, start: int = 0
) -> npt.NDArray[np.float32]:
    """Standard normals from number `start` of the stream on, in C order, float32 of the given shape."""
    count = int(np.prod(shape))
    skip = start % 2  # normals come in pairs; the first or the last of a draw may be left unused
    even = skip + count + (skip + count) % 2
    drawn = np.empty(even, dtype=np.float32)
    position = 0
    for chunk in _word_chunks(seed, purpose, index, even, start - skip):
        unit = _unit(chunk)
        radius = np.sqrt(-2.0 * np.log(1.0 - unit[0::2]))
        # cos a = (1 - t^2) / (1 + t^2) and sin a = 2t / (1 + t^2) with t = tan(a / 2): one transcendental function
        # instead of two, at the same accuracy (t^2 overflows nowhere: float64 has no angle closer to pi / 2 than
        # 6e-17).
        tangent = np.tan(np.pi * unit[1::2])
        scale = radius / (1.0 + tangent * tangent)
        pairs = drawn[position : position + len(chunk)]
        pairs[0::2] = 2.0 * scale - radius
        pairs[1::2] = 2.0 * scale * tangent
        position += len(chunk)
    return drawn[skip : skip + count].reshape(shape)


def permutation(seed: int, purpose: Purpose, index: int, count: int) -> npt.NDArray[np.int64]:
    """A permutation of 0 .. count-1, shape (count,)."""
    return np.argsort(words(seed, purpose, index, count), kind="stable")


def check_seed(seed: int) -> int:
    """`seed` itself, or an error: a seed is a whole number that fits a 64-bit word.

    Raises:
        TypeError: not an integer.
        ValueError: negative or 2^64 and above.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed: got {seed!r} ({type(seed).__name__}); expected a whole number from 0 to 2**64 - 1")
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed: got {seed}; expected a whole number from 0 to 2**64 - 1")
    return int(seed)


def _word_chunks(seed: int, purpose: Purpose, index: int, count: int, start: int) -> Iterator[npt.NDArray[np.uint64]]:
    key = np.array([check_seed(seed), purpose], dtype=np.uint64)
    first_block, skip = divmod(start, 4)
    # NumPy steps its 256-bit counter before it makes a block, hence the one before ours.
    before = ((index << 128) + first_block - 1) % 2**256
    counter = np.array([before >> shift & 0xFFFF_FFFF_FFFF_FFFF for shift in (0, 64, 128, 192)], dtype=np.uint64)
    generator = np.random.Philox(key=key, counter=counter)
    generator.random_raw(skip)
    for position in range(0, max(count, 1), _CHUNK):
        yield generator.random_raw(min(_CHUNK, count - position))


def _unit(raw: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
