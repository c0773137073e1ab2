"""Binary images out of .npy and .npz files."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vae_rosetta.applications.compression.exact import Bits
from vae_rosetta.shared import binarisation, datasets

_EXPECTED: Final = "0 and 1, as bool, integers or floats, of shape (N, D) or (N, h, w)"
_KINDS: Final = "buif"
_WIDEST: Final = 8  # bytes of a number: wider floats differ between machines


def read(path: Path) -> npt.NDArray[Any]:
    """The array of a .npy file; of a .npz file, the array `x`, or the only one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a whole file of that format, or has several arrays and none called x.
    """
    if not path.is_file():
        what = "got a folder; expected a file" if path.is_dir() else "there is no such file"
        raise FileNotFoundError(f"{path}: {what}")
    arrays, keys = datasets.read_arrays(path)
    if "x" not in arrays and len(keys) != 1:
        raise ValueError(f"{path}: got the arrays {', '.join(keys) or '(none)'}; expected x, or one array alone")
    return arrays["x" if "x" in arrays else keys[0]]


def bits(images: npt.NDArray[Any], pixels: int) -> Bits:
    """Images (N, D) or (N, h, w) of 0 and 1, in any real dtype -> (N, D) of uint8.

    Raises:
        TypeError: another dtype.
        ValueError: another shape, other pixels than 0 and 1, or not as many as the model's.
    """
    rows = _rows(images, pixels)
    if not binarisation.is_binary(rows):
        wrong = rows[(rows != 0) & (rows != 1)][0]
        remedy = "--binarise rounded or drawn makes grey pixels black and white, for good"
        raise ValueError(f"images: got a pixel of {wrong:g}; expected 0 and 1 alone ({remedy})")
    return rows.astype(np.uint8)


def binarised(images: npt.NDArray[Any], how: str, seed: int) -> npt.NDArray[Any]:
    """Grey images, uint8 up to 255 or floats in [0, 1], made black and white: "rounded" or "drawn" with `seed`.

    Shape and dtype stay, and so do images that are black and white already.

    Raises:
        TypeError, ValueError: other images.
    """
    rows = _rows(images, int(np.prod(images.shape[1:])))
    if binarisation.is_binary(rows):
        return images
    if rows.dtype == np.uint8:
        grey = rows.astype(np.float32) / np.float32(255)
    elif rows.dtype.kind == "f":
        grey = rows
    else:
        raise TypeError(f"images: got dtype {rows.dtype}; expected uint8 or floats to binarise")
    low, high = float(grey.min()), float(grey.max())
    if not (low >= 0.0 and high <= 1.0):
        raise ValueError(f"images: got values from {low:g} to {high:g}; expected floats in [0, 1] to binarise")
    made = binarisation.drawn(grey, seed) if how == "drawn" else binarisation.rounded(grey)
    return made.astype(images.dtype).reshape(images.shape)


def _rows(images: npt.NDArray[Any], pixels: int) -> npt.NDArray[Any]:
    if images.dtype.kind not in _KINDS or images.dtype.itemsize > _WIDEST:
        raise TypeError(f"images: got dtype {images.dtype}; expected {_EXPECTED}")
    if images.ndim not in (2, 3) or 0 in images.shape:
        raise ValueError(f"images: got shape {images.shape}; expected {_EXPECTED}")
    rows = images.reshape(len(images), -1)
    if rows.shape[1] != pixels:
        raise ValueError(f"images: got {rows.shape[1]} pixels each; expected {pixels}, as the model has")
    return rows
