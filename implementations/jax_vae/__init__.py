"""The classic VAE in JAX: `model.py` is for its users, `backend.py` for this project's contract."""

from vae_rosetta.implementations.jax_vae.backend import Model, describe, load
from vae_rosetta.implementations.jax_vae.model import (
    VAE,
    Decoder,
    Encoder,
    adam,
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
    "adam",
    "describe",
    "kl_divergence",
    "load",
    "loss_function",
    "train",
    "update",
]
