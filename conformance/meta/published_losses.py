"""Published VAE losses, written anew in NumPy from their formulas, and what each weighs its KL by.

Each takes (recon, x, mu, second) as the original does, arrays (B, D) and (B, L), and reduces as the original reduces.
The sizes are those at which the original runs. None is copied: the source is named, and the public report where there
is one. For squared errors beta is relative to a Gaussian of unit variance.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from vae_rosetta.shared.oracle import Real


class Published(NamedTuple):
    """One loss, with the table that the audit must recover."""

    source: str
    loss: Callable[..., Any]
    input_dim: int
    latent_dim: int
    beta: float
    batch: str
    scale: float  # of the reconstruction, per image
    likelihood: str  # logits, probabilities or squared error
    clamp: str = "none"
    second: str = "logvar"


CLAMPED: Final = "each log clamped at -100"
CLIPPED: Final = "probabilities clipped to [1e-7, 1 - 1e-7]"


def bce_clamped(p: Real, x: Real) -> Real:
    """torch.nn.functional.binary_cross_entropy, per pixel: each log is at least -100 (pytorch/pytorch#103316)."""
    with np.errstate(divide="ignore"):
        log_p, log_q = np.maximum(np.log(p), -100.0), np.maximum(np.log1p(-p), -100.0)
    return -(x * log_p + (1.0 - x) * log_q)


def bce_clipped(p: Real, x: Real) -> Real:
    """keras.losses.binary_crossentropy, per pixel: p is clipped to [1e-7, 1 - 1e-7] (keras-team/keras#15271)."""
    p = np.clip(p, p.dtype.type(1e-7), p.dtype.type(1.0) - p.dtype.type(1e-7))
    return -(x * np.log(p) + (1.0 - x) * np.log(1.0 - p))


def bce_logits(logits: Real, x: Real) -> Real:
    """Exact at every logit, per pixel."""
    return np.logaddexp(logits.dtype.type(0.0), logits) - x * logits


def kl(mu: Real, logvar: Real) -> Real:
    """KL(N(mu, exp(logvar)) || N(0, 1)) per latent (arXiv:1312.6114, appendix B)."""
    return -0.5 * (1.0 + logvar - mu**2 - np.exp(logvar))


def pytorch_examples(recon_x: Real, x: Real, mu: Real, logvar: Real) -> Any:
    """pytorch/examples, vae/main.py (its reduction: #226, #228, #296; grey pixels: #460)."""
    return np.sum(bce_clamped(recon_x, x)) + np.sum(kl(mu, logvar))


def flax_examples(logits: Real, x: Real, mean: Real, logvar: Real) -> Any:
    """google/flax, examples/vae/train.py: log(1 - sigmoid) as log(-expm1(log_sigmoid))."""
    log_p = -np.logaddexp(logits.dtype.type(0.0), -logits)
    with np.errstate(divide="ignore", invalid="ignore"):
        bce = -np.sum(x * log_p + (1.0 - x) * np.log(-np.expm1(log_p)), axis=1)
    return np.mean(bce) + np.mean(np.sum(kl(mean, logvar), axis=1))


def keras_io(data: Real, reconstruction: Real, z_mean: Real, z_log_var: Real) -> Any:
    """keras-team/keras-io, examples/generative/vae.py, since its KL is summed over the latents (#270)."""
    bce = np.mean(np.sum(bce_clipped(reconstruction, data), axis=1))
    return bce + np.mean(np.sum(kl(z_mean, z_log_var), axis=1))


def pythae_bce(recon_x: Real, x: Real, mu: Real, log_var: Real) -> Any:
    """clementchadebec/benchmark_VAE, models/vae/vae_model.py, "bce": (loss, reconstruction, kl)."""
    bce, kld = np.sum(bce_clamped(recon_x, x), axis=-1), np.sum(kl(mu, log_var), axis=-1)
    return np.mean(bce + kld), np.mean(bce), np.mean(kld)


def pythae_mse(recon_x: Real, x: Real, mu: Real, log_var: Real) -> Any:
    """The same, "mse": with the half of a Gaussian."""
    mse, kld = 0.5 * np.sum((recon_x - x) ** 2, axis=-1), np.sum(kl(mu, log_var), axis=-1)
    return np.mean(mse + kld), np.mean(mse), np.mean(kld)


def pyro_comparison(recon_x: Real, x: Real, mu: Real, logvar: Real) -> Any:
    """pyro-ppl/pyro, examples/vae/vae_comparison.py, the branch without Pyro; grey pixels: #529."""
    return np.mean(bce_clamped(recon_x, x)) + np.sum(kl(mu, logvar)) / (len(x) * 784)


def flax_nnx_toy(logits: Real, x: Real, mean: Real, std: Real) -> Any:
    """google/flax, examples/nnx_toy_examples/05_vae.py: "0.1" times a KL that is a mean over 32 latents."""
    divergence = 0.5 * np.mean(-np.log(std**2) - 1.0 + std**2 + mean**2, axis=-1)
    return np.mean(bce_logits(logits, x)) + 0.1 * np.mean(divergence)


def keras_blog(x: Real, x_decoded_mean: Real, z_mean: Real, z_log_sigma: Real) -> Any:
    """blog.keras.io, "Building Autoencoders in Keras", 2016 (keras-team/keras#6015): two means, two latents."""
    return np.mean(np.mean(bce_clipped(x_decoded_mean, x), axis=-1) + np.mean(kl(z_mean, z_log_sigma), axis=-1))


def _pytorch_vae(weight: float) -> Callable[..., Any]:
    def loss(recons: Real, input: Real, mu: Real, log_var: Real) -> Any:  # noqa: A002 -- the original's name
        mse, kld = np.mean((recons - input) ** 2), np.mean(np.sum(kl(mu, log_var), axis=1))
        return {"loss": mse + weight * kld, "Reconstruction_Loss": mse, "KLD": -kld}

    loss.__doc__ = f"AntixK/PyTorch-VAE, models/vanilla_vae.py, kld_weight {weight} (#11, #35, #40); sign of KLD: #68."
    return loss


def bolts(x_hat: Real, x: Real, mu: Real, log_var: Real) -> Any:
    """Lightning-Universe/lightning-bolts, models/autoencoders, kl_coeff 0.1 (#328), at its expectation over z."""
    return np.mean((x_hat - x) ** 2) + 0.1 * np.mean(kl(mu, log_var))


def pyod(x: Real, x_recon: Real, z_mu: Real, z_logvar: Real) -> Any:
    """yzhao062/pyod, models/vae.py, its default capacity 0: the KL is clamped to [0, capacity]."""
    return np.mean((x_recon - x) ** 2) + np.mean(np.clip(np.sum(kl(z_mu, z_logvar), axis=1), 0.0, 0.0))


def alibi_detect(y_true: Real, y_pred: Real, z_mean: Real, z_log_var: Real) -> Any:
    """SeldonIO/alibi-detect, OutlierVAE: a Gaussian of deviation 0.05, a KL that is a mean over 1024 latents (#90)."""
    sim = 0.05
    log_likelihood = -0.5 * np.sum(((y_true - y_pred) / sim) ** 2 + np.log(2.0 * np.pi * sim**2), axis=1)
    return -np.mean(log_likelihood) + np.mean(kl(z_mean, z_log_var))


LOSSES: Final = {
    "pytorch/examples vae": Published(
        "pytorch/examples", pytorch_examples, 784, 20, 1.0, "sum", 1.0, "probabilities", CLAMPED
    ),
    "google/flax examples/vae": Published("google/flax", flax_examples, 784, 20, 1.0, "mean", 1.0, "logits"),
    "keras-io generative/vae": Published(
        "keras-team/keras-io", keras_io, 784, 2, 1.0, "mean", 1.0, "probabilities", CLIPPED
    ),
    "pythae bce": Published(
        "clementchadebec/benchmark_VAE", pythae_bce, 784, 10, 1.0, "mean", 1.0, "probabilities", CLAMPED
    ),
    "pythae mse": Published("clementchadebec/benchmark_VAE", pythae_mse, 784, 10, 1.0, "mean", 1.0, "squared error"),
    "pyro vae_comparison": Published(
        "pyro-ppl/pyro", pyro_comparison, 784, 20, 1.0, "mean", 1 / 784, "probabilities", CLAMPED
    ),
    "google/flax nnx_toy 05_vae": Published(
        "google/flax", flax_nnx_toy, 784, 32, 2.45, "mean", 1 / 784, "logits", second="std"
    ),
    "blog.keras.io 2016": Published(
        "keras-team/keras#6015", keras_blog, 784, 2, 392.0, "mean", 1 / 784, "probabilities", CLIPPED
    ),
    "PyTorch-VAE vanilla, training": Published(
        "AntixK/PyTorch-VAE", _pytorch_vae(0.00025), 12288, 128, 1.536, "mean", 2 / 12288, "squared error"
    ),
    "PyTorch-VAE vanilla, validation": Published(
        "AntixK/PyTorch-VAE", _pytorch_vae(1.0), 12288, 128, 6144.0, "mean", 2 / 12288, "squared error"
    ),
    "lightning-bolts": Published(
        "Lightning-Universe/lightning-bolts", bolts, 3072, 256, 0.6, "mean", 2 / 3072, "squared error"
    ),
    "PyOD VAE default": Published("yzhao062/pyod", pyod, 30, 2, 0.0, "mean", 2 / 30, "squared error"),
    "alibi-detect OutlierVAE": Published(
        "SeldonIO/alibi-detect", alibi_detect, 3072, 1024, 1 / 1024 / 400, "mean", 400.0, "squared error"
    ),
}
