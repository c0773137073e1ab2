"""The backend under test in one precision: it loads models, asks them what the golden vectors ask, and says what the
backend does not have."""

import re
from typing import Final

import numpy as np
import pytest

from vae_rosetta.conformance import comparator
from vae_rosetta.conformance.backend import read_only
from vae_rosetta.conformance.failure import WrongAnswer
from vae_rosetta.shared import vectors
from vae_rosetta.shared.contract import Array, Backend, FullModel, Tensors
from vae_rosetta.shared.vectors import Vector, operations

# What a model must have for each ability; a model without it is graded on the rest. A precision other than REQUIRED is
# an ability too: `load` says that it is not there.
ABILITIES: Final = {
    "gradients": ("gradients",),
    "train": ("gradients", "train", "state", "load_state"),
    "sample": ("sample", "generate"),
    "loss_on_probabilities": ("loss_on_probabilities",),
}
REQUIRED: Final = "float32"  # the precision that every backend has


class Absent(pytest.skip.Exception):  # type: ignore[misc, name-defined]  # pytest has no other name for it
    """A test is skipped because the backend does not have an ability, and says so."""

    def __init__(self, ability: str, reason: str) -> None:
        super().__init__(f"{ability}: {reason}")
        self.ability, self.reason = ability, reason


class Grader:
    """The backend under test in one precision."""

    def __init__(self, backend: Backend, dtype: str, device: str = "auto") -> None:
        self.backend, self.dtype, self.device = backend, dtype, device
        self.headroom: comparator.Headroom = {}  # of the quantities that were checked since it was last emptied
        self._loaded: FullModel | Exception | None = None
        self._raised = False  # whether a test has failed already because nothing can be loaded

    @property
    def eps(self) -> float:
        """One unit in the last place of 1."""
        return float(np.finfo(self.dtype).eps)

    def load(self, params: Tensors) -> FullModel:
        """A model of the backend, holding `params`, handed over read-only: arguments must not be changed."""
        self.untouched()
        return self._load(params)

    def untouched(self) -> FullModel:
        """A model with the parameters `small_params()`, made once for all tests that change nothing in it: some take
        long to load, and compile for each model anew. Where it cannot be made, one test fails with the reason and the
        others skip."""
        model = self._attempt()
        if not isinstance(model, Exception):
            return model
        if self._raised:
            pytest.skip(f"load(params, dtype={self.dtype!r}) raises {type(model).__name__}: {model}")
        self._raised = True
        raise model

    def loads(self) -> bool:
        """Whether the backend loads parameters in this precision."""
        return not isinstance(self._attempt(), Exception)

    def _attempt(self) -> FullModel | Exception:
        """The model that `untouched` returns, or what `load` raised."""
        if self._loaded is None:
            try:
                self._loaded = self._load(small_params())
            except Exception as error:  # a stranger's module may raise anything
                self._loaded = error
        return self._loaded

    def refusal(self) -> str:
        """How the backend refuses this precision; empty if it does not.

        A refusal is what the contract makes it: a TypeError or ValueError that names the argument or its value.
        """
        error = self._attempt()
        if not isinstance(error, TypeError | ValueError) or not re.search(rf"\b(dtype|{self.dtype})\b", str(error)):
            return ""
        return f"load(params, dtype={self.dtype!r}) raises {type(error).__name__}: {str(error).splitlines()[0]}"

    def check(self, vector: Vector) -> None:
        """Asks the backend what the vector asks, and compares.

        Raises:
            WrongAnswer: the answer is not the oracle's.
        """
        actual = operations.OPERATIONS[vector.operation](self.load, read_only(vector.inputs), vector.arguments)
        try:
            found = comparator.compare(actual, vector.expected, vector.tolerance(self.dtype), self.dtype)
        except comparator.Mismatch as mismatch:
            raise WrongAnswer(str(mismatch), vector, self.dtype, actual) from None
        self.headroom |= {name: max(ratio, self.headroom.get(name, 0.0)) for name, ratio in found.items()}

    def require(self, ability: str) -> None:
        """Skips the calling test where the backend does not declare an ability by having its methods.

        Raises:
            Absent: it does not.
        """
        methods = {name for name in ABILITIES[ability] if not callable(getattr(self.untouched(), name, None))}
        if methods:
            raise Absent(ability, f"the model has no {', '.join(sorted(methods))}")

    def _load(self, params: Tensors) -> FullModel:
        return self.backend.load(read_only(params), dtype=self.dtype, device=self.device)


def small_params() -> dict[str, Array]:
    """Parameters of a small network, 12-8-3."""
    inputs = vectors.load()["forward/tiny"].inputs
    return {name.removeprefix("param."): value for name, value in inputs.items() if name.startswith("param.")}
