"""Wrong reconstruction losses, and wrong gradients of them."""

from typing import Any, Final

import numpy as np

from vae_rosetta.conformance.meta.mutants.base import Mutant, Patch, on
from vae_rosetta.shared import oracle
from vae_rosetta.shared.oracle import Arithmetic, Real


def _log_of_float32_sigmoid(true: Any, logits: Real, x: Real, ar: Arithmetic) -> Real:
    """-x log(p) - (1 - x) log(1 - p) with p held in float32, as in the formula of most blog posts."""
    with np.errstate(all="ignore"):
        p = (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)
        terms: Real = -x * np.log(p) - (1.0 - x) * np.log(np.float32(1) - p)
    return terms


def _log_expm1_of_log_sigmoid(true: Any, logits: Real, x: Real, ar: Arithmetic) -> Real:
    with np.errstate(all="ignore"):
        log_p = -np.log1p(np.exp(-logits.astype(np.float32)))
        terms: Real = -x * log_p - (1.0 - x) * np.log(-np.expm1(log_p))
    return terms


def _log_with_epsilon(true: Any, logits: Real, x: Real, ar: Arithmetic) -> Real:
    p = oracle.sigmoid(logits)
    return -x * np.log(p + 1e-7) - (1.0 - x) * np.log(1.0 - p + 1e-7)


def _overflowing_softplus(true: Any, logits: Real, x: Real, ar: Arithmetic) -> Real:
    with np.errstate(over="ignore"):
        softplus = np.log(1.0 + np.exp(logits.astype(np.float32)))
    return softplus - x * logits


def _slope_outside(limit: float) -> Patch:
    """No gradient through logits beyond `limit`."""

    def wrong(true: Any, logits: Real, x: Real, ar: Arithmetic) -> Real:
        return np.where(np.abs(logits) < limit, true(logits, x, ar), 0.0)

    return on("cross_entropy_slope", wrong)


def _slope_at_zero(value: float) -> Patch:
    """The gradient at a logit of exactly 0 is `value` - x."""

    def wrong(true: Any, logits: Real, x: Real, ar: Arithmetic) -> Real:
        return np.where(logits == 0.0, value - x, true(logits, x, ar))

    return on("cross_entropy_slope", wrong)


def _on_probabilities(reduced: Any, low: float = 0.0, high: float = 1.0, clamp: float = -np.inf) -> Patch:
    """The published loss with its probabilities clipped to [low, high], its logs clamped, its pixels `reduced`."""

    def wrong(true: Any, recon_x: Real, x: Real, mu: Real, logvar: Real, ar: Arithmetic) -> Real:
        p = np.clip(recon_x, low, high)
        with np.errstate(all="ignore"):
            log_p, log_q = np.maximum(np.log(p), clamp), np.maximum(np.log1p(-p), clamp)
            terms = -(x * log_p + (1.0 - x) * log_q)
        return np.asarray(reduced(terms) + np.sum(oracle.kl_terms(mu, logvar)))

    return on("loss_on_probabilities", wrong)


MUTANTS: Final = (
    Mutant(
        "probabilities-clamped-at-100",
        "in the value",
        ("loss/saturated-logits",),
        on("cross_entropy", lambda true, logits, x, ar: true(np.clip(logits, -100.0, 100.0), x, ar)),
        alone=True,
    ),
    Mutant(
        "probabilities-clipped",
        "in the value, at 1e-7",
        ("loss/saturated-logits",),
        on("cross_entropy", lambda true, logits, x, ar: true(np.clip(logits, -16.1181, 16.1181), x, ar)),
        alone=True,
    ),
    Mutant(
        "probabilities-clipped", "in the gradient, at 1e-7", ("gradients/saturated-logits",), _slope_outside(16.1181)
    ),
    Mutant(
        "probabilities-clamped-at-100",
        "in the gradient",
        ("gradients/saturated-logits",),
        _slope_outside(100.0),
        alone=True,
    ),
    Mutant(
        "sigmoid-twice",
        "",
        ("loss/tiny", "loss/saturated-logits"),
        on("cross_entropy", lambda true, logits, x, ar: true(oracle.sigmoid(logits), x, ar)),
    ),
    Mutant("epsilon-in-log", "1e-7", ("loss/saturated-logits",), on("cross_entropy", _log_with_epsilon)),
    Mutant("softplus-overflow", "", ("loss/saturated-logits",), on("cross_entropy", _overflowing_softplus)),
    Mutant(
        "reconstruction-weight",
        "3",
        ("loss/tiny",),
        on("cross_entropy", lambda true, logits, x, ar: 3.0 * true(logits, x, ar)),
    ),
    Mutant(
        "log-of-sigmoid",
        "of a float32 sigmoid",
        ("loss/saturated-logits",),
        on("cross_entropy", _log_of_float32_sigmoid),
    ),
    Mutant(
        "log-of-sigmoid",
        "log(-expm1(log_sigmoid(l))) for log(1 - p)",
        ("loss/saturated-logits",),
        on("cross_entropy", _log_expm1_of_log_sigmoid),
    ),
    Mutant("kink-at-zero", "the gradient there is 1 - x", ("gradients/logit-zero",), _slope_at_zero(1.0)),
    Mutant("kink-at-zero", "the gradient there is -x", ("gradients/logit-zero",), _slope_at_zero(0.0)),
    Mutant("kink-at-zero", "the gradient there is -1/2 - x", ("gradients/logit-zero",), _slope_at_zero(-0.5)),
    Mutant(
        "pixel-mean",
        "",
        ("loss/tiny", "loss/full"),
        on("cross_entropy", lambda true, logits, x, ar: true(logits, x, ar) / x.shape[1]),
    ),
    Mutant(
        "swapped-arguments",
        "",
        ("loss/soft-targets",),
        on("cross_entropy", lambda true, logits, x, ar: np.logaddexp(0.0, x) - x * logits),
    ),
    Mutant(
        "targets-changed",
        "rounded to 0 and 1",
        ("loss/soft-targets",),
        on("cross_entropy", lambda true, logits, x, ar: true(logits, np.round(x), ar)),
    ),
    Mutant(
        "squared-error",
        "of probabilities",
        ("loss/soft-targets", "loss/saturated-logits"),
        on("cross_entropy", lambda true, logits, x, ar: (1.0 / (1.0 + np.exp(-np.clip(logits, -500, 500))) - x) ** 2),
    ),
    Mutant("another-clamp", "no clamp", ("loss/probabilities-saturated",), _on_probabilities(np.sum), alone=True),
    Mutant(
        "another-clamp",
        "probabilities clipped at 1e-7",
        ("loss/probabilities-saturated",),
        _on_probabilities(np.sum, 1e-7, 1.0 - 1e-7),
        alone=True,
    ),
    Mutant(
        "another-clamp",
        "at -103",
        ("loss/probabilities-saturated",),
        _on_probabilities(np.sum, clamp=-103.0),
        alone=True,
    ),
    Mutant(
        "whole-mean",
        "in the published loss on probabilities",
        ("loss/probabilities", "loss/probabilities-saturated"),
        _on_probabilities(np.mean, clamp=-100.0),
    ),
)
