"""Rows of pixels out of a file of any size, a part at a time: what every kind of input has in common."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vae_rosetta.shared import passes

_PIXELS: Final = 2**22  # in a part: 16 MB as float32, whatever the size of the file

Raw = npt.NDArray[Any]  # (n, D), integers or floats, as stored
Pixels = npt.NDArray[np.float32]  # (n, D), in [0, 1]


class RawPart(NamedTuple):
    """Rows as a file holds them."""

    pixels: Raw  # (n, D)
    names: list[str] | None = None


class Part(NamedTuple):
    """Rows ready for a model."""

    start: int  # row number of the first, from 0
    x: Pixels  # (n, D)
    names: list[str] | None  # of the rows, if they have names

    def split(self, rows: int) -> tuple["Part", "Part"]:
        """The first rows, and the others."""
        names = (None, None) if self.names is None else (self.names[:rows], self.names[rows:])
        return Part(self.start, self.x[:rows], names[0]), Part(self.start + rows, self.x[rows:], names[1])


@dataclass(frozen=True)
class Source:
    """Rows of pixels that can be read from the start any number of times."""

    path: Path
    count: int | None  # of rows, if it is known before they are read
    image_shape: tuple[int, int] | None  # if the file tells
    named_by: str | None  # what names the rows: a column, or "file"; None: nothing but their number
    read: Callable[[], Iterator[RawPart]]

    def parts(self) -> Iterator[Part]:
        """All rows, in order.

        Raises:
            OSError, ValueError: the file is damaged, empty, or holds what is no pixel; the message names the row.
        """
        scale = _Scale(self.path)
        start, read = 0, 0
        held: list[Part] = []  # that do not fill a part yet: a reader may stop where its file has a seam
        for pixels, names in self.read():
            held.append(Part(read, scale(pixels, read), names))
            read += len(pixels)
            step = rows_in_a_part(pixels.shape[1])
            while read - start >= step:
                part, rest = _joined(held).split(step)
                yield part
                start, held = start + step, [rest]
        if read > start:
            yield _joined(held)
        if not read:
            raise ValueError(f"{self.path}: got no rows; expected at least one image")
        scale.finish()


def rows_in_a_part(pixels: int) -> int:
    """How many rows of that many pixels are read at a time: a multiple or a divisor of what a model takes in a call.

    So all calls but the last see the same number of rows, and no framework compiles another program for each.
    """
    most = max(1, _PIXELS // pixels)
    if most >= passes.SCORED_ROWS:
        return most - most % passes.SCORED_ROWS
    return next(rows for rows in range(most, 0, -1) if passes.SCORED_ROWS % rows == 0)


def _joined(parts: list[Part]) -> Part:
    if len(parts) == 1:
        return parts[0]
    names = None if parts[0].names is None else [name for part in parts for name in part.names or ()]
    return Part(parts[0].start, np.concatenate([part.x for part in parts]), names)


def check_pixels(path: Path, pixels: int, expected: int, what: str) -> None:
    """Checks the number of pixels of an image.

    Raises:
        ValueError: the model has another; `what` says in words what was found.
    """
    if pixels != expected:
        raise ValueError(f"{path}: got {what}; expected {expected} pixels, as the model has")


class _Scale:
    """Whole numbers 0 .. 255 divided by 255, or numbers in [0, 1] as they are: one of the two for a whole file.

    The first part decides by its dtype, later ones must agree: a part of a text file with nothing but 0 and 1 would
    look whole in any file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._whole: bool | None = None
        self._greatest = 0

    def __call__(self, pixels: Raw, start: int) -> Pixels:
        if self._whole is None:
            self._whole = pixels.dtype.kind in "iu"
        if pixels.dtype.kind == "f":
            self._refuse(pixels, ~np.isfinite(pixels), start, "a number for every pixel")
            if self._whole:
                self._refuse(pixels, pixels != np.rint(pixels), start, "whole numbers, as in the rows before")
        if self._whole:
            bad = (pixels < 0) | (pixels > 255)
            self._refuse(pixels, bad, start, "whole numbers from 0 to 255, or numbers in [0, 1] with a decimal point")
            self._greatest = max(self._greatest, int(pixels.max(initial=0)))
            return np.divide(pixels, np.float32(255), dtype=np.float32, order="C")
        hint = " (divide by 255, or store whole numbers)"
        self._refuse(pixels, (pixels < 0.0) | (pixels > 1.0), start, f"numbers in [0, 1]{hint}")
        return np.ascontiguousarray(pixels, dtype=np.float32)

    def finish(self) -> None:
        if self._whole and self._greatest == 1:  # surely black and white: it would be black and almost black
            raise ValueError(f"{self._path}: got whole numbers up to 1; expected up to 255 (store 0 and 1 as floats)")

    def _refuse(self, pixels: Raw, bad: npt.NDArray[np.bool_], start: int, expected: str) -> None:
        if bad.any():
            row, pixel = (int(i) for i in np.argwhere(bad)[0])
            got = pixels[row, pixel]
            raise ValueError(f"{self._path}: row {start + row}, pixel {pixel}: got {got:g}; expected {expected}")
