"""The classic VAE in TensorFlow: `model.py` is for its users, `backend.py` for this project's contract."""

from vae_rosetta.implementations.tensorflow_vae.backend import Model, describe, load
from vae_rosetta.implementations.tensorflow_vae.model import (
    VAE,
    Adam,
    Decoder,
    Encoder,
    kl_divergence,
    loss_function,
    train,
    update,
)

__all__ = [
    "VAE",
    "Adam",
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
