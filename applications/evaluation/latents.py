"""Which latents a model uses."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vae_rosetta.applications.evaluation.likelihood import posterior
from vae_rosetta.shared import oracle
from vae_rosetta.shared.contract import Array, Model

ACTIVE: Final = 0.01  # variance of mu over images above which a latent is active (Burda et al. 2016)


class Latents(NamedTuple):
    """What each latent tells of the images, (L,) each."""

    kl: npt.NDArray[np.float64]  # average over images of KL(q(z_j|x) || N(0, 1)), nats
    variance_of_mean: npt.NDArray[np.float64]  # Var_x[mu_j]
    active: npt.NDArray[np.bool_]  # Var_x[mu_j] > ACTIVE


def latents(model: Model, x: Array) -> Latents:
    """The use that `model` makes of its latents on the images x (N, D).

    Raises:
        TypeError, ValueError: x is not such images.
    """
    mu, logvar = posterior(model, x)
    variance = np.var(mu, axis=0)
    return Latents(np.mean(oracle.kl_terms(mu, logvar), axis=0), variance, variance > ACTIVE)
