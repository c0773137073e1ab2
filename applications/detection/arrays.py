"""Rows out of NumPy's .npy and .npz files and idx files, read as streams.

A memory map would do for .npy, but the pages that it has touched count as the process's own, up to the whole file.
"""

import gzip
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

import numpy as np

from vae_rosetta.applications.detection.rows import RawPart, Source, check_pixels, rows_in_a_part
from vae_rosetta.shared import idx

_GZIP: Final = b"\x1f\x8b"
_DAMAGE: Final = (EOFError, ValueError, OSError, struct.error, zipfile.BadZipFile, zlib.error)

_Opener = Callable[[], AbstractContextManager[IO[bytes]]]


class _Header(NamedTuple):
    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]


def npy(path: Path, input_dim: int) -> Source:
    """A .npy file of shape (N, D) or (N, h, w).

    Raises:
        OSError, ValueError: it cannot be read, or holds something else; the message names it.
    """
    opener = partial(_opened, path)
    header = _npy_header(path, opener)
    if header.fortran_order:
        mapped = np.load(path, mmap_mode="r")  # columns lie together: rows cannot be read one after another

        def blocks() -> Iterator[RawPart]:
            for first, last in _spans(len(mapped), input_dim):
                yield RawPart(mapped[first:last].reshape(last - first, -1))

        return _source(path, header, input_dim, blocks)
    return _source(path, header, input_dim, partial(_npy_blocks, path, opener, header))


def npz(path: Path, input_dim: int) -> Source:
    """A .npz file with one array, or with an array `x`, of shape (N, D) or (N, h, w).

    Raises:
        OSError, ValueError: see `npy`.
    """
    with _told(path, "a whole .npz file"), zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
    if len(names) != 1 and "x" not in names:
        raise ValueError(f"{path}: got the arrays {', '.join(names) or '(none)'}; expected one alone, or x")
    member = f"{names[0] if len(names) == 1 else 'x'}.npy"

    @contextmanager
    def opener() -> Iterator[IO[bytes]]:
        with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
            yield stream

    header = _npy_header(path, opener)
    if header.fortran_order:
        raise ValueError(f"{path}: got an array in Fortran order; expected C order (numpy.ascontiguousarray)")
    return _source(path, header, input_dim, partial(_npy_blocks, path, opener, header))


def is_idx(path: Path) -> bool:
    """Whether the file, gzipped or not, starts as idx images do."""
    try:
        with _idx_stream(path) as stream:
            return stream.read(4) == idx.IMAGES.to_bytes(4, "big")
    except (EOFError, OSError, zlib.error):
        return False


def idx_images(path: Path, input_dim: int) -> Source:
    """An idx file of images, gzipped or not.

    Raises:
        OSError, ValueError: see `npy`.
    """
    layout = struct.Struct(">4I")
    with _told(path, "a whole idx file of images"), _idx_stream(path) as stream:
        _, *shape = layout.unpack(stream.read(layout.size))
    header = _Header(tuple(shape), False, np.dtype(np.uint8))

    def blocks() -> Iterator[RawPart]:
        with _told(path, "a whole idx file of images"), _idx_stream(path) as stream:
            stream.read(layout.size)
            yield from _read(stream, header)
            if stream.read(1):
                raise ValueError(f"more than the {shape[0]} images that its header tells")

    return _source(path, header, input_dim, blocks)


def _idx_stream(path: Path) -> IO[bytes]:
    with path.open("rb") as start:
        packed = start.read(2) == _GZIP
    return cast(IO[bytes], gzip.open(path, "rb")) if packed else path.open("rb")


def _opened(path: Path) -> IO[bytes]:
    return path.open("rb")


def _npy_header(path: Path, opener: _Opener) -> _Header:
    with _told(path, "the .npy format"), opener() as stream:
        return _skip_npy_header(stream)


def _npy_blocks(path: Path, opener: _Opener, header: _Header) -> Iterator[RawPart]:
    with _told(path, "a whole array"), opener() as stream:
        _skip_npy_header(stream)
        yield from _read(stream, header)


def _skip_npy_header(stream: IO[bytes]) -> _Header:
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"version {version} of the format, which numbers do not need")
    return _Header(*readers[version](stream))


def _read(stream: IO[bytes], header: _Header) -> Iterator[RawPart]:
    pixels = math.prod(header.shape[1:])
    size = pixels * header.dtype.itemsize
    for first, last in _spans(header.shape[0], pixels):
        data = stream.read((last - first) * size)
        if len(data) != (last - first) * size:
            raise ValueError(f"it ends in row {first + len(data) // size} of {header.shape[0]}")
        yield RawPart(np.frombuffer(data, header.dtype).reshape(last - first, pixels))


def _spans(rows: int, pixels: int) -> Iterator[tuple[int, int]]:
    step = rows_in_a_part(pixels)
    for first in range(0, rows, step):
        yield first, min(rows, first + step)


def _source(path: Path, header: _Header, input_dim: int, read: Callable[[], Iterator[RawPart]]) -> Source:
    shape, dtype = header.shape, header.dtype
    if len(shape) not in (2, 3) or dtype.kind not in "iuf":
        expected = "integers or floats of shape (N, D) or (N, h, w)"
        raise ValueError(f"{path}: got {dtype} of shape {shape}; expected {expected}")
    lengths = " x ".join(map(str, shape[1:]))
    check_pixels(path, math.prod(shape[1:]), input_dim, f"images of {lengths} pixels")
    return Source(path, shape[0], (shape[1], shape[2]) if len(shape) == 3 else None, None, read)


@contextmanager
def _told(path: Path, expected: str) -> Iterator[None]:
    """Turns the errors of reading a damaged file into one that names it."""
    try:
        yield
    except FileNotFoundError:
        raise
    except _DAMAGE as error:
        raise ValueError(f"{path}: got an unreadable file ({error}); expected {expected}") from error
