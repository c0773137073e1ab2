"""The loop of `pytorch_tensors` with its objective, forward and backward, under `torch.compile`."""

from typing import Final

import torch

from vae_rosetta.benchmarks.peers import pytorch_tensors
from vae_rosetta.shared.contract import Array

LAUNCHED_AT_ONCE: Final = "reduce-overhead"  # torch.compile's name for CUDA graphs


class PeerModel(pytorch_tensors.PeerModel):
    """See `benchmarks.peers.Peer`."""

    def __init__(self, device: str = "cpu", mode: str = "default") -> None:
        """`mode` is that of `torch.compile`."""
        super().__init__(device)
        self._mode = mode

    def start(self, x: Array, batch: int) -> None:
        super().start(x, batch)
        self._loss = torch.compile(self.loss, mode=self._mode, dynamic=False)
