"""Figures of many images: averages with standard errors, bits per pixel, and which latents a model uses."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vae_rosetta.shared import passes
from vae_rosetta.shared.contract import Array, Model
from vae_rosetta.shared.passes import Real

ACTIVE: Final = 0.01  # variance of mu over images above which a latent is active (Burda et al. 2016)


class Estimate(NamedTuple):
    """An average over images."""

    mean: float
    standard_error: float  # of the mean, between images; not a number where there is but one


def estimate(values: Real) -> Estimate:
    """The average of one number for each image (N,)."""
    count = len(values)
    error = float(np.std(values, ddof=1)) / count**0.5 if count > 1 else float("nan")
    return Estimate(float(np.mean(values)), error)


def bits_per_pixel(nats: float, pixels: int) -> float:
    """Nats per image as bits per pixel."""
    return nats / (pixels * float(np.log(2.0)))


class Latents(NamedTuple):
    """What each latent tells of the images, (L,) each."""

    kl: Real  # average over images of KL(q(z_j|x) || N(0, 1)), nats
    variance_of_mean: Real  # Var_x[mu_j]
    active: npt.NDArray[np.bool_]  # Var_x[mu_j] > ACTIVE


def latents(model: Model, x: Array) -> Latents:
    """The use that `model` makes of its latents on the images x (N, D).

    Raises:
        TypeError, ValueError: x is not such images.
    """
    posterior = passes.posterior(model, x)
    variance = np.var(posterior.mu, axis=0)
    return Latents(posterior.kl_of_latents(), variance, variance > ACTIVE)
