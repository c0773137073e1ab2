"""What anyone could make without a model, as ceilings beside which a model's samples are measured."""

from typing import Final

import numpy as np
import numpy.typing as npt

from vae_rosetta.applications.generation.decoding import Draw
from vae_rosetta.shared import stream
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.stream import Purpose

COMPONENTS: Final = 20  # as many as the classic model has latents

Pixels = npt.NDArray[np.float32]


def pca_gaussian(x: Array, n: int, seed: int) -> Pixels:
    """n images (n, D) of a Gaussian on the first 20 principal components of x (N, D), cut to [0, 1].

    Fewer components if x has fewer. The normals are those of stream (seed, LATENT, 4).
    """
    from sklearn.decomposition import PCA

    pca = PCA(min(COMPONENTS, *x.shape), random_state=0).fit(x)
    normals = stream.normal(seed, Purpose.LATENT, Draw.PCA, (n, pca.n_components_))  # (n, K)
    images = pca.mean_ + (normals * np.sqrt(pca.explained_variance_)) @ pca.components_  # (n, D)
    pixels: Pixels = np.clip(images, 0.0, 1.0).astype(np.float32)
    return pixels


def pixel_noise(x: Array, n: int, seed: int) -> Pixels:
    """n images (n, D), each pixel that of an image of x (N, D) picked for it alone: every pixel right, no image."""
    uniforms = stream.uniform(seed, Purpose.LATENT, Draw.NOISE, n * x.shape[1]).reshape(n, -1)  # (n, D)
    rows = (uniforms * len(x)).astype(np.int64)
    return x[rows, np.arange(x.shape[1])].astype(np.float32)
