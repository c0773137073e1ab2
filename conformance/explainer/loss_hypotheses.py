"""What may be wrong in the losses and their gradients, as an oracle with that bug. Weights of whole terms are
estimated: see `weights`.

A loss on probabilities depends on the precision in which the probabilities are held, so these hypotheses are made for a
precision.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from vae_rosetta.conformance.explainer.model_hypotheses import (
    LOGVARS,
    Hypothesis,
    kl_of_log_std,
    kl_of_log_std_slopes,
    sigmoid_slope,
)
from vae_rosetta.conformance.explainer.rules import Rules
from vae_rosetta.shared.oracle import Real, cross_entropy, cross_entropy_slope, kl_terms, sigmoid

CLIPS: Final = (1e-7, 1e-6, 1e-8, 1e-5, 1e-4, 1e-3, 1e-10, 1e-12)
LOGITS: Final = (88.0, 80.0, 50.0, 30.0, 20.0, 15.0, 10.0)
_EDGE: Final = 1e-6
TINY: Final = float(np.finfo(np.float32).tiny)

Pixels = Callable[[Real, Real], Real]  # logits (B, D), x (B, D) -> (B, D)


def loss_hypotheses(dtype: str) -> Iterator[Hypothesis]:
    """Bugs of cross-entropy and KL term, computed in `dtype`."""
    swapped = Rules(
        cross_entropy=lambda logits, x: np.logaddexp(0.0, x) - x * logits,
        cross_entropy_slope=lambda logits, x: -x,
    )
    for at_zero, text in ((1.0, "1 - x"), (0.0, "-x"), (-0.5, "-1/2 - x")):
        yield Hypothesis("kink-at-zero", f"the gradient there is {text}", _kinked(at_zero))
    yield Hypothesis("swapped-arguments", "", swapped)
    yield Hypothesis("sigmoid-twice", "", Rules(seen=sigmoid, seen_slope=sigmoid_slope))
    yield from _probabilities(dtype)
    for bound in LOGITS:
        yield Hypothesis("logits-clamped", f"to +-{bound:g}", _clipped(bound))
        past = replace(_clipped(bound), seen_slope=np.ones_like)
        yield Hypothesis("logits-clamped", f"to +-{bound:g}, the gradient passing", past)
    for held in dict.fromkeys((dtype, "float64")):
        yield from _naive(held)
    yield Hypothesis("posterior-detached", "", Rules(through_mu=False, through_std=False))
    yield Hypothesis("posterior-detached", "along logvar alone", Rules(through_std=False))
    for factor, text in ((1.0, ""), (0.5, "half of it")):
        yield Hypothesis("squared-error", text, _squared(factor))
    for text, slopes in _DETACHED:
        yield Hypothesis("inert-kl", f"no gradient reaches {text}", Rules(kl_slopes=slopes))
    yield from _divergences(dtype)


def _clipped(bound: float) -> Rules:
    return Rules(
        seen=lambda logits: np.clip(logits, -bound, bound),
        seen_slope=lambda logits: (np.abs(logits) < bound).astype(np.float64),
    )


def _probabilities(dtype: str) -> Iterator[Hypothesis]:
    """Cross-entropy on probabilities: ideal ones, and ones held in `dtype` in two ways of computing them."""
    yield Hypothesis("probabilities-clamped-at-100", "", Rules(cross_entropy=_clamped, cross_entropy_slope=_cut(100.0)))
    for held in _held(dtype):
        rules = Rules(cross_entropy=_clamped_of(held), cross_entropy_slope=_clamped_slope_of(held))
        yield Hypothesis("probabilities-clamped-at-100", "", rules)
    for clip in CLIPS:
        bound = float(np.log1p(-clip) - np.log(clip))
        for edge in (1.0, 1.0 - _EDGE, 1.0 + _EDGE):  # a probability that is the bound itself may fall on either side
            yield Hypothesis("probabilities-clipped", f"at {clip:g}", _clipped(bound * edge))
        for held in _held(dtype):
            for at_bound in (1.0, 0.5):  # of the slope, where a probability is the bound itself: JAX passes half of it
                slope = _clip_slope(held, clip, dtype, at_bound)
                rules = Rules(cross_entropy=_clipped_of(held, clip, dtype), cross_entropy_slope=slope)
                yield Hypothesis("probabilities-clipped", f"at {clip:g}", rules)
    for epsilon in CLIPS:
        rules = Rules(cross_entropy=_shifted(epsilon), cross_entropy_slope=_shifted_slope(epsilon))
        yield Hypothesis("epsilon-in-log", f"{epsilon:g}", rules)


def _held(dtype: str) -> tuple[Callable[[Real], Real], ...]:
    """Probabilities as a port holds them: 1 / (1 + exp(-l)) in its own precision, or the rounded exact value."""

    def computed(logits: Real) -> Real:
        one = np.ones((), dtype)
        return np.asarray(one / (one + np.exp(-logits.astype(dtype))), np.float64)

    return computed, lambda logits: sigmoid(logits).astype(dtype).astype(np.float64)


def _clamped(logits: Real, x: Real) -> Real:
    return x * np.minimum(np.logaddexp(0, -logits), 100.0) + (1.0 - x) * np.minimum(np.logaddexp(0, logits), 100.0)


def _cut(bound: float) -> Pixels:
    def slope(logits: Real, x: Real) -> Real:
        positive = (1.0 - x) * sigmoid(logits) * (logits < bound)
        return positive - x * sigmoid(-logits) * (logits > -bound)

    return slope


def _clamped_of(held: Callable[[Real], Real]) -> Pixels:
    def loss(logits: Real, x: Real) -> Real:
        p = held(logits)
        return -x * np.maximum(np.log(p), -100.0) - (1.0 - x) * np.maximum(np.log1p(-p), -100.0)

    return loss


def _clamped_slope_of(held: Callable[[Real], Real]) -> Pixels:
    """torch's own: (p - x) / max(p (1 - p), 1e-12), and the sigmoid's p (1 - p) after it."""

    def slope(logits: Real, x: Real) -> Real:
        p = held(logits)
        spread = p * (1.0 - p)
        return (p - x) / np.maximum(spread, 1e-12) * spread

    return slope


def _clipped_of(held: Callable[[Real], Real], clip: float, dtype: str) -> Pixels:
    low, high = _bounds(clip, dtype)

    def loss(logits: Real, x: Real) -> Real:
        p = np.clip(held(logits), low, high)
        return -x * np.log(p) - (1.0 - x) * np.log1p(-p)

    return loss


def _clip_slope(held: Callable[[Real], Real], clip: float, dtype: str, at_bound: float) -> Pixels:
    low, high = _bounds(clip, dtype)

    def slope(logits: Real, x: Real) -> Real:
        p = held(logits)
        passes = np.where((p == low) | (p == high), at_bound, (p > low) & (p < high))
        return passes * (p - x)

    return slope


def _bounds(clip: float, dtype: str) -> tuple[float, float]:
    """Where probabilities are clipped, as `dtype` holds it."""
    return float(np.asarray(clip, dtype)), float(np.asarray(1.0 - clip, dtype))


def _shifted(epsilon: float) -> Pixels:
    def loss(logits: Real, x: Real) -> Real:
        return -x * np.log(sigmoid(logits) + epsilon) - (1.0 - x) * np.log(sigmoid(-logits) + epsilon)

    return loss


def _shifted_slope(epsilon: float) -> Pixels:
    def slope(logits: Real, x: Real) -> Real:
        p, q = sigmoid(logits), sigmoid(-logits)
        return p * q * ((1.0 - x) / (q + epsilon) - x / (p + epsilon))

    return slope


def _naive(dtype: str) -> Iterator[Hypothesis]:
    """What overflows or divides 0 by 0; with and without numbers below the smallest normal one (hardware may flush
    them to 0)."""

    def flushed(value: Real, smallest: float) -> Real:
        return np.where(np.abs(value) < smallest, value * 0, value)

    def log_of_sigmoid(smallest: float, *, stable: bool, complement: bool) -> Pixels:
        def loss(logits: Real, x: Real) -> Real:
            l, t = logits.astype(dtype), x.astype(dtype)  # noqa: E741 -- the specification's symbol
            log_p = -np.logaddexp(0, -l) if stable else -np.log1p(flushed(np.exp(-l), smallest))
            if complement:
                log_q = np.log(flushed(-np.expm1(log_p), smallest))
            else:
                p = flushed(1 / (1 + np.exp(-l)), smallest)
                log_p, log_q = np.log(p), np.log(1 - p)
            return np.asarray(-(t * log_p + (1 - t) * log_q), np.float64)

        return loss

    def steep(loss: Pixels) -> Pixels:
        def slope(logits: Real, x: Real) -> Real:
            return np.where(np.isfinite(loss(logits, x)), cross_entropy_slope(logits, x), np.nan)

        return slope

    for smallest in (0.0, TINY):
        for stable, complement in ((False, True), (True, True), (False, False)):
            loss = log_of_sigmoid(smallest, stable=stable, complement=complement)
            yield Hypothesis("log-of-sigmoid", "", Rules(cross_entropy=loss, cross_entropy_slope=steep(loss)))

    def overflowing(logits: Real, x: Real) -> Real:
        held = logits.astype(dtype)
        return np.where(np.isinf(np.exp(held)), np.inf, cross_entropy(logits, x))

    yield Hypothesis("softplus-overflow", "", Rules(cross_entropy=overflowing, cross_entropy_slope=steep(overflowing)))


def _kinked(at_zero: float) -> Rules:
    def slope(logits: Real, x: Real) -> Real:
        return np.where(logits == 0.0, at_zero - x, cross_entropy_slope(logits, x))

    return Rules(cross_entropy_slope=slope)


def _squared(factor: float) -> Rules:
    return Rules(
        cross_entropy=lambda logits, x: factor * (sigmoid(logits) - x) ** 2,
        cross_entropy_slope=lambda logits, x: 2.0 * factor * (sigmoid(logits) - x) * sigmoid_slope(logits),
    )


def _divergences(dtype: str) -> Iterator[Hypothesis]:
    throughout = Rules(std=np.exp, std_slope=np.exp, kl=kl_of_log_std, kl_slopes=kl_of_log_std_slopes)
    yield Hypothesis("log-std-throughout", "", throughout)
    yield Hypothesis("kl-reads-log-std", "", Rules(kl=kl_of_log_std, kl_slopes=kl_of_log_std_slopes))
    yield Hypothesis(
        "kl-reads-variance",
        "NaN where it is negative",
        Rules(
            kl=lambda mu, variance: 0.5 * (mu * mu + variance - 1.0 - np.log(variance)),
            kl_slopes=lambda mu, variance: (mu, 0.5 - 0.5 / variance),
        ),
    )
    yield Hypothesis(
        "kl-reads-std",
        "",
        Rules(
            kl=lambda mu, std: 0.5 * (mu * mu + std * std - 1.0 - np.log(std * std)),
            kl_slopes=lambda mu, std: (mu, std - 1.0 / std),
        ),
    )
    for text, missing, slopes in _MISSING:
        yield Hypothesis("kl-term-missing", text, Rules(kl=_less(missing), kl_slopes=slopes))
    yield Hypothesis("kl-reversed", "", _REVERSED)
    for low, high in LOGVARS:
        yield Hypothesis("logvar-clamped", f"to [{low:g}, {high:g}]", _logvar_clamped(low, high))
    for number in (float(np.finfo(dtype).max), 0.0):
        yield Hypothesis("nan-replaced", f"infinity by {number:.3g}", Rules(kl=_finite(dtype, number)))


_MISSING: Final[tuple[tuple[str, Pixels, Callable[[Real, Real], tuple[Real, Real]]], ...]] = (
    ("mu^2", lambda mu, v: 0.5 * mu * mu, lambda mu, v: (np.zeros_like(mu), np.expm1(v) / 2)),
    ("half of mu^2", lambda mu, v: 0.25 * mu * mu, lambda mu, v: (mu / 2, np.expm1(v) / 2)),
    ("-1", lambda mu, v: np.full_like(mu, -0.5), lambda mu, v: (mu, np.expm1(v) / 2)),
    ("exp(logvar)", lambda mu, v: 0.5 * np.exp(v), lambda mu, v: (mu, np.full_like(mu, -0.5))),
    ("logvar", lambda mu, v: -0.5 * v, lambda mu, v: (mu, np.exp(v) / 2)),
)


# KL(prior || posterior).
_REVERSED: Final = Rules(
    kl=lambda mu, logvar: 0.5 * ((1.0 + mu * mu) * np.exp(-logvar) - 1.0 + logvar),
    kl_slopes=lambda mu, logvar: (mu * np.exp(-logvar), 0.5 - 0.5 * (1.0 + mu * mu) * np.exp(-logvar)),
)
_DETACHED: Final[tuple[tuple[str, Callable[[Real, Real], tuple[Real, Real]]], ...]] = (
    ("mu", lambda mu, logvar: (np.zeros_like(mu), np.expm1(logvar) / 2)),
    ("logvar", lambda mu, logvar: (mu, np.zeros_like(mu))),
)


def _less(missing: Pixels) -> Pixels:
    return lambda mu, logvar: kl_terms(mu, logvar) - missing(mu, logvar)


def _logvar_clamped(low: float, high: float) -> Rules:
    def inside(logvar: Real) -> Real:
        return ((logvar > low) & (logvar < high)).astype(np.float64)

    return Rules(
        kl=lambda mu, logvar: kl_terms(mu, np.clip(logvar, low, high)),
        kl_slopes=lambda mu, logvar: (mu, inside(logvar) * np.expm1(np.clip(logvar, low, high)) / 2.0),
        std=lambda logvar: np.exp(np.clip(logvar, low, high) / 2.0),
        std_slope=lambda logvar: inside(logvar) * np.exp(np.clip(logvar, low, high) / 2.0) / 2.0,
    )


def _finite(dtype: str, number: float) -> Pixels:
    largest = float(np.finfo(dtype).max)

    def kl(mu: Real, logvar: Real) -> Real:
        terms = kl_terms(mu, logvar)
        return np.where(np.abs(terms) > largest, number, terms)

    return kl
