"""Pictures: every pixel where it belongs."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vae_rosetta.applications import pictures


def images(count: int, height: int, width: int) -> pictures.Images:
    return np.random.default_rng(0).random((count, height, width))


@pytest.mark.parametrize(
    ("count", "height", "width", "columns", "factor", "shape"),
    [
        (64, 28, 28, None, 2, (8 * 58 + 2, 8 * 58 + 2)),
        (10, 28, 28, 10, 2, (60, 582)),
        (5, 4, 3, None, 14, (2 * 58 + 2, 3 * 44 + 2)),  # 3 columns, and one place is empty
        (1, 100, 7, None, 1, (104, 11)),
        (2, 1, 1, 7, 56, (60, 118)),  # no more columns than images
    ],
)
def test_grid_places_every_pixel(
    count: int, height: int, width: int, columns: int | None, factor: int, shape: tuple[int, int]
) -> None:
    given = images(count, height, width)
    picture = pictures.grid(given, columns=columns)
    assert picture.dtype == np.uint8
    assert picture.shape == shape
    across = (shape[1] - 2) // (width * factor + 2)
    seen = np.zeros(shape, dtype=bool)
    for i, image in enumerate(given):
        top, left = 2 + i // across * (height * factor + 2), 2 + i % across * (width * factor + 2)
        cell = (slice(top, top + height * factor), slice(left, left + width * factor))
        assert np.array_equal(picture[cell], np.kron(np.rint(image * 255), np.ones((factor, factor))))
        seen[cell] = True
    assert (picture[~seen] == 64).all()


def test_white_on_black_and_rounded_to_the_nearest_grey() -> None:
    picture = pictures.grid(np.array([[[0.0, 1.0, 0.5, 0.1]]], dtype=np.float32))
    assert picture[2, 2::14][:4].tolist() == [0, 255, 128, 26]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (np.zeros((2, 4)), ValueError, "images: got shape (2, 4); expected"),
        (np.zeros((0, 4, 4)), ValueError, "images: got shape (0, 4, 4); expected"),
        (np.zeros((1, 4, 4), dtype=np.uint8), TypeError, "images: got dtype uint8; expected"),
        (np.full((1, 2, 2), 1.5), ValueError, "images: got values from 1.5 to 1.5; expected numbers in [0, 1]"),
        (np.full((1, 2, 2), np.nan), ValueError, "images: got nan at [0, 0, 0]; expected finite numbers"),
    ],
)
def test_grid_refuses_what_is_no_image(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        pictures.grid(given)


def test_rows_become_images_of_their_shape() -> None:
    rows = np.arange(12.0).reshape(2, 6)
    assert pictures.as_images(rows, (2, 3)).tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]
    with pytest.raises(ValueError, match="image shape: got 2 x 2; expected 6 pixels"):
        pictures.as_images(rows, (2, 2))


def test_png_keeps_every_pixel_and_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    for seed in (0, 1):
        pixels = np.random.default_rng(seed).integers(0, 256, (30, 20), dtype=np.uint8)
        pictures.save_png(path, pixels)
        with Image.open(path) as picture:
            assert np.array_equal(np.asarray(picture), pixels)
    assert [found.name for found in tmp_path.iterdir()] == ["x.png"]


def test_labelled_rows_hold_every_row_and_all_of_the_text(tmp_path: Path) -> None:
    rows = [("torch", images(3, 28, 28)), ("jax", images(3, 28, 28) / 2)]
    narrow, wide = tmp_path / "narrow.png", tmp_path / "wide.png"
    pictures.save_labelled_rows(narrow, rows, "T")
    pictures.save_labelled_rows(wide, rows, "A title that is longer than three images of digits are wide")
    for path in (narrow, wide):
        with Image.open(path) as picture:
            pixels = np.asarray(picture)
        strips = [pictures.grid(given, columns=3) for _, given in rows]
        tops = [
            top
            for top in range(pixels.shape[0] - strips[0].shape[0] + 1)
            if any(np.array_equal(pixels[top : top + strip.shape[0], : strip.shape[1]], strip) for strip in strips)
        ]
        assert len(tops) == 2
        above = pixels[: tops[0]], pixels[tops[0] + strips[0].shape[0] : tops[1]]
        assert all((text < 128).any() for text in above), "a label is missing"
        assert (pixels[:, -1] == 255).all() or path == narrow, "the title runs out of the picture"
    with Image.open(narrow) as small, Image.open(wide) as large:
        assert small.width == strips[0].shape[1]
        assert large.width > small.width


@pytest.mark.parametrize("columns", [(), ("a", "b", "c")], ids=["bare", "labelled columns"])
def test_table_holds_every_row_beside_its_label(columns: tuple[str, ...], tmp_path: Path) -> None:
    rows = [("one", images(3, 28, 28)), ("a longer label", images(3, 28, 28) / 2), ("short row", images(2, 28, 28) / 3)]
    pictures.save_table(tmp_path / "x.png", rows, columns=columns, title="T")
    with Image.open(tmp_path / "x.png") as picture:
        pixels = np.asarray(picture)
    strips = [pictures.grid(given, columns=len(given)) for _, given in rows]
    height, width = strips[0].shape
    left, bottom = pixels.shape[1] - width, pixels.shape[0]
    for strip in reversed(strips):
        top = bottom - height
        if strip.shape[1] == width:
            assert np.array_equal(pixels[top : bottom - 2, left:], strip[:-2])
        assert np.array_equal(pixels[top + 2 : bottom - 2, left : left + strip.shape[1]], strip[2:-2])
        assert (pixels[top:bottom, : left - 4] < 128).any(), "no label"
        assert (pixels[top + 2 : bottom - 2, left - 4 : left] == 255).all(), "the label runs into the images"
        bottom = top + 2  # neighbours share a gutter
    head = pixels[: bottom - 2]
    assert (head[:, :left] < 128).any(), "no title"
    for i in range(3):
        cell = head[20:, left + 2 + 58 * i : left + 58 * (i + 1)]
        assert (cell < 128).any() == bool(columns)


def test_table_is_as_wide_as_its_title(tmp_path: Path) -> None:
    sizes = []
    for name, title in (("narrow", "T"), ("wide", "A title that is longer than three images of digits are wide")):
        pictures.save_table(tmp_path / name, [("", images(3, 28, 28))], title=title)
        with Image.open(tmp_path / name) as picture:
            sizes.append(picture.size)
            assert (np.asarray(picture)[:24, -1] == 255).all(), "the title runs out of the picture"
    assert sizes[0] == (176, sizes[1][1])
    assert sizes[1][0] > 176


def test_curve_draws_both_lines_and_the_reference(tmp_path: Path) -> None:
    drawn = []
    for reference in (None, 105.6):
        pictures.save_curve(tmp_path / "x.png", [150.0, 120.0], [130.0, 115.0], "t", reference=reference)
        with Image.open(tmp_path / "x.png") as picture:
            drawn.append(np.asarray(picture.convert("RGB")).astype(int))
    blue, orange = ((31, 119, 180), (255, 127, 14))
    for colour in (blue, orange):
        assert (np.abs(drawn[0] - colour).sum(axis=-1) < 30).sum() > 200
    assert not np.array_equal(drawn[0], drawn[1])
