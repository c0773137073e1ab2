"""A user's own .npy and .npz files: what `load` makes of them, and what it says about every kind of bad one."""

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vae_rosetta.shared import datasets
from vae_rosetta.shared.datasets import Dataset

Array = npt.NDArray[Any]


def pixels(*shape: int) -> npt.NDArray[np.uint8]:
    return (np.arange(int(np.prod(shape))) * 37 % 256).astype(np.uint8).reshape(shape)


@pytest.mark.parametrize(
    ("shape", "image_shape"),
    [
        ((25, 16), (4, 4)),
        ((25, 12), None),
        ((25, 1), (1, 1)),
        ((10, 4, 3), (4, 3)),
        ((19, 5, 5), (5, 5)),
    ],
)
def test_npy(
    tmp_path: Path,
    shape: tuple[int, ...],
    image_shape: tuple[int, int] | None,
    assert_well_formed: Callable[[Dataset], None],
    digest: Callable[..., str],
) -> None:
    array = pixels(*shape)
    path = tmp_path / "own.npy"
    np.save(path, array)
    data = datasets.load(str(path))
    assert_well_formed(data)
    rows = array.reshape(shape[0], -1)
    kept = [i for i in range(len(rows)) if i % 10 != 9]
    held_out = [i for i in range(len(rows)) if i % 10 == 9]
    np.testing.assert_array_equal(data.train, (rows[kept] / 255).astype(np.float32))
    np.testing.assert_array_equal(data.test, (rows[held_out] / 255).astype(np.float32))
    assert data.name == str(path)
    assert data.image_shape == image_shape
    assert data.train_labels is None
    assert data.test_labels is None
    assert data.sha256 == digest(train=rows[kept], test=rows[held_out])


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f2", ">f4", ">f8"])
def test_npy_float(
    tmp_path: Path, dtype: str, assert_well_formed: Callable[[Dataset], None], digest: Callable[..., str]
) -> None:
    array = (pixels(20, 6) / 255).astype(dtype)
    np.save(tmp_path / "own.npy", array)
    data = datasets.load(str(tmp_path / "own.npy"))
    assert_well_formed(data)
    expected = array.astype(np.float32)
    held_out = np.arange(20) % 10 == 9
    np.testing.assert_array_equal(data.train, expected[~held_out])
    assert data.sha256 == digest(train=expected[~held_out], test=expected[held_out])


@pytest.mark.parametrize("array", [pixels(20, 6), pixels(20, 3, 2), pixels(20, 6).astype(np.float32) / 255])
def test_fortran_order_is_the_same(tmp_path: Path, array: Array, assert_well_formed: Callable[[Dataset], None]) -> None:
    np.savez(tmp_path / "c.npz", train=array, test=array)
    np.savez(tmp_path / "fortran.npz", train=np.asfortranarray(array), test=np.asfortranarray(array))
    c, fortran = (datasets.load(str(tmp_path / f"{name}.npz")) for name in ("c", "fortran"))
    assert_well_formed(fortran)
    np.testing.assert_array_equal(c.train, fortran.train)
    assert c.sha256 == fortran.sha256


def test_ending_in_capitals(tmp_path: Path) -> None:
    np.save(tmp_path / "own.npy", pixels(20, 6))
    (tmp_path / "own.npy").rename(tmp_path / "own.NPY")
    assert len(datasets.load(str(tmp_path / "own.NPY")).train) == 18


def test_black_images_are_images(tmp_path: Path) -> None:
    np.save(tmp_path / "own.npy", np.zeros((10, 4), dtype=np.uint8))
    assert not datasets.load(str(tmp_path / "own.npy")).train.any()


@pytest.mark.parametrize("prefix", ["", "x_"])
def test_npz_of_halves(
    tmp_path: Path, prefix: str, assert_well_formed: Callable[[Dataset], None], digest: Callable[..., str]
) -> None:
    path = tmp_path / "own.npz"
    train, test = pixels(7, 4, 3), pixels(1, 4, 3)
    arrays = {
        f"{prefix}train": train,
        f"{prefix}test": test,
        "notes": np.array([{}]),
    }  # the notes would have to be unpickled
    np.savez(path, allow_pickle=True, **arrays)
    data = datasets.load(str(path))
    assert_well_formed(data)
    np.testing.assert_array_equal(data.train, (train.reshape(7, 12) / 255).astype(np.float32))
    np.testing.assert_array_equal(data.test, (test.reshape(1, 12) / 255).astype(np.float32))
    assert data.image_shape == (4, 3)
    assert data.train_labels is None
    assert data.test_labels is None
    assert data.sha256 == digest(train=train.reshape(7, 12), test=test.reshape(1, 12))


@pytest.mark.parametrize("dtype", ["uint8", "int32", ">i8"])
def test_npz_with_labels(
    tmp_path: Path, dtype: str, assert_well_formed: Callable[[Dataset], None], digest: Callable[..., str]
) -> None:
    path = tmp_path / "own.npz"
    train, test = pixels(3, 4), (pixels(2, 4) / 255).astype(np.float32)
    y_train, y_test = np.array([1, 0, 7]), np.array([2, 9])
    np.savez_compressed(path, x_train=train, x_test=test, y_train=y_train.astype(dtype), y_test=y_test.astype(dtype))
    data = datasets.load(str(path))
    assert_well_formed(data)
    assert data.train_labels is not None
    assert data.test_labels is not None
    assert data.train_labels.tolist() == [1, 0, 7]
    assert data.test_labels.tolist() == [2, 9]
    assert data.sha256 == digest(train=train, test=test, train_labels=y_train, test_labels=y_test)


@pytest.mark.parametrize("arrays", [{"images": pixels(20, 6)}, {"x": pixels(20, 6), "other": pixels(3, 3)}])
def test_npz_of_one_array(tmp_path: Path, arrays: dict[str, Array]) -> None:
    np.savez(tmp_path / "own.npz", allow_pickle=False, **arrays)
    np.save(tmp_path / "own.npy", pixels(20, 6))
    npz, npy = (datasets.load(str(tmp_path / f"own.{ending}")) for ending in ("npz", "npy"))
    np.testing.assert_array_equal(npz.train, npy.train)
    assert npz.sha256 == npy.sha256


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_file_that_is_not_there(tmp_path: Path, ending: str) -> None:
    name = str(tmp_path / f"none.{ending}")
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(f'data: got {name!r}; there is no such file')}$"):
        datasets.load(name)


def _with(array: Array, value: float) -> Array:
    array[3, 2] = value
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        pytest.param(pixels(20), r"got shape \(20,\); expected uint8, or float in", id="one dimension"),
        pytest.param(pixels(20, 2, 2, 1), r"got shape \(20, 2, 2, 1\); expected uint8", id="four dimensions"),
        pytest.param(np.uint8(3), r"got shape \(\); expected uint8", id="scalar"),
        pytest.param(pixels(0, 4), r"got shape \(0, 4\); expected uint8", id="no rows"),
        pytest.param(pixels(20, 0), r"got shape \(20, 0\); expected uint8", id="no pixels"),
        pytest.param(pixels(20, 4).astype(np.int64), "got dtype int64; expected uint8", id="int64"),
        pytest.param(np.ones((20, 4), dtype=bool), "got dtype bool; expected uint8", id="bool"),
        pytest.param(np.ones((20, 4), dtype=complex), "got dtype complex128; expected uint8", id="complex"),
        pytest.param(np.full((20, 4), "a"), "got dtype <U1; expected uint8", id="text"),
        pytest.param(pixels(20, 4) % 2, "got uint8 pixels up to 1; expected up to 255", id="black and white in uint8"),
        pytest.param(
            pixels(20, 4).astype(float), r"got values from 0 to 252; expected pixels in \[0, 1\]", id="0 to 255"
        ),
        pytest.param(np.full((20, 4), -0.5), "got values from -0.5 to -0.5; expected pixels in", id="negative"),
        pytest.param(_with(np.ones((20, 4)), np.nan), r"got nan at \[3, 2\]; expected finite numbers", id="nan"),
        pytest.param(_with(np.ones((20, 4)), np.inf), r"got inf at \[3, 2\]; expected finite numbers", id="inf"),
        pytest.param(np.full((20, 4), 1e300), "got values from 1e.300 to 1e.300; expected pixels in", id="huge"),
        pytest.param(pixels(9, 4), "got 9 rows; expected at least 10, to hold out every tenth", id="nine rows"),
    ],
)
def test_npy_bad_array(tmp_path: Path, array: Array, message: str) -> None:
    path = tmp_path / "own.npy"
    np.save(path, array)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: {message}"):
        datasets.load(str(path))


class _Witness:
    """Leaves a trace if it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_nothing_is_unpickled(tmp_path: Path, ending: str) -> None:
    path, trace = tmp_path / f"own.{ending}", tmp_path / "trace"
    array = np.array([[_Witness(trace)]], dtype=object)
    if ending == "npy":
        np.save(path, array, allow_pickle=True)
    else:
        np.savez(path, x=array)
    with pytest.raises(ValueError, match=r"got an unreadable file \(.*\); expected .* without pickled objects"):
        datasets.load(str(path))
    assert not trace.exists()
    np.load(path, allow_pickle=True)["x" if ending == "npz" else ...]
    assert trace.exists()  # so it would have been noticed


@pytest.mark.parametrize("content", [b"", b"0,0,0\n", b"\x89PNG\r\n\x1a\n", b"\x80\x04}."])
@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_foreign_file(tmp_path: Path, content: bytes, ending: str) -> None:
    path = tmp_path / f"own.{ending}"
    path.write_bytes(content)
    got = f"a file that starts with {content[:6]!r}" if content else "an empty file"
    message = f"{path}: got {got}; expected the .npy or .npz format"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        datasets.load(str(path))


@pytest.mark.parametrize("ending", ["npy", "npz"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
def test_truncated_file(tmp_path: Path, ending: str, part: float) -> None:
    path = tmp_path / f"own.{ending}"
    (np.save if ending == "npy" else np.savez)(path, pixels(50, 20))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(
        ValueError, match=f"^{re.escape(str(path))}: got an unreadable file .*; expected a whole .npy or"
    ):
        datasets.load(str(path))


def test_npz_with_another_byte(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, pixels(50, 20))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"got an unreadable file .*CRC"):
        datasets.load(str(path))


def test_npy_header_left_open(tmp_path: Path) -> None:
    path = tmp_path / "own.npy"
    np.save(path, pixels(20, 4))
    path.write_bytes(path.read_bytes().replace(b"}", b" ", 1))
    with pytest.raises(ValueError, match=r"got an unreadable file .*; expected a whole .npy"):
        datasets.load(str(path))


@pytest.mark.parametrize(
    ("keys", "listed"),
    [
        (["a", "b"], "a, b"),
        (["train", "y_train"], "train, y_train"),
        (["x_train", "test"], "x_train, test"),
        ([], "(none)"),
    ],
)
def test_npz_of_other_keys(tmp_path: Path, keys: list[str], listed: str) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, allow_pickle=False, **{key: pixels(20, 4) for key in keys})
    message = f"{path}: got the arrays {listed}; expected train and test, x_train and x_test, x, or one array alone"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        datasets.load(str(path))


def test_npz_of_a_text(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x", "0,0,0")
    with pytest.raises(ValueError, match=r"own.npz\['x'\]: got a file of another format; expected an array"):
        datasets.load(str(path))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        pytest.param(
            {"test": pixels(5, 9)}, r": got train \(3, 4\) and test \(5, 9\); expected one image size", id="other width"
        ),
        pytest.param(
            {"test": pixels(5, 2, 2)},
            r": got train \(3, 4\) and test \(5, 2, 2\); expected one image size",
            id="other shape",
        ),
        pytest.param({"test": pixels(0, 4)}, r"\['test'\]: got shape \(0, 4\); expected uint8", id="none held out"),
        pytest.param({"test": pixels(5, 4) / 9}, r"\['test'\]: got values from 0 to .*; expected pixels", id="range"),
        pytest.param(
            {"y_train": np.arange(4)},
            r"\['y_train'\]: got int64 of shape \(4,\); expected integers that fit int64, of shape \(3,\)",
            id="number of labels",
        ),
        pytest.param({"y_test": np.ones(5)}, r"\['y_test'\]: got float64 of shape \(5,\)", id="float labels"),
        pytest.param({"y_test": np.ones(5, bool)}, r"\['y_test'\]: got bool of shape \(5,\)", id="bool labels"),
        pytest.param(
            {"y_test": np.ones((5, 1), int)}, r"\['y_test'\]: got int64 of shape \(5, 1\)", id="label columns"
        ),
        pytest.param(
            {"y_test": np.ones(5, np.uint64)}, r"\['y_test'\]: got uint64 of shape \(5,\)", id="uint64 labels"
        ),
    ],
)
def test_npz_of_bad_halves(tmp_path: Path, arrays: dict[str, Array], message: str) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, allow_pickle=False, **({"train": pixels(3, 4), "test": pixels(5, 4)} | arrays))
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}{message}"):
        datasets.load(str(path))
