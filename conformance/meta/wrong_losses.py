"""Losses with one bug each, in NumPy, and right ones in several wordings: what the audit must tell apart.

All take (recon, x, mu, logvar), arrays (B, D) and (B, L); `recon` are logits unless a comment says otherwise.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from vae_rosetta.conformance.meta.published_losses import bce_clamped, bce_clipped, bce_logits, kl
from vae_rosetta.shared import oracle
from vae_rosetta.shared.oracle import Real

Loss = Callable[..., Any]


def right_sum(recon: Real, x: Real, mu: Real, logvar: Real) -> Any:
    """The specification's objective."""
    return np.sum(bce_logits(recon, x)) + np.sum(kl(mu, logvar))


def right_mean(recon: Real, x: Real, mu: Real, logvar: Real) -> Any:
    """Divided by the number of images."""
    return right_sum(recon, x, mu, logvar) / len(x)


def right_per_sample(recon: Real, x: Real, mu: Real, logvar: Real) -> Any:
    """(B,)."""
    return np.sum(bce_logits(recon, x), axis=1) + np.sum(kl(mu, logvar), axis=1)


def right_pair(recon: Real, x: Real, mu: Real, logvar: Real) -> Any:
    """The contract's Losses: no element is the total."""
    return np.sum(bce_logits(recon, x), axis=1), np.sum(kl(mu, logvar), axis=1)


def right_dict(recon: Real, x: Real, mu: Real, logvar: Real) -> Any:
    """The total beside its terms, and something that is no loss."""
    reconstruction, divergence = right_pair(recon, x, mu, logvar)
    total = np.mean(reconstruction + divergence)
    return {"reconstruction": np.mean(reconstruction), "loss": total, "kl": np.mean(divergence), "x_hat": recon}


def right_other_order(a: Real, b: Real, c: Real, d: Real) -> Any:
    """(mu, logvar, x, recon), under names that say nothing."""
    return right_sum(d, c, a, b)


def right_keywords(*, z_log_var: Real, y_pred: Real, z_mean: Real, y_true: Real) -> Any:
    """By keyword only."""
    return right_sum(y_pred, y_true, z_mean, z_log_var)


RIGHT: Final[dict[str, tuple[Loss, str]]] = {  # with the batch reduction
    "sum": (right_sum, "sum"),
    "mean": (right_mean, "mean"),
    "per sample": (right_per_sample, "none (one loss per sample)"),
    "pair of terms": (right_pair, "none (one loss per sample)"),
    "dict": (right_dict, "mean"),
    "other order": (right_other_order, "sum"),
    "keywords": (right_keywords, "sum"),
}


class Wrong(NamedTuple):
    """One bug: its id in the catalogue, which the audit must name, and findings that it must make."""

    bug: str
    loss: Loss
    findings: dict[str, Any]
    others: tuple[str, ...] = ()  # that follow from it


def _with_bce(bce: Callable[[Real, Real], Real]) -> Loss:
    def loss(recon: Real, x: Real, mu: Real, logvar: Real) -> Any:
        return np.sum(bce(recon, x)) + np.sum(kl(mu, logvar))

    return loss


def _with_kl(divergence: Callable[[Real, Real], Any]) -> Loss:
    def loss(recon: Real, x: Real, mu: Real, logvar: Real) -> Any:
        return np.sum(bce_logits(recon, x)) + divergence(mu, logvar)

    return loss


def _sigmoid(logits: Real) -> Real:
    return oracle.sigmoid(logits).astype(logits.dtype)


def _naive(logits: Real, x: Real) -> Real:
    """log(sigmoid) and log(1 - sigmoid), as written."""
    p = 1.0 / (1.0 + np.exp(-logits))
    return -(x * np.log(p) + (1.0 - x) * np.log(1.0 - p))


def _expm1(logits: Real, x: Real) -> Real:
    """log(1 - sigmoid) as log(-expm1(log_sigmoid)): google/flax, examples/vae."""
    log_p = -np.logaddexp(logits.dtype.type(0.0), -logits)
    return -(x * log_p + (1.0 - x) * np.log(-np.expm1(log_p)))


def _epsilon(p: Real, x: Real) -> Real:
    """On probabilities, with an epsilon inside each log."""
    return -(x * np.log(p + 1e-8) + (1.0 - x) * np.log(1.0 - p + 1e-8))


def _mutating(recon: Real, x: Real, mu: Real, logvar: Real) -> Any:
    value = right_sum(recon, x, mu, logvar)
    logvar += 1.0
    return value


def _swapped(y_true: Real, y_pred: Real, z_mean: Real, z_log_var: Real) -> Any:
    """A port of a Keras call to a function of (prediction, target)."""
    return right_sum(y_true, y_pred, z_mean, z_log_var)


def _from_variance(mu: Real, logvar: Real) -> Any:
    """The log of exp(logvar): infinite, or NaN, where logvar need not be."""
    variance = np.exp(logvar)
    return np.sum(0.5 * (mu**2 + variance - 1.0 - np.log(variance)))


def _terms(kl_weight: float, logged: float = 1.0) -> Loss:
    def loss(recon: Real, x: Real, mu: Real, logvar: Real) -> Any:
        bce, divergence = np.sum(bce_logits(recon, x)), np.sum(kl(mu, logvar))
        return {"loss": bce + kl_weight * divergence, "bce": bce, "kl": logged * divergence}

    return loss


WRONG: Final[dict[str, Wrong]] = {
    "logs clamped at -100": Wrong(
        "probabilities-clamped-at-100",
        _with_bce(lambda recon, x: bce_clamped(_sigmoid(recon), x)),
        {"clamp": "each log clamped at -100"},
    ),
    "clipped to 1e-7": Wrong(
        "probabilities-clipped",
        _with_bce(lambda recon, x: bce_clipped(_sigmoid(recon), x)),
        {"clamp": "probabilities clipped to [1e-7, 1 - 1e-7]"},
    ),
    "logits clipped to 10": Wrong(
        "logits-clamped", _with_bce(lambda recon, x: bce_logits(np.clip(recon, -10, 10), x)), {}
    ),
    "clamped probabilities, undeclared": Wrong(
        "probabilities-clamped-at-100",
        _with_bce(bce_clamped),
        {"likelihood": "Bernoulli: cross-entropy on probabilities", "clamp": "each log clamped at -100"},
    ),
    "epsilon in the logs": Wrong(
        "epsilon-in-log", _with_bce(_epsilon), {"likelihood": "Bernoulli: cross-entropy on probabilities"}
    ),
    "naive log(sigmoid)": Wrong("log-of-sigmoid", _with_bce(_naive), {"clamp": "none"}),
    "log(-expm1(log_sigmoid))": Wrong("log-of-sigmoid", _with_bce(_expm1), {"clamp": "none"}),
    "pixels averaged": Wrong(
        "pixel-mean",
        lambda recon, x, mu, logvar: np.mean(bce_logits(recon, x)) + np.mean(np.sum(kl(mu, logvar), axis=1)),
        {"effective_beta": 784.0, "pixel_reduction": "mean", "latent_reduction": "sum", "batch_reduction": "mean"},
    ),
    "latents averaged": Wrong(
        "kl-latent-mean",
        _with_kl(lambda mu, logvar: np.sum(np.mean(kl(mu, logvar), axis=1))),
        {"effective_beta": 0.05, "pixel_reduction": "sum", "latent_reduction": "mean", "batch_reduction": "sum"},
    ),
    "KL without its half": Wrong(
        "kl-weight", _with_kl(lambda mu, logvar: 2.0 * np.sum(kl(mu, logvar))), {"kl_scale": 2.0}
    ),
    "KL averaged over the batch alone": Wrong(
        "unlike-reductions",
        _with_kl(lambda mu, logvar: np.mean(np.sum(kl(mu, logvar), axis=1))),
        {"batch_reduction": "sum", "kl_batch_reduction": "mean", "effective_beta": 0.25},
        ("kl-weight",),
    ),
    "logvar is a log-std": Wrong(
        "kl-reads-log-std",
        _with_kl(lambda mu, s: np.sum(0.5 * (mu**2 + np.exp(2.0 * s) - 1.0 - 2.0 * s))),
        {"second_latent": "log-std", "effective_beta": 1.0},
    ),
    "logvar is a std": Wrong(
        "kl-reads-std",
        _with_kl(lambda mu, s: np.sum(0.5 * (mu**2 + s**2 - 1.0 - np.log(s**2)))),
        {"second_latent": "std", "effective_beta": 1.0},
    ),
    "logvar is a variance": Wrong(
        "kl-reads-variance",
        _with_kl(lambda mu, v: np.sum(0.5 * (mu**2 + v - 1.0 - np.log(v)))),
        {"second_latent": "variance", "effective_beta": 1.0},
    ),
    "logvar counted twice": Wrong(
        "kl-term-missing",
        _with_kl(lambda mu, logvar: np.sum(0.5 * (mu**2 + np.exp(logvar) - 1.0 - 2.0 * logvar))),
        {"second_latent": "unknown: +0.5 mu^2 -1 logvar +0.5 exp(logvar)"},
    ),
    "KL subtracted": Wrong("kl-sign", _with_kl(lambda mu, logvar: -np.sum(kl(mu, logvar))), {"effective_beta": -1.0}),
    "ELBO returned": Wrong(
        "sign", lambda recon, x, mu, logvar: -right_sum(recon, x, mu, logvar), {"sign": "maximised"}
    ),
    "KL logged negative": Wrong("kl-sign", _terms(1.0, logged=-1.0), {"effective_beta": 1.0}),
    "KL times 0": Wrong("inert-kl", _terms(0.0), {"effective_beta": 0.0, "second_latent": "not used"}),
    "KL clamped to capacity 0": Wrong(
        "inert-kl", _with_kl(lambda mu, logvar: np.sum(np.clip(kl(mu, logvar), 0.0, 0.0))), {"effective_beta": 0.0}
    ),
    "cross-entropy swapped": Wrong(
        "swapped-arguments", _with_bce(lambda recon, x: bce_logits(x, recon)), {"swapped": ["recon", "x"]}
    ),
    "Keras order": Wrong("swapped-arguments", _swapped, {"swapped": ["y_true", "y_pred"]}),
    "mu and logvar swapped": Wrong(
        "swapped-arguments", _with_kl(lambda mu, logvar: np.sum(kl(logvar, mu))), {"swapped": ["mu", "logvar"]}
    ),
    "logvar clamped": Wrong(
        "logvar-clamped",
        _with_kl(lambda mu, logvar: np.sum(kl(mu, np.clip(logvar, -30.0, 20.0)))),
        {"logvar_clamp": (-30.0, 20.0)},
    ),
    "log of exp(logvar)": Wrong("kl-not-finite", _with_kl(_from_variance), {"second_latent": "logvar"}),
    "negative mu forgiven": Wrong(
        "kl-not-finite", _with_kl(lambda mu, logvar: np.sum(kl(np.maximum(mu, 0.0), logvar))), {}
    ),
    "free bits": Wrong(
        "unequal-weights", _with_kl(lambda mu, logvar: np.sum(np.maximum(np.sum(kl(mu, logvar), axis=1), 3.0))), {}
    ),
    "one latent weighs double": Wrong(
        "unequal-weights",
        _with_kl(lambda mu, logvar: np.sum(kl(mu, logvar)) + np.sum(kl(mu, logvar)[:, 0])),
        {},
        ("kl-weight", "unlike-reductions"),
    ),
    "KL multiplies": Wrong(
        "unequal-weights",
        lambda recon, x, mu, logvar: np.sum(bce_logits(recon, x)) * (1.0 + 1e-3 * np.sum(kl(mu, logvar))),
        {},
        ("kl-weight", "reconstruction-weight", "unlike-reductions", "constant-added"),
    ),
    "KL of the batch added to each sample": Wrong(
        "unlike-reductions",
        lambda recon, x, mu, logvar: np.sum(bce_logits(recon, x), axis=1) + np.sum(kl(mu, logvar)),
        {"effective_beta": 4.0, "batch_reduction": "none (one loss per sample)"},
        ("kl-weight",),
    ),
    "targets smoothed": Wrong(
        "unequal-weights",
        _with_bce(lambda recon, x: bce_logits(recon, 0.9999 * x + 0.5e-4)),
        {},
        ("log-of-sigmoid", "kl-weight", "reconstruction-weight", "constant-added"),
    ),
    "constant added": Wrong("constant-added", lambda *a: right_sum(*a) + 784.0, {"constant": 196.0}),
    "changes an argument": Wrong("argument-changed", _mutating, {"mutates": ["logvar"]}),
}
