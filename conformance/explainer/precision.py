"""Arithmetic coarser than was asked for: recomputed with rounded products, or known by the size of its errors."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from conformance.explainer.fit import Seen
from conformance.explainer.model_hypotheses import Hypothesis
from conformance.explainer.rules import Rules
from shared.oracle import Arithmetic, Real

# Significant bits, the leading one included.
_FORMATS: Final = {"TF32 or float16 (11 significant bits)": 11, "bfloat16 (8 significant bits)": 8}
_COARSE: Final = (2.0**-15, 2.0**-6)  # relative errors that products of such numbers leave
_UNRELATED: Final = 0.3  # correlation of errors with values below which there is no structure to see
_SHARE: Final = 0.01  # of a tolerance, ten times float32's usual error, that float32 leaves at least
_ENOUGH: Final = 16  # elements without which nothing is said about structure


class Coarse(Arithmetic):
    """Products of rounded factors, summed exactly; with `everything`, each result is rounded too."""

    def __init__(self, bits: int, *, everything: bool = False) -> None:
        self._bits, self._everything = bits, everything

    def matmul(self, a: Real, b: Real) -> Real:
        return _kept(a, self._bits) @ _kept(b, self._bits)

    def rounded(self, value: Real, magnitude: Real | None = None, *, roundings: float = 1.0) -> Real:
        return _kept(value, self._bits) if self._everything else value


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


def _shares(seen: Seen) -> list[float]:
    """The root mean square error of each tensor in float32's tolerances; nothing if one is beyond them."""
    tolerance, shares = seen.vector.tolerance("float32"), []
    for name, allowed in tolerance.items():
        expected, actual = seen.expected[name], seen.actual[name]
        with np.errstate(all="ignore"):
            held = expected.astype(np.float32)  # what overflows float32 says nothing either way
            room = allowed + np.abs(np.spacing(held)) + np.finfo(np.float32).tiny
            error = np.where(np.isfinite(held), np.abs(actual - expected) / room, 0.0)
        if not (error <= 1.0).all():
            return []
        if allowed.any():
            shares.append(float(np.sqrt(np.mean(error * error))))
    return shares


def coarse_errors(seen: Seen) -> str | None:
    """What the errors of a single pass look like if they are those of a coarser format: everywhere, small, unrelated to
    the values; None if they are not."""
    if seen.vector.operation not in ("forward", "losses", "gradients"):
        return None
    relative, elements, related = [], 0, []
    for name, expected in seen.expected.items():
        size = float(np.linalg.norm(expected))
        if not np.isfinite(size) or size == 0.0:
            continue
        error = np.asarray(seen.actual[name], np.float64) - expected
        if not np.isfinite(error).all():
            return None
        relative.append(float(np.linalg.norm(error)) / size)
        elements += error.size
        related.append((float(np.sum(error * expected)), float(np.sum(error * error)), size * size))
    if elements < _ENOUGH or len(relative) < 2 or min(relative) < _COARSE[0] or max(relative) > _COARSE[1]:
        return None
    if any(abs(dot) > _UNRELATED * np.sqrt(e * v) for dot, e, v in related):
        return None
    typical = float(np.median(relative))
    text = "bfloat16" if typical > 2.0**-9 else "TF32 or float16"
    return f"relative errors of about {typical:.1g} everywhere, as {text} leaves them"
