"""Where the tolerances come from: the oracle, run again and again with every operation disturbed as float32 would
disturb it.

Model. An elementary operation returns its exact result times (1 + d), d uniform in [-u, u], u the unit roundoff (2^-24
for float32, 2^-53 for float64), independent of all others; a function such as exp or a fused expression counts as a few
such roundings. A sum of n terms t, taken one after another, gathers one rounding of every partial sum; with S the sum
and Q the sum of squares, the partial sums of terms in no special order have a mean square of n S^2 / 3 + n Q / 2 in
total, so the error has the variance u^2 / 3 (n S^2 / 3 + n Q / 2). This grows with sqrt(n) beside |t| sums, as in the
probabilistic analysis of Higham & Mary (SIAM J. Sci. Comput. 41, 2019), and not with n as in the worst case, which is
too loose to catch anything. Inputs are exact: a vector stores them in float32.

Two things are not independent. A constant of the specification is the same nearest number in every port of a precision.
And what grows by nearly equal terms, as a parameter does that Adam moves by its learning rate again and again, is
rounded alike at each of them, for the numbers of a precision are evenly spaced between two powers of 2: the errors add
up in proportion to the steps, and not to their root. So a parameter is rounded to such evenly spaced numbers indeed, in
a unit that each repetition draws for itself (`stored`), since which way it goes depends on where a lattice happens to
lie. (Each of 20 steps of 9.09e-5 on a parameter near -20.7 errs by a third of a float32 unit to the same side.)

Disturbing the whole computation (Monte Carlo arithmetic, Parker 1997) follows errors through cancellation, through
correlated sums, and through many steps of Adam, where a bound composed operation by operation says nothing.

Tolerance = |mean error| + SAFETY x the errors' standard deviation over the repetitions, element by element. The mean is
what comes of the constants, which is no accident and needs no safety. What is exact in every precision (a gradient that
is zero, a KL term at the prior) gets the tolerance zero.

What is tight enough, and what is not, `conformance/headroom.py` judges: too tight on the backends, too loose on real
float32 and float64 arithmetic (`conformance/ensemble.py`).

float64 profile: errors are proportional to u while they are small, so the model runs at u = 2^-40, where the oracle's
own rounding does not show, and its result is scaled by 2^-12 (one bit more than 2^-13, for the oracle is itself
rounded).

Mixed precision is float32 but for the layers, which compute in bfloat16 (`MixedArithmetic`); `conformance/mixed.py`
judges it by the norm of a tensor's error.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.oracle import Arithmetic, Real

# Ten standard deviations: a normal error passes that with probability 1e-23, so that the bound holds for a million
# elements even where a library's order of operations is twice as bad as the model's, or the estimate from REPETITIONS
# runs is a third low.
SAFETY: Final = 10.0
REPETITIONS: Final = 64

UNIT_ROUNDOFF: Final = {"float32": 2.0**-24, "float64": 2.0**-40}  # at which the model runs
SCALE: Final = {"float32": 1.0, "float64": 2.0**-12}  # from there to the profile's own precision
BFLOAT16_ROUNDOFF: Final = 2.0**-8  # it keeps eight bits


class RoundedArithmetic(Arithmetic):
    """Arithmetic that errs at random like a precision with the given unit roundoff; `repetition` chooses the errors."""

    def __init__(self, unit_roundoff: float, repetition: int) -> None:
        self._u = unit_roundoff
        self._random = np.random.Generator(np.random.SFC64(repetition))  # the fastest; nothing outside depends on it
        self._unit = 2.0 ** self._random.random()  # of the lattice that `stored` rounds to

    def constant(self, value: float) -> float:
        """Nothing here is random: every port holds the nearest number. In float64 that is the oracle's own."""
        return float(np.float32(value)) if self._u == UNIT_ROUNDOFF["float32"] else value

    def stored(self, value: Real) -> Real:
        """Rounded to the nearest of the numbers that the precision has, times a unit between 1 and 2 that is this
        repetition's own."""
        if not self._u:
            return value
        mantissa, exponent = np.frexp(value / self._unit)
        rounded: Real = self._unit * np.ldexp(np.rint(mantissa / self._u) * self._u, exponent)
        return rounded

    def rounded(self, value: Real, magnitude: Real | None = None, *, roundings: float = 1.0) -> Real:
        error = self._random.random(size=value.shape)
        error -= 0.5
        error *= 2.0 * np.sqrt(roundings) * self._u
        error *= value if magnitude is None else magnitude
        return value + error

    def matmul(self, a: Real, b: Real) -> Real:
        return self._summed(a @ b, (a * a) @ (b * b), a.shape[1])

    def sum(self, terms: Real, axis: int) -> Real:
        return self._summed(np.sum(terms, axis=axis), np.sum(terms * terms, axis=axis), terms.shape[axis])

    def _summed(self, total: Real, squares: Real, n: int) -> Real:
        magnitude = np.sqrt(n * (total * total / 3.0 + squares / 2.0))
        return self.rounded(total, magnitude)


class MixedArithmetic(RoundedArithmetic):
    """float32 in which every layer is computed in bfloat16: what goes into a product is rounded to it, and so is what
    comes out, of the backward pass too; sums within a product are float32. A layer's bias is added before its output is
    rounded, or after, which rounds twice. See `spec.MIXED_PRECISION`."""

    def __init__(self, repetition: int) -> None:
        super().__init__(UNIT_ROUNDOFF["float32"], repetition)

    def linear(self, x: Real, weight: Real, bias: Real) -> Real:
        return self._coarse(self.matmul(x, weight.T) + self._coarse(bias))

    def d_linear(self, d_output: Real, x: Real) -> tuple[Real, Real]:
        return self.matmul(d_output.T, x), self._coarse(self.sum(self._coarse(d_output), axis=0))

    def matmul(self, a: Real, b: Real) -> Real:
        return self._coarse(super().matmul(self._coarse(a), self._coarse(b)))

    def _coarse(self, value: Real) -> Real:
        return value * (1.0 + BFLOAT16_ROUNDOFF * (2.0 * self._random.random(size=value.shape) - 1.0))


def tolerances(
    compute: Callable[[Arithmetic], dict[str, Array]],
    profile: str,
    *,
    repetitions: int = REPETITIONS,
) -> dict[str, Array]:
    """The tolerance of each tensor that `compute` returns, element by element, for "float32" or "float64".

    `compute` runs the oracle with the arithmetic it is given. Errors are those from the exact result.
    """
    exact = compute(Arithmetic())
    errors = {name: np.zeros(np.shape(value)) for name, value in exact.items()}  # summed over the repetitions
    squares = {name: np.zeros(np.shape(value)) for name, value in exact.items()}
    for repetition in range(1, repetitions + 1):
        disturbed = compute(RoundedArithmetic(UNIT_ROUNDOFF[profile], repetition))
        for name, value in exact.items():
            error = disturbed[name] - value
            errors[name] += error
            squares[name] += error**2
    found = {}
    for name, square in squares.items():
        bias = errors[name] / repetitions
        spread = np.sqrt(np.maximum(square / repetitions - bias**2, 0.0))
        found[name] = SCALE[profile] * (np.abs(bias) + SAFETY * spread)
    return found
