"""The loop of `pytorch_listing` without its pictures: all images lie in one tensor from the start."""

from typing import Any

import torch
from torch.utils.data import Dataset, TensorDataset

from benchmarks.peers import pytorch_listing
from shared.contract import Array


class PeerModel(pytorch_listing.PeerModel):
    """See `benchmarks.peers.Peer`."""

    packages = ("torch",)
    differs = "cross-entropy on probabilities, each log clamped at -100; PyTorch's own random numbers"

    def images(self, x: Array) -> Dataset[Any]:
        """x (N, D) -> images with labels."""
        return TensorDataset(torch.tensor(x), torch.zeros(len(x)))
