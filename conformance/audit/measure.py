"""The moves of an examination, and the loss along them as one number beside its formulas' own sums.

Symbols: B batch, D pixels, L latents, K moves, E elements of the answer.
"""

import itertools
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from vae_rosetta.conformance.audit import hypotheses
from vae_rosetta.conformance.audit.hypotheses import Fit, Term
from vae_rosetta.conformance.audit.probe import Probe
from vae_rosetta.shared.oracle import Real

IMAGE_LEVELS: Final = (0.12, 0.35, 0.6, 0.85)  # inside (0, 1): a probability, a logit and a target at once
LATENT_LEVELS: Final = (0.3, 0.6, 1.1, 1.9)  # positive: a logvar, a std and a variance at once
JITTER: Final = 0.02
RESPONDS: Final = 20.0  # changes of so many times the noise are changes

Arrays = tuple[Real, Real, Real, Real]  # two images (B, *shape), two latents (B, L)
Moves = list[Arrays]


class Sizes(NamedTuple):
    """The shapes of one examination."""

    batch: int
    image: tuple[int, ...]
    latent_dim: int


class Total:
    """The loss as one number, with its two formulas once they are known."""

    def __init__(self, probe: Probe, weights: Real, noise: float) -> None:
        self.probe, self.weights, self.noise = probe, weights, noise
        self.likelihood: Fit | None = None
        self.divergence: Fit | None = None

    def __call__(self, arrays: Arrays) -> float:
        return self.probe.total(self.weights, *arrays)

    def reconstruction(self, arrays: Arrays) -> float:
        """The likelihood's formula at `arrays`, with weight 1."""
        return _sum(hypotheses.LIKELIHOODS, self.likelihood, *(self.probe.stored(a) for a in arrays[:2]))

    def kl(self, arrays: Arrays) -> float:
        """The KL's formula at `arrays`, with weight 1."""
        return _sum(hypotheses.DIVERGENCES, self.divergence, *(self.probe.stored(a) for a in arrays[2:]))

    def constant(self, arrays: Arrays) -> float:
        """What the value holds beside both terms."""
        c_r = self.likelihood.weight if self.likelihood else 0.0
        c_k = self.divergence.weight if self.divergence else 0.0
        return self(arrays) - c_r * self.reconstruction(arrays) - c_k * self.kl(arrays)


def base(sizes: Sizes) -> Arrays:
    """Images near 0.5, latents near 0.8."""
    return _filled(sizes, (0.5, 0.5, 0.8, 0.8), 0)


def image_moves(sizes: Sizes) -> Moves:
    """Both images through all pairs of levels, the latents at rest."""
    still = base(sizes)
    pairs = itertools.product(IMAGE_LEVELS, repeat=2)
    return [(*_filled(sizes, (a, b, 0.8, 0.8), k)[:2], *still[2:]) for k, (a, b) in enumerate(pairs, 1)]


def latent_moves(sizes: Sizes) -> Moves:
    """Both latent arguments through all pairs of levels, the images at rest."""
    still = base(sizes)
    pairs = itertools.product(LATENT_LEVELS, repeat=2)
    return [(*still[:2], *_filled(sizes, (0.5, 0.5, a, b), k)[2:]) for k, (a, b) in enumerate(pairs, 1)]


def latent_walk(sizes: Sizes) -> Moves:
    """Each latent argument in turn through eight levels, the other at rest: enough to tell eleven terms apart."""
    still = base(sizes)
    levels = np.linspace(0.2, 2.4, 8)
    first = [(*_filled(sizes, (0.5, 0.5, a, 0.8), k)[:3], still[3]) for k, a in enumerate(levels, 1)]
    second = [(*still[:3], _filled(sizes, (0.5, 0.5, 0.8, b), k)[3]) for k, b in enumerate(levels, 1)]
    return [(*still[:2], *move[2:]) for move in (*first, *second)]


def _filled(sizes: Sizes, levels: tuple[float, ...], seed: int) -> Arrays:
    random = np.random.default_rng(seed)
    shapes = [(sizes.batch, *sizes.image)] * 2 + [(sizes.batch, sizes.latent_dim)] * 2
    a, b, c, d = (v + JITTER * random.uniform(-1, 1, s) for v, s in zip(levels, shapes, strict=True))
    return a, b, c, d


def noise(probe: Probe, at: Arrays) -> Real:
    """(E,) the roundoff of each element of the answer: what a polynomial leaves of a short walk.

    The walk is long enough for a half-precision answer to move, and the degree high enough for what the polynomial
    itself leaves (5e-3 to the eighth) to be below float64's roundoff.
    """
    steps, degree = np.linspace(-1.0, 1.0, 21), 7
    walk = np.stack([probe.answer(*(array + 5e-3 * k for array in at)).values for k in steps])  # (K, E)
    smooth = np.polynomial.polynomial.polyfit(steps, walk, degree)
    left = walk - np.polynomial.polynomial.polyval(steps, smooth).T
    spread = np.sqrt(np.sum(left * left, axis=0) / (len(steps) - degree - 1))
    found: Real = spread + 4.0 * np.finfo(np.float64).eps * np.max(np.abs(walk), axis=0)
    return found


def _sum(terms: Mapping[str, Term], fit: Fit | None, a: Real, b: Real) -> float:
    if fit is None:
        return 0.0
    return float(np.sum(terms[fit.name](b, a) if fit.swapped else terms[fit.name](a, b)))


def table(probe: Probe, moves: Moves) -> Real:
    """(K, E) the answer's elements at each move."""
    return np.stack([probe.answer(*arrays).values for arrays in moves])


def pairs(probe: Probe, moves: Moves, start: int) -> list[tuple[Real, Real]]:
    """The two arrays from `start` on of each move, as the loss is given them."""
    return [(probe.stored(move[start]), probe.stored(move[start + 1])) for move in moves]
