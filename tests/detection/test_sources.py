"""Every kind of input gives the same rows, part by part, in little memory; what is wrong with one is told in a line."""

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vae_rosetta.applications.detection import rows
from vae_rosetta.applications.detection.sources import open_source
from vae_rosetta.shared.contract import Array

Write = Callable[[Path, Array], Path]
NAMES = [f"pixel{i}" for i in range(12)]


def bytes_of(x: Array) -> Array:
    whole: Array = np.rint(x * 255).astype(np.uint8)
    return whole


def table(x: Array) -> pd.DataFrame:
    frame = pd.DataFrame(bytes_of(x), columns=NAMES)
    frame.insert(0, "sample", [f"s{i}" for i in range(len(x))])
    frame["label"] = np.arange(len(x))
    return frame


def write_npy(folder: Path, x: Array) -> Path:
    np.save(folder / "x.npy", bytes_of(x).reshape(-1, 4, 3))
    return folder / "x.npy"


def write_fortran(folder: Path, x: Array) -> Path:
    np.save(folder / "x.npy", np.asfortranarray(x.astype(">f8")))
    return folder / "x.npy"


def write_npz(folder: Path, x: Array) -> Path:
    np.savez_compressed(folder / "x.npz", x=x, labels=np.zeros(3))
    return folder / "x.npz"


def write_idx(folder: Path, x: Array) -> Path:
    header = b"".join(number.to_bytes(4, "big") for number in (0x803, len(x), 4, 3))
    (folder / "x-idx3-ubyte").write_bytes(header + bytes_of(x).tobytes())
    return folder / "x-idx3-ubyte"


def write_idx_gz(folder: Path, x: Array) -> Path:
    path = write_idx(folder, x)
    (folder / "x.gz").write_bytes(gzip.compress(path.read_bytes()))
    return folder / "x.gz"


def write_png(folder: Path, x: Array) -> Path:
    pictures = folder / "pictures"
    pictures.mkdir()
    for i, image in enumerate(bytes_of(x).reshape(-1, 4, 3)):
        Image.fromarray(image).convert("RGB" if i % 2 else "L").save(pictures / f"{i:03}.png")
    (pictures / "notes.txt").write_text("not an image")
    return pictures


def write_parquet(folder: Path, x: Array) -> Path:
    table(x).to_parquet(folder / "x.parquet", row_group_size=70)
    return folder / "x.parquet"


def write_csv(folder: Path, x: Array) -> Path:
    table(x).to_csv(folder / "x.csv", index=False)
    return folder / "x.csv"


def write_float_csv(folder: Path, x: Array) -> Path:
    frame = pd.DataFrame(x.astype(np.float64), columns=NAMES)
    frame["pixel3"] = frame["pixel3"].where(np.arange(len(x)) < 30, 1)  # a column that looks whole later on
    x[30:, 3] = 1.0
    frame.to_csv(folder / "x.csv.gz", index=False)
    return folder / "x.csv.gz"


ARRAYS = [write_npy, write_fortran, write_npz, write_idx, write_idx_gz, write_png]
TABLES = [write_parquet, write_csv, write_float_csv]


@pytest.mark.parametrize("write", [*ARRAYS, *TABLES])
def test_every_kind_gives_the_same_rows(
    write: Write, images: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_PIXELS", 12 * 64)
    images = images.copy()
    path = write(tmp_path, images)
    prefix = "pixel" if write in TABLES else None
    source = open_source(path, 12, columns=prefix, name="sample" if write in (write_parquet, write_csv) else None)
    for _ in range(2):  # as often as one likes
        parts = list(source.parts())
        assert len(parts) > 1
        assert {len(part.x) for part in parts} == {50}  # the largest divisor of 500 below 64, across all seams
        assert [part.start for part in parts] == np.cumsum([0, *(len(part.x) for part in parts[:-1])]).tolist()
        x = np.concatenate([part.x for part in parts])
        np.testing.assert_allclose(x, images, atol=1e-7, strict=True)
        assert all(part.x.flags.c_contiguous for part in parts)
    assert source.count in (None, 300)
    assert (source.count is None) == (write in (write_csv, write_float_csv))
    shaped = write in (write_npy, write_idx, write_idx_gz, write_png)
    assert source.image_shape == ((4, 3) if shaped else None)
    names = [name for part in parts for name in part.names or ()]
    if source.named_by == "file":
        assert names == [f"{i:03}.png" for i in range(300)]
    else:
        assert names == ([f"s{i}" for i in range(300)] if source.named_by == "sample" else [])


def test_all_columns_of_numbers_are_pixels_by_default(images: Array, tmp_path: Path) -> None:
    frame = table(images).drop(columns="label")
    frame.to_csv(tmp_path / "x.csv", index=False)
    frame["number"] = np.arange(len(images))
    frame.to_parquet(tmp_path / "x.parquet")
    for path, name in ((tmp_path / "x.csv", None), (tmp_path / "x.parquet", "number")):
        (part,) = open_source(path, 12, name=name).parts()
        np.testing.assert_allclose(part.x, images, atol=1e-7)


@pytest.mark.parametrize("write", [write_npy, write_npz, write_idx_gz, write_parquet, write_csv])
def test_memory_does_not_grow_with_the_file(
    write: Write, images: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_PIXELS", 12 * 50)
    peaks = []
    for times in (1, 8):
        (tmp_path / str(times)).mkdir()
        path = write(tmp_path / str(times), np.tile(images, (times, 1)))
        source = open_source(path, 12, columns="pixel" if write in TABLES else None)
        for _ in source.parts():
            pass  # what is imported or cached at the first reading
        tracemalloc.start()
        for _ in source.parts():
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def _change(path: Path, change: Callable[[bytes], bytes]) -> Path:
    path.write_bytes(change(path.read_bytes()))
    return path


def _save(path: Path, array: Array) -> Path:
    np.save(path, array)
    return path


def _frame(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    x = np.full((5, 12), 0.5)
    frame = change(pd.DataFrame(x, columns=NAMES))
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path


def _put(row: int, column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.astype({column: object})
        frame.loc[row, column] = value
        return frame.infer_objects()

    return change


def _empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def _pictures(folder: Path, *images: Image.Image) -> Path:
    for i, image in enumerate(images):
        image.save(folder / f"{i}.png")
    return folder


def _grey(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.full((height, width), 9, dtype=np.uint8))


WRONG: dict[str, tuple[Callable[[Path], Path], str]] = {
    "not there": (lambda f: f / "none.npy", "none.npy; there is no such file or folder"),
    "unknown ending": (lambda f: _change(_save(f / "x.npy", np.ones(3)).rename(f / "x.txt"), bytes), "expected .npy, "),
    "size": (lambda f: _save(f / "x.npy", np.zeros((2, 5, 2))), "got images of 5 x 2 pixels; expected 12 pixels"),
    "dimensions": (lambda f: _save(f / "x.npy", np.zeros(12)), "got float64 of shape (12,); expected integers or"),
    "no numbers": (lambda f: _save(f / "x.npy", np.zeros((2, 12), bool)), "got bool of shape (2, 12); expected"),
    "no rows": (lambda f: _save(f / "x.npy", np.zeros((0, 12))), "got no rows; expected at least one image"),
    "NaN": (lambda f: _save(f / "x.npy", np.full((2, 12), np.nan)), "row 0, pixel 0: got nan; expected a number"),
    "too large": (
        lambda f: _save(f / "x.npy", np.eye(12) * 200.0),
        "row 0, pixel 0: got 200; expected numbers in [0, 1] (divide by 255, or store whole numbers)",
    ),
    "negative": (lambda f: _save(f / "x.npy", -np.eye(12, dtype=int)), "row 0, pixel 0: got -1; expected whole"),
    "256": (lambda f: _save(f / "x.npy", np.eye(12, dtype=int) * 256), "got 256; expected whole numbers from 0 to 255"),
    "black and white": (lambda f: _save(f / "x.npy", np.eye(12, dtype=np.uint8)), "got whole numbers up to 1"),
    "cut npy": (lambda f: _change(write_npy(f, np.zeros((9, 12))), lambda b: b[:-13]), "it ends in row 7 of 9"),
    "not npy": (lambda f: _change(write_npy(f, np.zeros((9, 12))), lambda b: b"x" + b), "expected the .npy format"),
    "damaged npz": (lambda f: _change(write_npz(f, np.zeros((9, 12))), lambda b: b[:-30]), "expected a whole .npz"),
    "cut idx": (lambda f: _change(write_idx(f, np.zeros((9, 12))), lambda b: b[:-1]), "it ends in row 8 of 9"),
    "long idx": (lambda f: _change(write_idx(f, np.zeros((9, 12))), lambda b: b + b"x"), "more than the 9 images"),
    "cut gz": (lambda f: _change(write_idx_gz(f, np.ones((99, 12))), lambda b: b[:-9]), "expected a whole idx file"),
    "empty folder": (_empty, "got a folder without a .png file; expected at least one image"),
    "mixed sizes": (
        lambda f: _pictures(f, _grey(4, 3), _grey(3, 4)),
        "1.png: got an image of 3 x 4 pixels; expected 4 x 3, as 0.png has",
    ),
    "png size": (lambda f: _pictures(f, _grey(4, 4)), "0.png: got an image of 4 x 4 pixels; expected 12 pixels"),
    "transparent": (lambda f: _pictures(f, _grey(4, 3).convert("RGBA")), "got an image of mode RGBA; expected 8-bit"),
    "16 bits": (lambda f: _pictures(f, Image.fromarray(np.ones((4, 3), np.uint16))), "got an image of mode I;16"),
    "no png": (
        lambda f: _change(_pictures(f, _grey(4, 3)) / "0.png", lambda b: b"no").parent,
        "0.png: got an unreadable file",
    ),
    "cut png": (
        lambda f: _change(_pictures(f, _grey(4, 3)) / "0.png", lambda b: b[:-30]).parent,
        "0.png: got an unreadable file",
    ),
}
for kind in (".csv", ".parquet"):
    WRONG |= {
        f"column missing {kind}": (
            lambda f, kind=kind: _frame(f / f"x{kind}", lambda t: t.drop(columns="pixel7")),  # type: ignore[misc]
            "got 11 columns of numbers; expected 12, one for each pixel of the model, and pixel7 is not there",
        ),
        f"column too many {kind}": (
            lambda f, kind=kind: _frame(f / f"x{kind}", lambda t: t.assign(label=1)),  # type: ignore[misc]
            "expected 12, one for each pixel of the model (pixel0, pixel1, ... label); --columns chooses",
        ),
        f"missing value {kind}": (
            lambda f, kind=kind: _frame(f / f"x{kind}", _put(3, "pixel7", None)),  # type: ignore[misc]
            "row 3, column pixel7: got no value; expected a number for every pixel",
        ),
        f"damaged {kind}": (
            lambda f, kind=kind: _change(_frame(f / f"x{kind}", lambda t: t), lambda b: b[:9] + b"\xff\xff"),  # type: ignore[misc]
            "got a file that cannot be used",
        ),
    }
WRONG |= {
    "headless": (
        lambda f: _change(write_csv(f, np.ones((3, 12))), lambda _: b",".join([b"0"] * 12) + b"\n"),
        "got numbers in the first line; expected a header",
    ),
    "empty csv": (lambda f: _change(write_csv(f, np.ones((3, 12))), lambda _: b""), "expected a CSV file"),
    "integers and floats": (
        lambda f: _frame(f / "x.parquet", lambda t: t.assign(pixel4=1)),
        "got integers in pixel4 and floats in pixel0; expected one of the two",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_in_one_line(case: str, tmp_path: Path) -> None:
    make, message = WRONG[case]
    path = make(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        list(open_source(path, 12).parts())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "name", "message"),
    [
        ("px", None, "got 0 columns that begin with 'px'; expected 12"),
        ("", None, "column sample: got what is no number; expected pixels"),
        ("pixel1", None, "got 3 columns that begin with 'pixel1'; expected 12"),
        ("pixel", "id", "got no column id; expected it, to name the rows: sample, pixel0, ... label"),
    ],
)
@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_columns_that_are_not_there_are_told(
    write: Write, columns: str, name: str | None, message: str, images: Array, tmp_path: Path
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- the message is compared below
        open_source(write(tmp_path, images), 12, columns=columns, name=name)
    assert message in str(caught.value)


@pytest.mark.parametrize(("columns", "name"), [("pixel", None), (None, "id")])
def test_columns_are_for_tables(columns: str | None, name: str | None, npy: Path) -> None:
    with pytest.raises(ValueError, match=r"^(columns|id): got '\w+' for .*; expected it for a table"):
        open_source(npy, 12, columns=columns, name=name)


def test_a_text_file_stays_of_one_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_PIXELS", 12 * 4)
    frame = pd.DataFrame(np.full((8, 12), 7), columns=NAMES)
    frame.astype({"pixel2": object}).to_csv(tmp_path / "x.csv", index=False)
    text = (tmp_path / "x.csv").read_text().splitlines()
    for value, message in (("0.5", "got 0.5; expected whole numbers, as in the rows before"), ("a", "'a'")):
        text[7] = f"7,7,{value}" + ",7" * 9
        (tmp_path / "x.csv").write_text("\n".join(text))
        with pytest.raises(ValueError, match=r"row 6, (pixel 2|column pixel2): ") as caught:
            list(open_source(tmp_path / "x.csv", 12).parts())
        assert message in str(caught.value)


def test_large_integers_are_not_wrapped(tmp_path: Path) -> None:
    pq.write_table(pa.table({name: pa.array([257], pa.int64()) for name in NAMES}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="got 257; expected whole numbers from 0 to 255"):
        list(open_source(tmp_path / "x.parquet", 12).parts())
