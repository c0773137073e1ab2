"""The statements of the specification, each open to replacement: what a bug is made of.

The parts come from `shared.oracle` by name when this module is imported, so that explaining is not disturbed by what a
test does to that module later.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np

from vae_rosetta.shared import spec
from vae_rosetta.shared.oracle import Arithmetic, Real, cross_entropy, cross_entropy_slope, kl_terms

Unary = Callable[[Real], Real]
Gradients = dict[str, Real]
Params = Mapping[str, Real]


class Exact(Arithmetic):
    """float64, whatever becomes of the base class."""

    def matmul(self, a: Real, b: Real) -> Real:
        return a @ b


EXACT: Final = Exact()


@dataclass(frozen=True)
class Adam:
    """Adam with its numbers, and the ways in which it is written differently."""

    rate: float = spec.LEARNING_RATE
    beta1: float = spec.BETA1
    beta2: float = spec.BETA2
    epsilon: float = spec.EPSILON
    place: str = "after"  # of epsilon: "after" the bias correction, "before" it, or "inside" the root
    correct_m: bool = True
    correct_v: bool = True
    late: int = 0  # steps that the bias correction counts too many
    decay: float = 0.0  # decoupled weight decay
    nesterov: bool = False
    plain: bool = False  # no Adam: param - rate * gradient

    def step(self, param: Real, m: Real, v: Real, gradient: Real, step: int) -> tuple[Real, Real, Real]:
        """One step for one tensor, counted from 1: param, m and v after it."""
        if self.plain:
            return param - self.rate * gradient, m, v
        m = self.beta1 * m + (1.0 - self.beta1) * gradient
        v = self.beta2 * v + (1.0 - self.beta2) * gradient * gradient
        t = step + self.late
        m_hat = m / (1.0 - self.beta1**t) if self.correct_m else m
        correction = 1.0 - self.beta2**t if self.correct_v else 1.0
        if self.nesterov:
            m_hat = self.beta1 * m / (1.0 - self.beta1 ** (t + 1)) + (1.0 - self.beta1) * gradient / (
                1.0 - self.beta1**t
            )
        if self.place == "inside":
            denominator = np.sqrt(v / correction + self.epsilon)
        elif self.place == "before":
            denominator = (np.sqrt(v) + self.epsilon) / np.sqrt(correction)
        else:
            denominator = np.sqrt(v / correction) + self.epsilon
        update = self.rate * m_hat / denominator
        return param * (1.0 - self.rate * self.decay) - update, m, v


def _unchanged(value: Real) -> Real:
    return value


def _relu(value: Real) -> Real:
    return np.maximum(value, 0.0)


def _relu_slope(value: Real) -> Real:
    return (value > 0.0).astype(np.float64)


def _std(logvar: Real) -> Real:
    return np.exp(logvar / 2.0)


def _std_slope(logvar: Real) -> Real:
    return np.exp(logvar / 2.0) / 2.0


def _kl(mu: Real, logvar: Real) -> Real:
    return kl_terms(mu, logvar, EXACT)


def _kl_slopes(mu: Real, logvar: Real) -> tuple[Real, Real]:
    return mu, np.expm1(logvar) / 2.0


def _cross_entropy(logits: Real, x: Real) -> Real:
    return cross_entropy(logits, x, EXACT)


def _cross_entropy_slope(logits: Real, x: Real) -> Real:
    return cross_entropy_slope(logits, x, EXACT)


def gradients_kept(gradients: Gradients, params: Params) -> Gradients:
    return gradients


@dataclass(frozen=True)
class Rules:
    """The statements of the specification that a hypothesis may replace. Slopes are derivatives of what they follow."""

    heads: tuple[str, str] = ("encoder.fc2_mu", "encoder.fc2_logvar")  # the layers that give mu and logvar
    transposed: frozenset[str] = frozenset()  # layers whose weight is used the other way round
    unbiased: frozenset[str] = frozenset()  # layers whose bias is not added
    pixels: Unary = _unchanged  # what the model makes of x before it does anything else
    targets: Unary = _unchanged  # what the loss makes of it after that
    activation: Unary = _relu
    activation_slope: Unary = _relu_slope
    activation3: Unary = _relu  # of the decoder's hidden layer
    activation3_slope: Unary = _relu_slope
    noise: Unary = _unchanged  # (B, L), or what takes its place
    std: Unary = _std  # of logvar
    std_slope: Unary = _std_slope
    through_mu: bool = True  # whether the reconstruction's gradient reaches mu
    through_std: bool = True  # and logvar
    logits: Unary = _unchanged  # what `decode` returns
    seen: Unary = _unchanged  # logits as the loss sees them
    seen_slope: Unary = np.ones_like
    cross_entropy: Callable[[Real, Real], Real] = _cross_entropy
    cross_entropy_slope: Callable[[Real, Real], Real] = _cross_entropy_slope
    kl: Callable[[Real, Real], Real] = _kl
    kl_slopes: Callable[[Real, Real], tuple[Real, Real]] = _kl_slopes
    reconstruction_weight: float = 1.0
    kl_weight: float = 1.0
    per_image: bool = False  # the gradients of a training step are divided by its batch
    gradients: Callable[[Gradients, Params], Gradients] = gradients_kept
    adam: Adam = field(default_factory=Adam)
    reported_after: bool = False  # the objective is taken after the update
    reported_per_image: bool = False  # the objective that a training step reports is divided by its batch
    reported_factor: float = 1.0  # on the objective, and nothing else
    first_noise: bool = False  # every step of a call takes the first one's noise
    accumulated: bool = False  # gradients are not set to zero between steps
    forgetful: bool = False  # every call starts with fresh moments
    in_order: bool = False  # the order is ignored
    short: str = (
        "kept"  # the short last batch: "kept", "dropped", "untrained", "padded", or "reweighted" like a full one
    )
    arithmetic: Arithmetic = EXACT


def merged(*parts: Rules) -> Rules | None:
    """The rules of all parts together; None if two of them replace the same statement."""
    changes: dict[str, Any] = {}
    for part in parts:
        for one in fields(part):
            value = getattr(part, one.name)
            if value != getattr(_TRUE, one.name):
                if one.name in changes:
                    return None
                changes[one.name] = value
    return Rules(**changes)


_TRUE: Final = Rules()
