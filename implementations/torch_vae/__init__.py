"""The classic VAE in PyTorch: `model.py` is for its users, `backend.py` for this project's contract."""

from vae_rosetta.implementations.torch_vae.backend import Model, describe, load
from vae_rosetta.implementations.torch_vae.model import (
    VAE,
    Decoder,
    Encoder,
    kl_divergence,
    loss_function,
    train,
    update,
)

__all__ = [
    "VAE",
    "Decoder",
    "Encoder",
    "Model",
    "describe",
    "kl_divergence",
    "load",
    "loss_function",
    "train",
    "update",
]
