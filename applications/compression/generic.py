"""What general-purpose compressors make of the same bits: all of them packed 8 to a byte, or image by image."""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, features

from vae_rosetta.applications.compression.exact import Bits

_PNG_HEAD: Final = 8  # bytes before the first chunk; each chunk is a length, a name, data and a checksum
NAMES: Final = ("gzip", "bz2", "lzma", "PNG", "PNG, image data alone", "WebP")


def sizes(x: Bits, image_shape: tuple[int, int], progress: Callable[[int], None] | None = None) -> dict[str, int]:
    """Bytes for x (N, D) by each compressor, at its highest effort (WebP: quality 100, method 4).

    PNG and WebP, lossless, get one file an image; WebP is left out where Pillow comes without it.

    Args:
        image_shape: h and w of the images.
        progress: told how many images have been done since it was last told.
    """
    packed = np.packbits(x, axis=None).tobytes()
    found = dict.fromkeys(NAMES, 0)
    found["gzip"] = len(gzip.compress(packed, 9, mtime=0))
    found["bz2"] = len(bz2.compress(packed, 9))
    found["lzma"] = len(lzma.compress(packed, preset=9 | lzma.PRESET_EXTREME))
    webp = features.check("webp")
    for image in x.reshape(-1, *image_shape).astype(bool):
        png = _saved(image, "PNG", optimize=True)
        found["PNG"] += len(png)
        found["PNG, image data alone"] += _image_data(png)
        if webp:
            found["WebP"] += len(_saved(image, "WEBP", lossless=True, quality=100, method=4))
        if progress is not None:
            progress(1)
    return {name: size for name, size in found.items() if size}


def _saved(image: npt.NDArray[np.bool_], kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(image)
    (picture if kind == "PNG" else picture.convert("RGB")).save(buffer, kind, **options)
    return buffer.getvalue()


def _image_data(png: bytes) -> int:
    """The bytes in the IDAT chunks of a PNG file: what is left without its 57 bytes or more of structure."""
    total, position = 0, _PNG_HEAD
    while position < len(png):
        length = int.from_bytes(png[position : position + 4], "big")
        total += length if png[position + 4 : position + 8] == b"IDAT" else 0
        position += length + 12
    return total
