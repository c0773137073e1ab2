"""Rows out of a folder of PNG files: one image a file, in the order of their names."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from vae_rosetta.applications.detection.rows import RawPart, Source, check_pixels, rows_in_a_part

_MODES = ("1", "L", "P", "RGB")  # those that become 8-bit grey without a choice: no transparency, no 16 bits


def png_folder(folder: Path, input_dim: int) -> Source:
    """A folder's files that end in .png, all of one size; colour counts by its luma (ITU-R 601), as Pillow has it.

    Raises:
        ValueError: there are none, or the first is no such image; the message names it.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".png")
    if not paths:
        raise ValueError(f"{folder}: got a folder without a .png file; expected at least one image")
    height, width = _pixels(paths[0], None).shape
    check_pixels(paths[0], height * width, input_dim, f"an image of {height} x {width} pixels")

    def read() -> Iterator[RawPart]:
        step = rows_in_a_part(input_dim)
        for first in range(0, len(paths), step):
            some = paths[first : first + step]
            images = np.stack([_pixels(path, (paths[0], height, width)) for path in some])  # (n, h, w)
            yield RawPart(images.reshape(len(some), -1), [path.name for path in some])

    return Source(folder, len(paths), (height, width), "file", read)


def _pixels(path: Path, like: tuple[Path, int, int] | None) -> npt.NDArray[np.uint8]:
    """The image in a file, (h, w), of the size of the one that is named with it."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            size = (image.height, image.width)
            mode = "transparent" if "transparency" in image.info else image.mode
            if mode in _MODES and (like is None or size == like[1:]):  # before its pixels are unpacked
                return np.asarray(image.convert("L"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{path}: got an unreadable file ({error}); expected a PNG image") from error
    if mode not in _MODES:
        raise ValueError(f"{path}: got an image of mode {mode}; expected 8-bit grey or RGB without transparency")
    assert like is not None
    raise ValueError(
        f"{path}: got an image of {size[0]} x {size[1]} pixels; expected {like[1]} x {like[2]}, as {like[0].name} has"
    )
