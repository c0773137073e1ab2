"""What legitimate arithmetic needs of the tolerances: the oracle in a precision's own numbers, in many ways.

`shared/rounding.py` derives the tolerances from a model of random errors. Here the oracle runs in real float32 (or
float64) arithmetic, which rounds as IEEE 754 says. The specification leaves open how a port evaluates it, so the oracle
does it in `WAYS`. A way is

* an order of the terms of every sum and of every matrix product: as they stand, reversed, or shuffled;
* plain or careful. A plain way adds one term after another, rounds terms before they cancel, as softplus(l) - x l does,
  and holds constants and Adam's bias corrections in the precision itself, as JAX does. A careful one adds in pairs,
  writes an expression so that nothing cancels, and holds constants in float64, as PyTorch does.

What the ways use of a tolerance says whether it is wider than a correct port could need, and says it without a port:
three ports that happen to choose the same form do not show what another form needs.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vae_rosetta.conformance import comparator
from vae_rosetta.shared.contract import Tensors
from vae_rosetta.shared.oracle import Arithmetic, Oracle, Real
from vae_rosetta.shared.vectors import Vector, operations


class Way(NamedTuple):
    """One legitimate way to evaluate the specification."""

    order: int  # of terms: 0 as they stand, 1 reversed, from 2 on a shuffle each
    plain: bool


WAYS: Final = tuple(Way(order, plain) for order in range(4) for plain in (True, False))


class WorkingArithmetic(Arithmetic):
    """Arithmetic in `dtype`: every result is one of its numbers, in an array of float64."""

    def __init__(self, dtype: npt.DTypeLike, way: Way) -> None:
        self._dtype, self._way = np.dtype(dtype), way
        self._random = np.random.default_rng(way.order)

    def constant(self, value: float) -> float:
        return float(self._nearest(np.asarray(value))) if self._way.plain else value

    def stored(self, value: Real) -> Real:
        return self._nearest(value)

    def rounded(self, value: Real, magnitude: Real | None = None, *, roundings: float = 1.0) -> Real:
        """To the nearest number. In a plain way: to that of a sum with some term of `magnitude`, less that term."""
        if magnitude is None or not self._way.plain:
            return self._nearest(value)
        term = np.asarray(magnitude) * (1.0 - 0.5 * self._random.random(np.shape(magnitude)))
        finite = np.isfinite(term)  # else nothing is left of the value
        return np.where(finite, self._nearest(value + term) - np.where(finite, term, 0.0), self._nearest(value))

    def matmul(self, a: Real, b: Real) -> Real:
        order = self._order(a.shape[1])
        product: Real = (a.astype(self._dtype)[:, order] @ b.astype(self._dtype)[order]).astype(np.float64)
        return product

    def sum(self, terms: Real, axis: int) -> Real:
        ordered = np.take(terms.astype(self._dtype), self._order(terms.shape[axis]), axis=axis)
        total = np.add.accumulate(ordered, axis=axis).take(-1, axis=axis) if self._way.plain else ordered.sum(axis=axis)
        return np.asarray(total, dtype=np.float64)

    def _nearest(self, value: Real) -> Real:
        with np.errstate(over="ignore"):  # what overflows the precision is its infinity
            return np.asarray(value).astype(self._dtype).astype(np.float64)

    def _order(self, terms: int) -> npt.NDArray[np.intp]:
        if self._way.order < 2:
            return np.arange(terms)[:: -1 if self._way.order else 1]
        return self._random.permutation(terms)


def used(vector: Vector, dtype: str) -> Iterator[comparator.Headroom]:
    """Way by way: the error of each tensor in units of its tolerance.

    Raises:
        comparator.Mismatch: an error is greater than the tolerance, which is too tight.
    """
    for way in WAYS:
        arithmetic = WorkingArithmetic(dtype, way)

        def load(params: Tensors, arithmetic: Arithmetic = arithmetic) -> Oracle:
            return Oracle(params, dtype, arithmetic)

        with np.errstate(over="ignore"):
            actual = operations.OPERATIONS[vector.operation](load, vector.inputs, vector.arguments)
        yield comparator.compare(actual, vector.expected, vector.tolerance(dtype), dtype)
