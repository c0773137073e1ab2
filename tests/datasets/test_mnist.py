"""`mnist`: the full set as published, where `load` looks for its four files, and what it says of those that are bad."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest

from vae_rosetta.shared import datasets
from vae_rosetta.shared.datasets import Dataset

if TYPE_CHECKING:  # when the tests run, none of their modules can import another
    from tests.datasets.conftest import Tiny

Array = npt.NDArray[Any]

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = datasets.MNIST_FILES


def _full_mnist() -> Path | None:
    """The folder that the environment names, if it holds MNIST. Read before the tests change the environment."""
    folder = os.environ.get("VAE_DATA")
    if folder is None:
        return None
    places = [Path(folder, *inner, TRAIN_IMAGES + ending) for inner in ((), ("mnist",)) for ending in ("", ".gz")]
    return Path(folder).resolve() if any(map(Path.is_file, places)) else None


FULL_MNIST = _full_mnist()


@pytest.fixture
def full_mnist() -> Path:
    if FULL_MNIST is None:
        pytest.skip("full MNIST not found: set VAE_DATA")
    return FULL_MNIST


def test_mnist(full_mnist: Path, assert_well_formed: Callable[[Dataset], None]) -> None:
    data = datasets.load("mnist", data_dir=full_mnist)
    assert_well_formed(data)
    assert data.name == "mnist"
    assert data.train.shape == (60_000, 784)
    assert data.test.shape == (10_000, 784)
    assert data.image_shape == (28, 28)
    assert data.sha256 == datasets.PINNED["mnist"]
    assert data.train.mean(dtype=np.float64) == pytest.approx(0.1307, abs=5e-5)  # the published mean
    assert data.train_labels is not None
    assert data.test_labels is not None
    # The first labels of both halves, and how often each digit occurs among the held-out images, as published.
    assert data.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(data.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_mnist_5k_is_part_of_what_mnist_trains_on(full_mnist: Path) -> None:
    part, whole = datasets.load("mnist-5k"), datasets.load("mnist", data_dir=full_mnist)
    train = {row.tobytes() for row in whole.train}
    assert all(row.tobytes() in train for row in np.concatenate([part.train, part.test]))
    held_out = {row.tobytes() for row in whole.test}
    assert not any(row.tobytes() in held_out for row in np.concatenate([part.train, part.test]))


def test_mnist_from_another_set_of_the_same_form(
    full_mnist: Path, tmp_path: Path, idx_bytes: Callable[[Array], bytes]
) -> None:
    data = datasets.load("mnist", data_dir=full_mnist)
    for name, size in ((TRAIN_IMAGES, 60_000), (TEST_IMAGES, 10_000)):
        (tmp_path / name).write_bytes(idx_bytes(np.zeros((size, 28, 28))))
    for name, labels in ((TRAIN_LABELS, data.train_labels), (TEST_LABELS, data.test_labels)):
        assert labels is not None
        (tmp_path / name).write_bytes(idx_bytes(labels))
    with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path))}: got other data than mnist, of SHA-256"):
        datasets.load("mnist", data_dir=tmp_path)


@pytest.mark.parametrize("inner", ["", "mnist"])
@pytest.mark.parametrize("zipped", [True, False])
def test_mnist_in_data_dir(
    tiny: Tiny, tmp_path: Path, inner: str, zipped: bool, assert_well_formed: Callable[[Dataset], None]
) -> None:
    tiny.write(tmp_path / "data" / inner, zipped=zipped)
    data = datasets.load("mnist", data_dir=tmp_path / "data")
    assert_well_formed(data)
    np.testing.assert_array_equal(data.train, (tiny.train.reshape(8, 6) / 255).astype(np.float32))
    np.testing.assert_array_equal(data.test, (tiny.test.reshape(4, 6) / 255).astype(np.float32))
    assert data.train_labels is not None
    assert data.test_labels is not None
    assert data.train_labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert data.test_labels.tolist() == [8, 9, 0, 1]
    assert data.sha256 == tiny.sha256


def test_data_dir_goes_before_environment(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.write(tmp_path / "data")
    spoilt = tiny.write(tmp_path / "environment")
    (spoilt / f"{TRAIN_IMAGES}.gz").write_bytes(b"spoilt")
    monkeypatch.setenv("VAE_DATA", str(spoilt))
    assert datasets.load("mnist", data_dir=tmp_path / "data").sha256 == tiny.sha256
    with pytest.raises(ValueError, match=f"environment.*{TRAIN_IMAGES}.gz: got a file that starts with"):
        datasets.load("mnist")


def test_environment_goes_before_cache(
    tiny: Tiny, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAE_DATA", str(tiny.write(tmp_path / "environment")))
    tiny.write(cache)
    (cache / f"{TRAIN_IMAGES}.gz").write_bytes(b"spoilt")
    assert datasets.load("mnist").sha256 == tiny.sha256
    monkeypatch.delenv("VAE_DATA")
    with pytest.raises(ValueError, match=f"cache.*{TRAIN_IMAGES}.gz: got a file that starts with"):
        datasets.load("mnist")


def test_environment_without_all_four_files_gives_way_to_cache(
    tiny: Tiny, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tiny.write(tmp_path / "environment")
    (environment / f"{TEST_LABELS}.gz").unlink()
    monkeypatch.setenv("VAE_DATA", str(environment))
    tiny.write(cache / "mnist", zipped=False)
    assert datasets.load("mnist").sha256 == tiny.sha256


def test_data_dir_without_mnist(tiny: Tiny, tmp_path: Path, cache: Path) -> None:
    tiny.write(cache)  # which must not be used in its place
    folder = tmp_path / "empty"
    message = (
        f"data_dir: got {str(folder)!r}, which holds no MNIST; expected {', '.join(datasets.MNIST_FILES)}, gzipped"
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}"):
        datasets.load("mnist", data_dir=folder)


def test_data_dir_without_one_file(tiny: Tiny, tmp_path: Path) -> None:
    (tiny.write(tmp_path / "data") / f"{TEST_LABELS}.gz").unlink()
    with pytest.raises(
        FileNotFoundError, match=f"which lacks {TEST_LABELS}; expected {TRAIN_IMAGES}, {TRAIN_LABELS}, "
    ):
        datasets.load("mnist", data_dir=tmp_path / "data")


def test_images_and_labels_of_different_number(tiny: Tiny, tmp_path: Path, idx_bytes: Callable[[Array], bytes]) -> None:
    folder = tiny.write(tmp_path / "data", zipped=False)
    (folder / TEST_LABELS).write_bytes(idx_bytes(np.arange(5)))
    with pytest.raises(
        ValueError, match=f"{TEST_LABELS}: got 5 labels; expected 4, one for each image of .*{TEST_IMAGES}"
    ):
        datasets.load("mnist", data_dir=folder)


@pytest.mark.parametrize("name", datasets.MNIST_FILES)
def test_another_byte_in_any_file_is_noticed(tiny: Tiny, tmp_path: Path, name: str) -> None:
    folder = tiny.write(tmp_path / "data", zipped=False)
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(
        ValueError, match=f"got other data than mnist, of SHA-256 [0-9a-f]{{64}}; expected {tiny.sha256}"
    ):
        datasets.load("mnist", data_dir=folder)
