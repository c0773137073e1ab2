"""Pictures from arrays: grids of images with Pillow, every pixel exact, and the loss curve with matplotlib."""

import math
import os
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from vae_rosetta.shared import checks, files

GUTTER: Final = 2  # pixels between two images and around all
_GREY: Final = 64  # of the gutters, so that the edges of black images show
_SEEN_SIZE: Final = 56  # an image's longer side is magnified to about this many pixels
_TEXT_SIZE: Final = 14
_MARGIN: Final = 6

Pixels = npt.NDArray[np.uint8]
Images = npt.NDArray[Any]  # (N, h, w), float in [0, 1]


def as_images(rows: npt.NDArray[Any], image_shape: Sequence[int]) -> Images:
    """Rows of pixels (N, D) as images (N, h, w).

    Raises:
        ValueError: h w is not D.
    """
    height, width = image_shape
    if height * width != rows.shape[1]:
        raise ValueError(f"image shape: got {height} x {width}; expected {rows.shape[1]} pixels, as the model has")
    return rows.reshape(-1, height, width)


def grid(images: Images, *, columns: int | None = None) -> Pixels:
    """Images (N, h, w), row by row, in a grid of `columns` (default: about square), each magnified by a whole factor.

    Raises:
        TypeError, ValueError: not such images, or a number outside [0, 1].
    """
    _check(images)
    count, height, width = images.shape
    columns = min(count, columns or math.ceil(math.sqrt(count)))
    factor = max(1, round(_SEEN_SIZE / max(height, width)))
    height, width = height * factor, width * factor
    rows = math.ceil(count / columns)
    picture = np.full((rows * (height + GUTTER) + GUTTER, columns * (width + GUTTER) + GUTTER), _GREY, dtype=np.uint8)
    for i, image in enumerate(np.rint(255.0 * images).astype(np.uint8)):
        top, left = (
            GUTTER + at * (size + GUTTER) for at, size in zip(divmod(i, columns), (height, width), strict=True)
        )
        picture[top : top + height, left : left + width] = image.repeat(factor, axis=0).repeat(factor, axis=1)
    return picture


def save_png(path: str | os.PathLike[str], pixels: Pixels) -> None:
    """Writes grey pixels (H, W) as a PNG, atomically.

    Raises:
        OSError: the file cannot be written.
    """
    with files.replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")


def save_labelled_rows(path: str | os.PathLike[str], rows: Sequence[tuple[str, Images]], title: str) -> None:
    """Writes rows of images one above the other, each under its label, and a title above all, atomically.

    Raises:
        OSError: the file cannot be written.
        TypeError, ValueError: see `grid`.
    """
    font = ImageFont.load_default(_TEXT_SIZE)
    strips = [(label, grid(images, columns=len(images))) for label, images in rows]
    line = _TEXT_SIZE + _MARGIN
    texts = [title, *(label for label, _ in strips)]
    width = max(
        *(strip.shape[1] for _, strip in strips), *(math.ceil(font.getlength(text)) + _MARGIN for text in texts)
    )
    height = line + sum(line + strip.shape[0] + _MARGIN for _, strip in strips)
    picture = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(picture)
    draw.text((GUTTER, 0), title, fill=0, font=font)
    top = line
    for label, strip in strips:
        draw.text((GUTTER, top), label, fill=0, font=font)
        picture.paste(Image.fromarray(strip), (0, top + line))
        top += line + strip.shape[0] + _MARGIN
    with files.replacing(path) as temporary:
        picture.save(temporary, format="PNG")


def save_table(
    path: str | os.PathLike[str], rows: Sequence[tuple[str, Images]], *, columns: Sequence[str] = (), title: str
) -> None:
    """Writes rows of images with each row's label to its left and the columns' labels, if any, above, atomically.

    Raises:
        OSError: the file cannot be written.
        TypeError, ValueError: see `grid`.
    """
    font = ImageFont.load_default(_TEXT_SIZE)
    line = _TEXT_SIZE + _MARGIN
    strips = [grid(images, columns=len(images)) for _, images in rows]
    left = max(math.ceil(font.getlength(label)) for label, _ in rows)
    left += 2 * _MARGIN if left else 0
    width = max(*(left + strip.shape[1] for strip in strips), math.ceil(font.getlength(title)) + 2 * _MARGIN)
    top = line + _MARGIN + (line if columns else 0)
    picture = Image.new("L", (width, top + sum(strip.shape[0] - GUTTER for strip in strips) + GUTTER), 255)
    draw = ImageDraw.Draw(picture)
    draw.text((_MARGIN, _MARGIN // 2), title, fill=0, font=font)
    pitch = (strips[0].shape[1] - GUTTER) / len(rows[0][1])
    for i, label in enumerate(columns):
        draw.text((left + GUTTER + pitch * (i + 0.5), top - _MARGIN), label, fill=0, font=font, anchor="ms")
    for (label, _), strip in zip(rows, strips, strict=True):
        draw.text((left - _MARGIN, top + strip.shape[0] // 2), label, fill=0, font=font, anchor="rm")
        picture.paste(Image.fromarray(strip), (left, top))
        top += strip.shape[0] - GUTTER  # neighbours share a gutter
    with files.replacing(path) as temporary:
        picture.save(temporary, format="PNG")


def save_curve(
    path: str | os.PathLike[str],
    train: Sequence[float],
    test: Sequence[float],
    title: str,
    *,
    seen: tuple[str, str] = ("", ""),
    reference: float | None = None,
) -> None:
    """Writes the curve of both objectives, one number an epoch, atomically.

    Args:
        seen: added to the names of the two: which pixels they are of, where they differ.
        reference: a published value.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # a figure of its own: no pyplot, no display, no state
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(
        range(1, len(train) + 1), train, marker="o", markersize=4, label=f"train, average during the epoch{seen[0]}"
    )
    axes.plot(range(1, len(test) + 1), test, marker="s", markersize=4, label=f"test, after the epoch{seen[1]}")
    if reference is not None:
        axes.axhline(reference, color="grey", linestyle="--", label=f"published test value at epoch 10: {reference}")
    axes.set_title(title, fontsize="medium")
    axes.set_xlabel("epoch")
    axes.set_ylabel("negative ELBO, nats per image")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.legend()
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _check(images: Images) -> None:
    checks.finite("images", checks.float_array("images", images, ("N", "h", "w")))
    low, high = float(images.min()), float(images.max())
    if low < 0.0 or high > 1.0:
        raise ValueError(f"images: got values from {low:g} to {high:g}; expected numbers in [0, 1]")
