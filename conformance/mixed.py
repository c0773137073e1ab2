"""Grades the optional mixed precision of a backend, `spec.MIXED_PRECISION`: `vae conformance mixed MODULE`.

The backend is loaded with dtype "mixed_bfloat16" and asked the golden vectors of the chapters forward, loss, gradients
and training; the right answers are the oracle's, as ever. What bfloat16 may do to them is not stored but derived here,
from the model of rounding in which layers round to it (`shared.rounding.MixedArithmetic`), in half a minute.

A tensor is judged as a whole, by the Euclidean norm of its error: bfloat16 turns the relu of a few units over, whose
elements are then off by as much as they are large, so that no tolerance for each element could tell that from a bug.
Allowed is MOST times the root mean square norm in the model. What is exact there must be exact.

Passing says that this mode computes the specified model, as coarsely as it says. Bugs are to be looked for in float32,
where they are a thousand times as plain.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np

from vae_rosetta.conformance import comparator
from vae_rosetta.conformance.backend import BackendError, find, read_only
from vae_rosetta.shared import checks, oracle, parameters, rounding, vectors
from vae_rosetta.shared.contract import Array, Backend, FullModel, Tensors
from vae_rosetta.shared.oracle import Arithmetic, Oracle
from vae_rosetta.shared.vectors import Vector, operations

MOST: Final = 5.0  # standard deviations, for a tensor of one element; the norm of a large one hardly varies
_OPERATIONS: Final = ("forward", "losses", "gradients", "train")
_REPETITIONS: Final = 16  # of the model: for one element they give the spread to a fifth or so
_LARGEST: Final = float(np.finfo(np.float64).max)


class Answer(NamedTuple):
    """What a backend made of one vector."""

    vector: str
    used: float  # the largest error in units of what is allowed; infinite where it cannot be told
    problem: str  # empty if the answer is right


def chosen() -> list[Vector]:
    """The vectors that grade mixed precision."""
    return [vector for vector in vectors.load().values() if vector.operation in _OPERATIONS]


def allowed(vector: Vector) -> dict[str, float]:
    """The largest norm of the error of each floating-point answer."""

    def answers(arithmetic: Arithmetic = oracle.EXACT) -> dict[str, Array]:
        def load(params: Tensors) -> Oracle:
            return Oracle(params, "float64", arithmetic)

        return operations.OPERATIONS[vector.operation](load, vector.inputs, vector.arguments)

    exact = {name: value for name, value in answers().items() if value.dtype.kind == "f"}
    squares = dict.fromkeys(exact, 0.0)
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # NumPy's long operations run side by side
        for disturbed in threads.map(answers, map(rounding.MixedArithmetic, range(_REPETITIONS))):
            for name, value in exact.items():
                squares[name] += _norm(disturbed[name], value) ** 2
    return {name: MOST * (square / _REPETITIONS) ** 0.5 for name, square in squares.items()}


def compare(actual: Tensors, vector: Vector, most: dict[str, float]) -> float:
    """The largest error of a backend's answer to `vector`, in units of what is allowed.

    Raises:
        comparator.Mismatch: a tensor is missing, of another shape or dtype, not finite, or too far off.
    """
    anything = {name: np.full(value.shape, _LARGEST) for name, value in vector.expected.items()}
    comparator.compare(actual, vector.expected, anything, "float32")
    used = 0.0
    for name, limit in most.items():
        error, size = _norm(actual[name], vector.expected[name]), vector.expected[name].size
        ratio = error / (limit + comparator.flushed_below("float32") * size**0.5)
        if ratio > 1.0:
            raise comparator.Mismatch(
                f"{name}: off by a norm of {error:.3g}, where that of the answer is "
                f"{_norm(vector.expected[name], np.zeros(1)):.3g}; expected at most {limit:.3g}"
            )
        used = max(used, ratio)
    return used


def offering(module: str, *, device: str = "auto") -> Backend:
    """The backend of that dotted name, which offers mixed precision.

    Raises:
        ValueError: it cannot be imported, or its `load` does not offer the mode.
    """
    try:
        backend = find(module, None)
    except BackendError as error:
        raise ValueError(str(error).replace("--vae-backend", "MODULE")) from error
    try:
        backend.load(parameters.initial(0), dtype=checks.MIXED, device=device)
    except Exception as error:  # whatever a stranger's module raises
        raised = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{module} offers no mixed precision: load(params, dtype={checks.MIXED!r}) raises {raised}"
        ) from error
    return backend


def grade(backend: Backend, *, device: str = "auto") -> Iterator[Answer]:
    """Asks `backend` one vector after the other."""

    def load(params: Tensors) -> FullModel:
        return backend.load(read_only(params), dtype=checks.MIXED, device=device)

    for vector in chosen():
        try:
            actual = operations.OPERATIONS[vector.operation](load, read_only(vector.inputs), vector.arguments)
        except Exception as error:  # whatever a stranger's module raises is a wrong answer; our own errors are not
            yield Answer(vector.id, float("inf"), f"{type(error).__name__}: {error}")
            continue
        try:
            yield Answer(vector.id, compare(actual, vector, allowed(vector)), "")
        except comparator.Mismatch as mismatch:
            yield Answer(vector.id, float("inf"), str(mismatch))


def _norm(a: Array, b: Array) -> float:
    """The Euclidean norm of a - b, where both are finite."""
    with np.errstate(invalid="ignore"):
        difference = np.subtract(a, b, dtype=np.float64)
    return float(np.sqrt(np.sum(np.square(difference, where=np.isfinite(difference), out=np.zeros(difference.shape)))))
