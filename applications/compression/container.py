"""The bytes of a .vaez file. FORMAT.md describes them; this is its one reader and writer.

Every byte is covered: the header and the table of blocks by a CRC-32, each block's words by another, the pixels by a
third, and the file's length by the table.
"""

import struct
import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from vae_rosetta.applications.compression.codec import Coded, Words

MAGIC: Final = b"\x89VAEZ\r\n\x1a"  # not text, and changed by whatever changes line ends, as in PNG
VERSION: Final = 1
MOST_BLOCK: Final = 2**31

_PREFIX: Final = struct.Struct("<8sHHI")  # magic, version, dimensions of the array, number of blocks
# Images, pixels, height and width (0 and 0: a two-dimensional array), block size, seed words of a block, dtype, coder,
# SHA-256 of the integer network and of the weights.
_HEADER: Final = struct.Struct("<QIIIII8s24s32s32s")
_BLOCK: Final = struct.Struct("<III")  # words, CRC-32 of them, CRC-32 of the pixels
_CRC: Final = struct.Struct("<I")


class Header(NamedTuple):
    """What a file tells about itself."""

    shape: tuple[int, ...]  # of the array: (N, D) or (N, h, w)
    dtype: np.dtype[np.generic]  # of the array
    block_size: int  # images in each block but the last
    seed_words: int  # that each block's stack began with
    coder: str  # name and series
    network_sha256: bytes
    weights_sha256: bytes

    @property
    def counts(self) -> list[int]:
        """How many images each block holds."""
        images, size = self.shape[0], self.block_size
        return [min(size, images - start) for start in range(0, images, size)]


class Block(NamedTuple):
    """One block, as the file has it."""

    words: Words | None  # None: cut off, or not what its CRC-32 says
    pixels_crc: int


class Stored(NamedTuple):
    """A file, read."""

    header: Header
    blocks: list[Block]
    trouble: str | None  # truncation or trailing bytes, in one line


def pack(header: Header, blocks: Sequence[Coded]) -> bytes:
    """The bytes of a file."""
    images, *image = header.shape
    height, width = image if len(image) == 2 else (0, 0)
    names = header.dtype.str.encode("ascii"), header.coder.encode("ascii")
    hashes = header.network_sha256, header.weights_sha256
    numbers = images, int(np.prod(image)), height, width, header.block_size, header.seed_words
    payloads = [block.words.astype("<u4").tobytes() for block in blocks]
    head = _PREFIX.pack(MAGIC, VERSION, len(header.shape), len(blocks)) + _HEADER.pack(*numbers, *names, *hashes)
    head += b"".join(
        _BLOCK.pack(len(block.words), zlib.crc32(payload), block.pixels_crc)
        for block, payload in zip(blocks, payloads, strict=True)
    )
    return b"".join([head, _CRC.pack(zlib.crc32(head)), *payloads])


def unpack(data: bytes) -> Stored:
    """A file's header and blocks.

    A file whose length is not what its table says is read as far as it goes, and `trouble` says so.

    Raises:
        ValueError: not a .vaez file, of another version, or damaged in its header or table.
    """
    if data[: len(MAGIC)] != MAGIC:
        if data and MAGIC.startswith(data):
            raise ValueError(f"truncated: got {len(data)} bytes")
        raise ValueError(f"got a file that starts with {data[:8]!r}; expected a .vaez file, as vae compress writes it")
    if len(data) < _PREFIX.size:
        raise ValueError(f"truncated: got {len(data)} bytes")
    _, version, dimensions, blocks_count = _PREFIX.unpack_from(data)
    if version != VERSION:
        raise ValueError(f"got format version {version}; expected {VERSION}, which this program reads")
    end = _PREFIX.size + _HEADER.size + blocks_count * _BLOCK.size
    if len(data) < end + _CRC.size:
        raise ValueError(
            f"truncated, or damaged in its header: got {len(data)} bytes; expected {end + _CRC.size} or more"
        )
    if _CRC.unpack_from(data, end)[0] != zlib.crc32(data[:end]):
        raise ValueError("damaged in its header or its table of blocks: the checksum does not fit")
    header = _header(data, dimensions)
    expected = -(-header.shape[0] // header.block_size)
    if blocks_count != expected:
        raise ValueError(f"damaged: got {blocks_count} blocks; expected {expected}")
    table = [_BLOCK.unpack_from(data, end - (blocks_count - i) * _BLOCK.size) for i in range(blocks_count)]
    return _blocks(header, table, data, end + _CRC.size)


def _header(data: bytes, dimensions: int) -> Header:
    """The header of a file whose checksum is right.

    Raises:
        ValueError: it says what no writer of this version writes.
    """
    images, pixels, height, width, block_size, seeds, dtype, coder, network, weights = _HEADER.unpack_from(
        data, _PREFIX.size
    )
    shape = (images, height, width) if dimensions == 3 else (images, pixels)
    try:
        kind = np.dtype(dtype.rstrip(b"\0").decode("ascii"))
        name = coder.rstrip(b"\0").decode("ascii")
        valid = kind.kind in "buif" and dimensions in (2, 3) and np.prod(shape[1:]) == pixels and 0 not in shape
    except (TypeError, ValueError):
        valid = False
    if not valid or not 0 < block_size <= MOST_BLOCK:
        raise ValueError("damaged: its header says what cannot be")
    return Header(shape, kind, block_size, seeds, name, network, weights)


def _blocks(header: Header, table: Sequence[tuple[int, int, int]], data: bytes, start: int) -> Stored:
    blocks = []
    for words, crc, pixels_crc in table:
        payload = data[start : start + 4 * words]
        whole = len(payload) == 4 * words and zlib.crc32(payload) == crc
        blocks.append(Block(np.frombuffer(payload, dtype="<u4").astype(np.uint32) if whole else None, pixels_crc))
        start += 4 * words
    trouble = None
    if len(data) < start:
        trouble = f"truncated: got {len(data)} bytes; expected {start}"
    elif len(data) > start:
        trouble = f"got {len(data) - start} bytes after its end; expected {start} bytes in all"
    return Stored(header, blocks, trouble)
