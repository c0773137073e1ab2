"""Draws of the prior, and latents decoded into images."""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from vae_rosetta.shared import passes, stream
from vae_rosetta.shared.contract import Array, Model
from vae_rosetta.shared.oracle import sigmoid
from vae_rosetta.shared.stream import Purpose


class Draw(IntEnum):
    """The indices of stream (seed, LATENT) that are used here."""

    PRIOR = 0
    PAIR = 1  # order of the held-out images in which two to interpolate between are sought
    TRAIN = 2  # order of the training images that samples are compared with, and
    TEST = 3  # of the held-out ones
    PCA = 4  # the normals of `anchors.pca_gaussian`
    NOISE = 5  # the uniforms of `anchors.pixel_noise`


def latents(seed: int, n: int, latent_dim: int) -> npt.NDArray[np.float32]:
    """Draws of the prior, (n, L), from stream (seed, LATENT, 0): the first ones do not depend on n."""
    return stream.normal(seed, Purpose.LATENT, Draw.PRIOR, (n, latent_dim))


def probabilities(model: Model, z: Array) -> npt.NDArray[np.float32]:
    """Latents z (n, L) -> probabilities of the pixels (n, D)."""
    parts = (sigmoid(model.decode(z[rows]).astype(np.float64)) for rows in passes.batches(len(z)))
    return np.concatenate([part.astype(np.float32) for part in parts])
