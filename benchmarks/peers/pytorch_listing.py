"""The loop that most published PyTorch listings share, with its images where those have them.

The pytorch/examples VAE (github.com/pytorch/examples, folder vae) reads them through torchvision: one picture after
another becomes a tensor, in the process that trains. torchvision itself is not needed here.
"""

import math
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from vae_rosetta.benchmarks import peers
from vae_rosetta.benchmarks.peers import pytorch_tensors
from vae_rosetta.shared.contract import Array


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images as 8-bit pictures, each made a tensor when it is asked for, as torchvision's MNIST and ToTensor do it.

    Pixels that are not of 8 bits are rounded to such.
    """

    def __init__(self, x: Array) -> None:
        side = math.isqrt(x.shape[1])
        shape = (side, side) if side * side == x.shape[1] else (1, x.shape[1])
        self._pixels = torch.from_numpy(np.rint(x * 255).astype(np.uint8)).view(-1, *shape)  # (N, h, w)

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self._pixels[index].numpy())
        pixels = torch.from_numpy(np.array(picture, copy=True))[None]  # (1, h, w)
        return pixels.to(torch.float32).div(255), 0  # with a label


class PeerModel(pytorch_tensors.PeerModel):
    """See `benchmarks.peers.Peer`."""

    versions = peers.versions("torch", "pillow")
    differs = (
        f"{pytorch_tensors.PeerModel.differs}; pixels are of 8 bits, each picture is made a tensor when it is needed"
    )

    def images(self, x: Array) -> Dataset[Any]:
        """x (N, D) -> pictures with labels."""
        return Pictures(x)
