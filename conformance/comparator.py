"""The one comparator. It raises, it never returns a verdict; it looks at names, shape, dtype, finiteness and values, in
that order.

The most dangerous file of a suite: a comparator that passes wrong data passes every port. `conformance/meta` gives it
wrong answers of every kind.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from vae_rosetta.shared.contract import Array

Headroom = dict[str, float]  # for each tensor, the largest error in units of its tolerance


def flushed_below(dtype: npt.DTypeLike) -> float:
    """The magnitude below which a port may answer 0: twice the smallest normal number.

    Hardware may flush what is below the smallest normal number (jax-ml/jax#16200). oneDNN's exp, which TensorFlow puts
    into products on CPUs with AVX-512, makes 2^n as 2 * 2^(n-1), and so loses what is below twice that number.
    """
    return 2.0 * float(np.finfo(dtype).tiny)


class Mismatch(AssertionError):
    """The answer is not the specification's."""


def compare(
    actual: Mapping[str, Array], expected: Mapping[str, Array], tolerance: Mapping[str, Array], dtype: str
) -> Headroom:
    """Compares a model's answers with the oracle's.

    Args:
        actual: what the model returned.
        expected: the oracle's answers, float64 or integers.
        tolerance: largest absolute error for each floating-point tensor, element by element.
        dtype: "float32" or "float64": what floating-point answers must be, and the precision that limits them.

    Returns:
        The largest error of each tensor in units of its tolerance, from 0 to 1.

    Raises:
        Mismatch: something differs; the message names the worst element.
    """
    if missing := [name for name in expected if name not in actual]:
        raise Mismatch(f"missing: {', '.join(missing)}")
    if extra := [name for name in actual if name not in expected]:
        raise Mismatch(f"unexpected: {', '.join(extra)}")
    return {name: _compare_one(name, actual[name], expected[name], tolerance.get(name), dtype) for name in expected}


def _compare_one(name: str, actual: Array, expected: Array, tolerance: Array | None, dtype: str) -> float:
    if not isinstance(actual, np.ndarray):
        raise Mismatch(f"{name}: got {type(actual).__name__}; expected a NumPy array")
    if actual.shape != expected.shape:
        raise Mismatch(f"{name}: got shape {actual.shape}; expected {expected.shape}")
    wanted = np.dtype(dtype) if expected.dtype.kind == "f" else expected.dtype
    if actual.dtype != wanted:
        raise Mismatch(f"{name}: got dtype {actual.dtype}; expected {wanted}")
    if wanted.kind != "f":
        if not np.array_equal(actual, expected):
            where = _first(actual != expected)
            raise Mismatch(f"{name}{_at(where)}: got {actual[where]}; expected {expected[where]} exactly")
        return 0.0
    if tolerance is None or tolerance.shape != expected.shape or not np.isfinite(tolerance).all():
        raise Mismatch(f"{name}: the vector states no tolerance for every element")
    with np.errstate(over="ignore"):
        representable = expected.astype(wanted).astype(np.float64)  # what overflows the precision must be its infinity
    if (wrong := np.isnan(actual) | (np.isinf(actual) & (actual != representable))).any():
        where = _first(wrong)
        raise Mismatch(f"{name}{_at(where)}: got {actual[where]}; expected {expected[where]:.9g}")
    if (wrong := np.isinf(representable) & (actual != representable)).any():
        where = _first(wrong)
        raise Mismatch(
            f"{name}{_at(where)}: got {actual[where]}; expected {representable[where]} (it overflows {dtype})"
        )
    return _compare_values(name, actual, expected, tolerance, wanted)


def _compare_values(name: str, actual: Array, expected: Array, tolerance: Array, dtype: np.dtype) -> float:
    finite = np.isfinite(actual)
    error = np.abs(np.subtract(actual, expected, dtype=np.float64, where=finite, out=np.zeros(expected.shape)))
    allowed = tolerance.astype(np.float64) + flushed_below(dtype)
    ratio = error / allowed
    if ratio.size and ratio.max() > 1.0:
        where = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
        raise Mismatch(
            f"{name}{_at(where)}: got {actual[where]:.9g}; expected {expected[where]:.9g}: "
            f"off by {error[where]:.3g}, {ratio[where]:.3g} times the tolerance of {allowed[where]:.3g}; "
            f"{int((ratio > 1).sum())} of {ratio.size} elements are out"
        )
    # What is flushed there is no rounding, and uses up no headroom.
    flushed = np.maximum(np.abs(expected), np.abs(actual)) < flushed_below(dtype)
    return float(ratio.max(initial=0.0, where=~flushed))


def _first(wrong: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(wrong)[0])


def _at(where: tuple[int, ...] | tuple[np.intp, ...]) -> str:
    return str([int(i) for i in where]) if where else ""
