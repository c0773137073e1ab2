"""The benchmark's peers in PyTorch: with its data set of pictures, the usual loop sees what it sees with one tensor."""

from typing import Any

import numpy as np
import pytest

from vae_rosetta.benchmarks import peers
from vae_rosetta.shared.contract import Array

torch: Any = pytest.importorskip("torch")


@pytest.fixture
def images() -> Array:
    """x (40, 16), of 8-bit pixels."""
    x: Array = np.random.default_rng(0).integers(0, 256, (40, 16)).astype(np.float32) / np.float32(255)
    return x


def _load(name: str) -> Any:
    return peers.load(peers.KNOWN[name].module)


def test_pictures_are_the_images(images: Array) -> None:
    pictures = _load("pytorch-listing").images(images)
    assert len(pictures) == 40
    assert pictures[0][0].shape == (1, 4, 4)
    np.testing.assert_array_equal(torch.stack([picture for picture, _ in pictures]).numpy().reshape(40, 16), images)


def test_both_loops_train_alike(images: Array) -> None:
    curves = []
    for name in ("pytorch-listing", "pytorch-tensors"):
        peer = _load(name)
        peer.start(images, 16)
        curves.append([peer.epoch() for _ in range(5)] + [peer.test(images)])
    np.testing.assert_array_equal(curves[0], curves[1])
    assert curves[0][4] < curves[0][0]
