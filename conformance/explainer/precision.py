"""Arithmetic coarser than was asked for: recomputed with rounded products, or known by the size of its errors."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from vae_rosetta.conformance.comparator import flushed_below
from vae_rosetta.conformance.explainer.fit import Seen
from vae_rosetta.conformance.explainer.model_hypotheses import Hypothesis
from vae_rosetta.conformance.explainer.rules import Rules
from vae_rosetta.shared.contract import Tensors
from vae_rosetta.shared.oracle import Arithmetic, Real

# Significant bits, the leading one included.
_FORMATS: Final = {"TF32 or float16 (11 significant bits)": 11, "bfloat16 (8 significant bits)": 8}
_ALIKE: Final = 2.0  # factor between errors of one precision
_UNRELATED: Final = 0.3  # correlation of errors with values below which there is no structure to see
_SHARE: Final = 0.01  # of a tolerance, ten times float32's usual error, that float32 leaves at least
_FEW: Final = 4  # elements that show both signs by chance one time in eight
_ENOUGH: Final = 16  # elements without which nothing is said about structure


class Coarse(Arithmetic):
    """Products of rounded factors, summed exactly; with `everything`, each result is rounded too."""

    def __init__(self, bits: int, *, everything: bool = False) -> None:
        self._bits, self._everything = bits, everything

    def matmul(self, a: Real, b: Real) -> Real:
        return _kept(a, self._bits) @ _kept(b, self._bits)

    def rounded(self, value: Real, magnitude: Real | None = None, *, roundings: float = 1.0) -> Real:
        return _kept(value, self._bits) if self._everything else value

    def stored(self, value: Real) -> Real:
        return self.rounded(value)


def precision_hypotheses() -> Iterator[Hypothesis]:
    """Matrix products, or everything, in a format of fewer bits."""
    for text, bits in _FORMATS.items():
        yield Hypothesis("coarse-products", f"products in {text}", Rules(arithmetic=Coarse(bits)))
    for text, bits in _FORMATS.items():
        rules = Rules(arithmetic=Coarse(bits, everything=True))
        yield Hypothesis("coarse-products", f"everything in {text}", rules)


def _kept(value: Real, bits: int) -> Real:
    mantissa, exponent = np.frexp(value)
    return np.ldexp(np.round(mantissa * 2.0**bits) / 2.0**bits, exponent)


def holds_float32(seen: Seen) -> bool:
    """Whether a float64 answer is right in float32, and every number of it is a float32."""
    if seen.dtype != "float64" or not _shares(seen):
        return False
    with np.errstate(over="ignore"):
        return all(
            np.array_equal(value, value.astype(np.float32).astype(np.float64), equal_nan=True)
            for name, value in seen.actual.items()
            if seen.expected[name].dtype.kind == "f"
        )


def errs_as_float32(seen: Seen) -> bool:
    """Whether a float64 answer is right in float32, and wrong in every tensor by about as much as float32 is."""
    shares = _shares(seen) if seen.dtype == "float64" else []
    return len(shares) > 1 and min(shares) > _SHARE


def ends_in_float32(seen: Seen) -> bool:
    """Whether the wrong tensors of a single pass in float64 are off by a few of float32's roundings, to either side:
    the last sum or mean is taken in float32, and all before it is right."""
    if seen.dtype != "float64" or seen.vector.operation not in ("forward", "losses"):
        return False
    error = np.concatenate([np.ravel(seen.actual[name] - seen.expected[name]) for name in seen.wrong])
    size = np.concatenate([np.ravel(np.abs(seen.expected[name])) for name in seen.wrong])
    with np.errstate(all="ignore"):
        units = error / (float(np.finfo(np.float32).eps) * size)
    if len(units) < _FEW or not np.isfinite(units).all():
        return False
    typical = float(np.sqrt(np.mean(units * units)))
    return bool(np.abs(units).max() <= 2.0 and typical >= 2.0 * _SHARE and units.min() < 0.0 < units.max())


def _shares(seen: Seen) -> list[float]:
    """The root mean square error of each tensor in float32's tolerances; nothing if one is beyond them."""
    tolerance, shares = seen.vector.tolerance("float32"), []
    for name, allowed in tolerance.items():
        expected, actual = seen.expected[name], seen.actual[name]
        with np.errstate(all="ignore"):
            held = expected.astype(np.float32)  # what overflows float32 says nothing either way
            room = allowed + np.abs(np.spacing(held)) + flushed_below("float32")
            error = np.where(np.isfinite(held), np.abs(actual - expected) / room, 0.0)
        if not (error <= 1.0).all():
            return []
        if allowed.any():
            shares.append(float(np.sqrt(np.mean(error * error))))
    return shares


def coarse_errors(seen: Seen, candidate: Tensors) -> bool:
    """Whether the errors of a single pass are as large, tensor by tensor, as those of `candidate`, an answer with
    coarse arithmetic, and as unrelated to the values: the same precision, rounded in another order."""
    if seen.vector.operation not in ("forward", "losses", "gradients"):
        return False
    elements = compared = 0
    for name, expected in seen.expected.items():
        error, example = (np.asarray(other[name], np.float64) - expected for other in (seen.actual, candidate))
        sizes = [float(np.linalg.norm(value)) for value in (error, example, expected)]
        if not np.isfinite(sizes).all() or not (sizes[0] <= _ALIKE * sizes[1] and sizes[1] <= _ALIKE * sizes[0]):
            return False
        if abs(float(np.sum(error * expected))) > _UNRELATED * sizes[0] * sizes[2]:
            return False
        elements, compared = elements + error.size, compared + (sizes[0] > 0.0)
    return elements >= _ENOUGH and compared > 1
