"""Reading idx, the format of the MNIST files.

A file is a magic word, one word for each dimension, and the bytes of the array in C order. Words have 32 bits, big end
first. The magic word tells the type (third byte 08: uint8) and the number of dimensions (last byte).

Source: LeCun, Cortes & Burges, "The MNIST database of handwritten digits", yann.lecun.com/exdb/mnist.
"""

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

IMAGES: Final = 0x00000803  # (N, h, w)
LABELS: Final = 0x00000801  # (N,)

_GZIP: Final = b"\x1f\x8b"


def read(path: str | os.PathLike[str], magic: int) -> npt.NDArray[np.uint8]:
    """The read-only uint8 array in an idx file that starts with `magic`: `IMAGES`, (N, h, w), or `LABELS`, (N,).

    The file may be gzipped, whatever its name.

    Raises:
        OSError: the file cannot be opened.
        ValueError: not such a file, or a truncated, damaged or overlong one; the message names it.
    """
    data = _contents(Path(path))
    if data[:4] != magic.to_bytes(4, "big"):
        kind = "images" if magic == IMAGES else "labels"
        start = data[:4].hex() or "nothing"
        raise ValueError(f"{path}: got a file that starts with {start}; expected {magic:08x}, as idx {kind} do")
    header = struct.Struct(f">I{magic & 0xFF}I")
    if len(data) < header.size:
        raise ValueError(f"{path}: got {len(data)} bytes; expected an idx header of {header.size}")
    _, *shape = header.unpack_from(data)
    size = header.size + math.prod(shape)
    if len(data) != size:
        lengths = " x ".join(str(length) for length in shape)
        raise ValueError(f"{path}: got {len(data)} bytes; expected {size}, a header and {lengths} as it says")
    return np.frombuffer(data, dtype=np.uint8, offset=header.size).reshape(shape)


def _contents(path: Path) -> bytes:
    data = path.read_bytes()
    # By content, not by ending: some browsers unpack what they download and keep the name.
    if not data.startswith(_GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: got a damaged gzip file ({error}); expected a whole one") from error
