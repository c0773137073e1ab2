"""The formulas that a loss is held against: what one pixel and what one latent may contribute, and the fit.

Each hypothesis is a function of two arrays, element by element, with weight 1: the weight is what the fit finds.
Sources: Kingma & Welling (arXiv:1312.6114), appendices B and C.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from vae_rosetta.shared import oracle
from vae_rosetta.shared.oracle import Real

Term = Callable[[Real, Real], Real]

LOGITS: Final = "Bernoulli: cross-entropy on logits"
PROBABILITIES: Final = "Bernoulli: cross-entropy on probabilities"
GAUSSIAN: Final = "Gaussian: squared error"

LOGVAR: Final = "logvar"


def _on_probabilities(p: Real, x: Real) -> Real:
    return -(x * np.log(p) + (1.0 - x) * np.log1p(-p))


# What one pixel contributes, of (prediction, target).
LIKELIHOODS: Final[Mapping[str, Term]] = {
    LOGITS: oracle.cross_entropy,
    PROBABILITIES: _on_probabilities,
    GAUSSIAN: lambda p, x: 0.5 * (p - x) ** 2,
    "Gaussian: squared error on sigmoid(logits)": lambda p, x: 0.5 * (oracle.sigmoid(p) - x) ** 2,
    "Laplace: absolute error": lambda p, x: np.abs(p - x),
    "cross-entropy with the sigmoid taken twice": lambda p, x: oracle.cross_entropy(oracle.sigmoid(p), x),
    "half a cross-entropy, on logits: no (1 - x) term": lambda p, x: x * np.logaddexp(0.0, -p),
    "half a cross-entropy, on probabilities: no (1 - x) term": lambda p, x: -x * np.log(p),
}

# What one latent contributes, of (mu, second), by what the second argument is.
DIVERGENCES: Final[Mapping[str, Term]] = {
    LOGVAR: oracle.kl_terms,
    "log-std": lambda m, s: 0.5 * (m * m + np.exp(2.0 * s) - 1.0 - 2.0 * s),
    "std": lambda m, s: 0.5 * (m * m + s * s - 1.0 - 2.0 * np.log(s)),
    "variance": lambda m, v: 0.5 * (m * m + v - 1.0 - np.log(v)),
    "logvar, of the reversed KL(p || q)": lambda m, s: 0.5 * ((1.0 + m * m) * np.exp(-s) - 1.0 + s),
}

AT_PRIOR: Final[Mapping[str, float]] = {"std": 1.0, "variance": 1.0}  # the second argument there; else 0

# For a KL that none of these fits: its terms one by one.
PARTS: Final[Mapping[str, Callable[[Real], Real]]] = {
    "{}": lambda u: u,
    "{}^2": lambda u: u * u,
    "exp({})": np.exp,
    "exp(2 {})": lambda u: np.exp(2.0 * u),
    "log({})": np.log,
}


class Fit(NamedTuple):
    """The hypothesis that came closest. `swapped`: the two arrays had to change places."""

    name: str
    swapped: bool
    weight: float
    residual: float  # root mean square, relative to that of the loss's own changes
    tied: bool  # the other order of the two arrays fits as well
    inexact: bool  # what is left is more than roundoff: it is that formula only nearly, or not everywhere


KNOWN: Final = 1e-3  # a residual below this part of the changes names the formula: the closest two differ by 1e-2
EXACT: Final = 1e-6  # and below this one it is that formula; an epsilon of 1e-7 in a log passes, and is seen as a clamp


def fit(terms: Mapping[str, Term], pairs: list[tuple[Real, Real]], values: Real, noise: float) -> Fit | None:
    """The one of `terms` that explains `values` (K,), the loss at K pairs of arrays, as a constant plus a weight times
    its sum over the elements; None if none does."""
    fits, span = [], _spread(values)
    for name, term in terms.items():
        for swapped in (False, True):
            sums = np.array([np.sum(term(b, a) if swapped else term(a, b)) for a, b in pairs])
            weight, residual = _line(sums, values)
            fits.append(Fit(name, swapped, weight, residual, False, residual > max(EXACT, 10.0 * noise / span)))
    best = min(fits, key=lambda found: found.residual)
    other = next(f for f in fits if f.name == best.name and f.swapped != best.swapped)
    if best.residual > max(KNOWN, 10.0 * noise / span):
        return None
    tied = other.residual < max(1e-9, 2.0 * best.residual)
    return best._replace(swapped=False if tied else best.swapped, tied=tied)


def in_parts(pairs: list[tuple[Real, Real]], values: Real, names: tuple[str, str]) -> str | None:
    """`values` (K,) as a sum of PARTS of the two arrays, in words: for a formula that has no name."""
    columns, labels = [np.ones(len(values))], [""]
    for which, name in enumerate(names):
        for label, part in PARTS.items():
            columns.append(np.array([np.sum(part(pair[which])) for pair in pairs]))
            labels.append(label.format(name))
    scales = np.array([np.max(np.abs(column)) for column in columns])
    weights, *_ = np.linalg.lstsq(np.stack(columns, 1) / scales, values, rcond=None)
    if np.std(np.stack(columns, 1) / scales @ weights - values) > 1e-6 * _spread(values):
        return None
    named = [(w / s, label) for w, s, label in zip(weights, scales, labels, strict=True) if label]
    top = max(abs(weight) for weight, _ in named)
    return " ".join(f"{weight:+.6g} {label}" for weight, label in named if abs(weight) > 1e-5 * top)


def _line(sums: Real, values: Real) -> tuple[float, float]:
    """values = constant + weight sums: the weight, and the relative root mean square of what is left."""
    x, y = sums - sums.mean(), values - values.mean()
    power = float(x @ x)
    weight = float(x @ y) / power if power else 0.0
    return weight, _spread(y - weight * x) / max(_spread(values), np.finfo(float).tiny)


def _spread(values: Any) -> float:
    return float(np.std(values))
