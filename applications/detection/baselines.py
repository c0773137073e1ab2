"""What needs no autoencoder: two scores that a learned one has to beat."""

from typing import Final

import numpy as np
from sklearn.decomposition import PCA

from vae_rosetta.applications.detection.scores import Scores
from vae_rosetta.shared.contract import Array

NAMES: Final = ("pca-20", "ink")
_COMPONENTS: Final = 20  # as many as the model has latents


def pca_error(train: Array, x: Array, components: int = _COMPONENTS) -> Scores:
    """Squared error of x (N, D) after projection on the principal components of train (M, D), (N,)."""
    pca = PCA(n_components=min(components, *train.shape), svd_solver="covariance_eigh").fit(train)
    scores: Scores = np.sum((x - pca.inverse_transform(pca.transform(x))) ** 2, axis=1, dtype=np.float64)
    return scores


def ink(x: Array) -> Scores:
    """The mean pixel of each image of x (N, D), (N,): the more ink, the more anomalous.

    A model's scores grow with ink, as there is more to get wrong: this is how much of a result it explains.
    """
    scores: Scores = x.mean(axis=1, dtype=np.float64)
    return scores
