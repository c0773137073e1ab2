"""The names that `load` knows, and what is true of every data set."""

import re
from pathlib import Path

import pytest

from vae_rosetta.shared import datasets


def test_default_is_in_catalogue() -> None:
    assert datasets.DEFAULT in datasets.CATALOGUE
    assert set(datasets.CATALOGUE) == set(datasets.PINNED)


def test_published_hashes_are_whole() -> None:
    for sha256 in (*datasets.MNIST_FILES.values(), *datasets.PINNED.values()):
        assert re.fullmatch("[0-9a-f]{64}", sha256)


@pytest.mark.parametrize("name", ["mnst", "", "MNIST", "digits.csv", "npy"])
def test_unknown_name(name: str) -> None:
    message = f"data: got {name!r}; expected mnist-5k, mnist, or a path ending in .npy or .npz"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        datasets.load(name)


def test_data_dir_means_nothing_without_mnist(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data_dir: got .* for the data 'mnist-5k'; expected it for 'mnist' only"):
        datasets.load("mnist-5k", data_dir=tmp_path)


def test_data_set_cannot_be_changed() -> None:
    data = datasets.load("mnist-5k")
    with pytest.raises(AttributeError):
        data.name = "other"  # type: ignore[misc]  # the point of the test
    with pytest.raises(ValueError, match="read-only"):
        data.train[0, 0] = 1.0
