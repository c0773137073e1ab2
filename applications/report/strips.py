"""Rows of images as pictures inside the page."""

import base64
import io
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from vae_rosetta.applications import pictures
from vae_rosetta.applications.report.blocks import Strip

_PALETTE_BITS: Final = 32  # grey levels that are kept: no eye sees more in images of this size, and PNGs halve


def strip(label: str, alt: str, rows: npt.NDArray[Any], image_shape: Sequence[int]) -> Strip:
    """Images (n, D) in [0, 1], of height and width `image_shape`, in one row."""
    images = pictures.as_images(rows, image_shape)
    return _strip(label, alt, pictures.grid(images, columns=len(images)))


def table(label: str, alt: str, rows: npt.NDArray[Any], image_shape: Sequence[int], columns: int) -> Strip:
    """The same in rows of `columns` each."""
    return _strip(label, alt, pictures.grid(pictures.as_images(rows, image_shape), columns=columns))


def magnified(rows: Sequence[npt.NDArray[Any]]) -> tuple[npt.NDArray[np.float64], float, float]:
    """The greatest difference of any two of several (n, D), times a power of ten that leaves it below 1; the power;
    the greatest difference of all."""
    stacked = np.stack([row.astype(np.float64) for row in rows])  # (R, n, D)
    difference = stacked.max(axis=0) - stacked.min(axis=0)
    greatest = float(difference.max())
    scale = 10.0 ** math.floor(-math.log10(greatest)) if greatest > 0.0 else 1.0
    return np.minimum(difference * scale, 1.0), scale, greatest


def _strip(label: str, alt: str, pixels: pictures.Pixels) -> Strip:
    buffer = io.BytesIO()
    Image.fromarray(pixels).quantize(_PALETTE_BITS).save(buffer, format="PNG", optimize=True)
    source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return Strip(label, source, alt, pixels.shape[1], pixels.shape[0])
