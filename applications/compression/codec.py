"""Bits-back coding of binary images with asymmetric numeral systems (Townsend, Bird & Barber, ICLR 2019, section 2.5).

The images are cut into blocks, each with a stack of its own. To code an image, its latents are decoded from what is on
the stack with q(z|x), the pixels are encoded with p(x|z), and the latents with p(z); decoding does the same backwards
and so gets back what the latents were made of. Each image costs -log p(x|z) - log p(z) + log q(z|x) bits: on average,
the negative ELBO.

A stack begins with seed words from the portable stream, for the first image's latents to be decoded from. They must
come back when the last image is decoded, which is the first check of a block; a CRC of its pixels is the second.

Within a block each image depends on the one before. Blocks do not, so they advance together, one image of each per call
to the model; how many advance together changes nothing in the result.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import metadata
from typing import Any, Final, NamedTuple

import constriction
import numpy as np
import numpy.typing as npt

from vae_rosetta.applications.compression import tables
from vae_rosetta.applications.compression.exact import Bits, ExactModel
from vae_rosetta.applications.compression.quantisation import IntegerNetwork
from vae_rosetta.shared import checks, passes, stream
from vae_rosetta.shared.contract import Model
from vae_rosetta.shared.stream import Purpose

BLOCK_SIZE: Final = 500  # images: the seed words of a block of MNIST are then 0.4 % of it
LANES: Final = 64  # blocks that advance together
_SEED_BITS: Final = 9  # per latent, of a normal one with deviation 1 on the grid: log2(64 sqrt(2 pi e)) = 8.05
_STATE_WORDS: Final = 2  # the coder's own state
# CRC-32 of what `coder_check` codes. A new one is a new file format.
CODER_CRC32: Final = 0x87577323

Words = npt.NDArray[np.uint32]
_Progress = Callable[[int], None]

_stack: Any = constriction.stream.stack
_models: Any = constriction.stream.model


class Coded(NamedTuple):
    """A block of images."""

    words: Words  # the stack, seed words included
    pixels_crc: int  # CRC-32 of the block's pixels, packed 8 to a byte


def coder() -> str:
    """Name and series of the installed coder: releases of one series give equal bits, by its own stability policy."""
    major, minor, *_ = metadata.version("constriction").split(".")
    return f"constriction {major}.{minor}" if major == "0" else f"constriction {major}"


def seed_words(latent_dim: int) -> int:
    """How many words a stack begins with: enough to decode one image's latents from, with room."""
    return _STATE_WORDS + -(-_SEED_BITS * latent_dim // 32)


def pixels_crc(x: Bits) -> int:
    """CRC-32 of pixels (N, D), packed 8 to a byte, the first in the highest bit."""
    return zlib.crc32(np.packbits(x, axis=None).tobytes())


class Codec:
    """Images (N, D) of 0 and 1 to blocks, and back, for one integer network."""

    def __init__(self, network: IntegerNetwork, model: Model, *, lanes: int = LANES) -> None:
        """Args:
            model: of any backend, holding `network.params()` in float64.
            lanes: blocks that advance together.

        Raises:
            ArithmeticError: the backend, or the installed coder, does not compute as the file format wants it.
            TypeError, ValueError: `lanes` is not a whole number above 0.
        """
        coder_check()
        self._lanes = checks.count("lanes", lanes)
        self._exact = ExactModel(network, model)
        self._pixels, self._latents = network.sizes.input_dim, network.sizes.latent_dim
        self._seed_words = seed_words(self._latents)

    def compress(self, x: Bits, block_size: int = BLOCK_SIZE, progress: _Progress | None = None) -> Iterator[Coded]:
        """x (N, D) -> the blocks in order; `progress` is told how many images have been coded since it was last told.

        Raises:
            TypeError, ValueError: `block_size` is not a whole number above 0.
        """
        checks.count("block_size", block_size)
        blocks = [x[start : start + block_size] for start in range(0, len(x), block_size)]
        for first in range(0, len(blocks), self._lanes):
            together = blocks[first : first + self._lanes]
            stacks = self._encode(first, together, progress)
            for block, stack in zip(together, stacks, strict=True):
                yield Coded(stack.get_compressed(), pixels_crc(block))

    def decompress(
        self, blocks: Sequence[Words | None], counts: Sequence[int], progress: _Progress | None = None
    ) -> Iterator[Bits | None]:
        """Stacks and how many images are in each -> the images (n, D) of each block, in order.

        None stands for a block that is lost: given as None, or found to be no stack of this network's. Whether the
        pixels are right is for the caller to check, by `pixels_crc`.
        """
        for first in range(0, len(blocks), self._lanes):
            lanes = slice(first, first + self._lanes)
            yield from self._decode(first, blocks[lanes], counts[lanes], progress)

    def _encode(self, first: int, blocks: Sequence[Bits], progress: _Progress | None) -> list[Any]:
        rows = min(len(blocks[0]), passes.ROWS)
        posteriors = [self._exact.posterior(block, rows) for block in blocks]
        stacks = [_stack.AnsCoder(self._seeds(first + lane)) for lane in range(len(blocks))]
        z = np.zeros((len(blocks), self._latents), dtype=np.int32)
        for image in reversed(range(len(blocks[0]))):  # backwards, so that decoding goes forwards
            lanes = [lane for lane, block in enumerate(blocks) if image < len(block)]  # the last block may be short
            for lane in lanes:
                centre, offset, deviation = (part[image] for part in posteriors[lane])
                z[lane] = centre + stacks[lane].decode(_POSTERIOR, offset, deviation)
            white = self._exact.probabilities(z, len(blocks))
            for lane in lanes:
                stacks[lane].encode_reverse(blocks[lane][image].astype(np.int32), _BERNOULLI, white[lane])
                stacks[lane].encode_reverse(z[lane], _PRIOR)
            if progress is not None:
                progress(len(lanes))
        return stacks

    def _decode(
        self, first: int, blocks: Sequence[Words | None], counts: Sequence[int], progress: _Progress | None
    ) -> list[Bits | None]:
        stacks = {lane: stack for lane, words in enumerate(blocks) if (stack := _opened(words)) is not None}
        x = [np.zeros((count, self._pixels), dtype=np.uint8) for count in counts]
        for image in range(max(counts, default=0)):
            lanes = [lane for lane in stacks if image < counts[lane]]
            if lanes:
                chosen = {lane: stacks[lane] for lane in lanes}
                for lane in self._decode_image(image, chosen, x, len(blocks)):
                    del stacks[lane]
            if progress is not None:
                progress(sum(image < count for count in counts))
        return [
            x[lane]
            if lane in stacks and np.array_equal(stacks[lane].get_compressed(), self._seeds(first + lane))
            else None
            for lane in range(len(blocks))
        ]

    def _decode_image(self, image: int, stacks: Mapping[int, Any], x: Sequence[Bits], length: int) -> list[int]:
        """Image number `image` of each lane, from its stack into `x`; `length` rows a call to the model.

        Returns the lanes whose latents cannot have come from their pixels.
        """
        z = np.array([stack.decode(_PRIOR, self._latents) for stack in stacks.values()], dtype=np.int32)
        white = self._exact.probabilities(z, length)
        for row, (lane, stack) in enumerate(stacks.items()):
            x[lane][image] = stack.decode(_BERNOULLI, white[row])
        posterior = self._exact.posterior(np.array([x[lane][image] for lane in stacks]), length)
        steps = z - posterior.centre
        lost = np.abs(steps).max(axis=1) > tables.WINDOW
        for row, stack in enumerate(stacks.values()):
            if not lost[row]:
                stack.encode_reverse(steps[row], _POSTERIOR, posterior.offset[row], posterior.deviation[row])
        return [lane for row, lane in enumerate(stacks) if lost[row]]

    def _seeds(self, block: int) -> Words:
        """What the stack of block number `block` begins with; its last word is not 0, as no stack's is."""
        words = stream.words(0, Purpose.COMPRESSION, block, self._seed_words).astype(np.uint32)  # the low halves
        words[-1] |= 1
        return words


def _opened(words: Words | None) -> Any:
    """A stack of these words, or None where they are none."""
    return None if words is None or not len(words) or words[-1] == 0 else _stack.AnsCoder(words)


_BERNOULLI: Final = _models.Bernoulli(perfect=False)
_POSTERIOR: Final = _models.QuantizedGaussian(-tables.WINDOW, tables.WINDOW)
_PRIOR: Final = _models.QuantizedGaussian(-tables.GRID_LIMIT, tables.GRID_LIMIT, 0.0, float(2**tables.GRID_BITS))


@cache
def coder_check() -> None:
    """Codes some symbols with every entry of the tables, and compares the words with what they are elsewhere.

    Raises:
        ArithmeticError: the installed coder gives other words; its files could not be read elsewhere.
    """
    white, deviations = tables.probabilities(), tables.deviations()
    stack = _stack.AnsCoder()
    for pixel in (0, 1):
        stack.encode_reverse(np.full(len(white), pixel, dtype=np.int32), _BERNOULLI, white)
    offset = (np.arange(len(deviations)) % 65 - 32) / 64  # from -1/2 to 1/2
    for step in range(-4, 5):  # from far below the mean to far above it
        symbol = np.clip(np.rint(0.75 * step * deviations), -tables.WINDOW, tables.WINDOW).astype(np.int32)
        stack.encode_reverse(symbol, _POSTERIOR, offset, deviations)
    stack.encode_reverse(np.arange(-tables.GRID_LIMIT, tables.GRID_LIMIT + 1, dtype=np.int32), _PRIOR)
    found = zlib.crc32(stack.get_compressed().astype("<u4").tobytes())
    if found != CODER_CRC32:
        raise ArithmeticError(f"coder: {coder()} gives words of CRC-32 {found:08x} here; expected {CODER_CRC32:08x}")
