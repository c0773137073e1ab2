"""The images that a run trains on: a data set, cut or repeated to the number wanted, in a file that workers read."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vae_rosetta.shared import datasets
from vae_rosetta.shared.datasets import Dataset


@dataclass(frozen=True)
class Images:
    """Images (N, D), float32, in a .npy file, and where they come from."""

    path: Path
    count: int  # N
    input_dim: int  # D
    source: str  # name of the data set
    source_images: int  # that it holds to train on
    sha256: str  # of the data set, see `shared.datasets.Dataset`

    def __str__(self) -> str:
        if self.source_images < self.count:
            return f"{self.source}, its {self.source_images:,} training images repeated to {self.count:,}"
        if self.source_images > self.count:
            return f"{self.source}, the first {self.count:,} of its {self.source_images:,} training images"
        return f"{self.source}, its {self.count:,} training images"


def choose(name: str | None, *, quick: bool) -> Dataset:
    """The data set `name`. If None: `mnist` if the folder $VAE_DATA holds it and the run is not quick, else `mnist-5k`.

    Raises:
        FileNotFoundError, ModuleNotFoundError, OSError, ValueError: see `shared.datasets.load`.
    """
    folder = os.environ.get(datasets.DATA_VARIABLE)
    if name is None and folder and not quick:
        try:
            return datasets.load("mnist", data_dir=folder)
        except FileNotFoundError:
            pass  # the folder may hold other data; what was used is in the results
    return datasets.load(datasets.DEFAULT if name is None else name)


def write(dataset: Dataset, count: int, folder: Path) -> Images:
    """The training images of `dataset`, cut or repeated to `count`, in a file in `folder`.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    train = dataset.train
    path = folder / "images.npy"
    filled = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(count, train.shape[1]))
    for start in range(0, count, len(train)):
        filled[start : start + len(train)] = train[: count - start]
    filled.flush()
    return Images(path, count, train.shape[1], dataset.name, len(train), dataset.sha256)


def write_halves(dataset: Dataset, folder: Path) -> None:
    """All training and test images of `dataset`, in `train.npy` and `test.npy` in `folder`.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    np.save(folder / "train.npy", dataset.train)
    np.save(folder / "test.npy", dataset.test)
