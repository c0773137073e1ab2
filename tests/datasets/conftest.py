"""What the tests of data sets share: an empty cache, a MNIST of twelve images, and a second definition of the hash."""

import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vae_rosetta.shared import datasets
from vae_rosetta.shared.datasets import Dataset

Array = npt.NDArray[Any]

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = datasets.MNIST_FILES


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no $VAE_DATA and no mirror: a test reaches neither the user's files nor the network."""
    folder = tmp_path / "cache"
    monkeypatch.delenv("VAE_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pooch.os_cache", lambda project: folder)
    monkeypatch.setattr(datasets, "MIRRORS", ())
    return folder


def _digest(**arrays: Array) -> str:
    """The definition in `Dataset`, a second time: C order, little end first, a line before each array."""
    data = b""
    for name, array in arrays.items():
        code = {"uint8": "B", "float32": "f", "int64": "q"}[str(array.dtype)]
        data += " ".join([name, str(array.dtype), *map(str, array.shape)]).encode() + b"\n"
        data += struct.pack(f"<{array.size}{code}", *array.ravel().tolist())
    return hashlib.sha256(data).hexdigest()


def _idx_bytes(array: Array) -> bytes:
    return struct.pack(f">I{array.ndim}I", 0x800 | array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


class Tiny:
    """A MNIST of twelve images of 2 x 3, whose hashes take the place of the pinned ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pixels = np.arange(72, dtype=np.uint8).reshape(12, 2, 3)
        labels = np.arange(12, dtype=np.uint8) % 10
        self.train, self.test = pixels[:8], pixels[8:]
        self.content = {
            TRAIN_IMAGES: _idx_bytes(pixels[:8]),
            TRAIN_LABELS: _idx_bytes(labels[:8]),
            TEST_IMAGES: _idx_bytes(pixels[8:]),
            TEST_LABELS: _idx_bytes(labels[8:]),
        }
        self.gzipped = {name: gzip.compress(content, mtime=0) for name, content in self.content.items()}
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in self.gzipped.items()}
        monkeypatch.setattr(datasets, "MNIST_FILES", hashes)
        wide = labels.astype(np.int64)
        self.sha256 = _digest(
            train=self.train.reshape(8, 6), test=self.test.reshape(4, 6), train_labels=wide[:8], test_labels=wide[8:]
        )
        monkeypatch.setattr(datasets, "PINNED", {"mnist": self.sha256})

    def write(self, folder: Path, *, zipped: bool = True) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in (self.gzipped if zipped else self.content).items():
            (folder / (f"{name}.gz" if zipped else name)).write_bytes(content)
        return folder


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Tiny:
    return Tiny(monkeypatch)


@pytest.fixture
def digest() -> Callable[..., str]:
    """Computes the SHA-256 of the arrays of a data set, given by name."""
    return _digest


@pytest.fixture
def idx_bytes() -> Callable[[Array], bytes]:
    """Writes an array of bytes in the format of MNIST's files."""
    return _idx_bytes


def _assert_well_formed(data: Dataset) -> None:
    arrays: list[Array] = [
        data.train,
        data.test,
        *(labels for labels in (data.train_labels, data.test_labels) if labels is not None),
    ]
    for array in arrays:
        assert not array.flags.writeable
        assert array.flags.owndata
        assert array.flags.c_contiguous
    for pixels, labels in ((data.train, data.train_labels), (data.test, data.test_labels)):
        assert pixels.dtype == np.float32
        assert pixels.min() >= 0.0
        assert pixels.max() <= 1.0
        if labels is not None:
            assert labels.dtype == np.int64
            assert labels.shape == (len(pixels),)
    assert data.train.shape[1:] == data.test.shape[1:]
    assert data.protocol == "grey"


@pytest.fixture
def assert_well_formed() -> Callable[[Dataset], None]:
    """Checks what is true of every data set."""
    return _assert_well_formed
