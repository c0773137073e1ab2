"""Whether a hypothesis fits: its answer against what was seen, in every tensor of a vector, right ones included."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from vae_rosetta.conformance import comparator
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.vectors import Vector

# How much nearer to the answer a hypothesis must be than the truth is. Rounding moves an answer away from every
# hypothesis alike, so that none comes nearer than the truth by chance.
GAIN: Final = 4.0
STRICT: Final = 100.0
_FEW: Final = 4
Where = tuple[npt.NDArray[np.int64], ...]  # the elements meant, as NumPy's advanced indexing takes them

_ROOM: Final = 2.0  # tolerances that an answer may be away from the hypothesis that made it
_ULPS: Final = 16.0  # for what the vector says is exact, and a bug makes inexact


class Seen:
    """A wrong answer beside the right one, in one precision."""

    def __init__(self, vector: Vector, actual: Mapping[str, Array], dtype: str) -> None:
        self.vector, self.actual, self.dtype = vector, dict(actual), dtype
        self.expected = vector.expected
        self.tolerance = vector.tolerance(dtype)
        self.eps = float(np.finfo(dtype).eps)
        self.wrong = [name for name in self.expected if not self._right(name)]
        self.evidence = sum(self._out(name) for name in self.wrong)
        self.distance = max((self.away(name, self.expected[name]) for name in self.wrong), default=0.0)

    def _right(self, name: str) -> bool:
        try:
            one = {name: self.expected[name]}
            comparator.compare({name: self.actual[name]}, one, self.tolerance, self.dtype)
        except comparator.Mismatch:
            return False
        return True

    def _out(self, name: str) -> int:
        """How many elements are out of tolerance."""
        error = np.abs(np.asarray(self.actual[name], np.float64) - self.expected[name])
        return int(np.count_nonzero(~(error <= self.tolerance.get(name, 0.0))))

    def limit(self, *, one_of_many: bool = False) -> float:
        """How far a hypothesis that fits may be from the answer, in units of `room`.

        One number of a hypothesis that is one of many like it, at other numbers, may be met by chance: if few elements
        are wrong, such a hypothesis must come much nearer.
        """
        gain = STRICT if one_of_many and self.evidence < _FEW else GAIN
        return min(1.0, self.distance / gain)

    def limit_named(self) -> float:
        """The same for a hypothesis that other answers of the run have named already: it need not stand out.

        It accounts for an answer that is within half of each tolerance of what a model with that bug answers, as true
        backends are of the truth (`conformance.headroom`), and half as far again from the truth.
        """
        return max(self.limit(), min(0.5 / _ROOM, self.distance / 1.5))  # a room is `_ROOM` tolerances or more

    def room(self, name: str, candidate: Array, where: Where | None = None) -> Array:
        """How far a port may be from `candidate`, element by element, by rounding alone.

        The vector's tolerance is for the right answer: it is scaled with the tensor, and with each element.
        """
        expected, tolerance = (np.asarray(t, np.float64) for t in (self.expected[name], self.tolerance[name]))
        if where is not None:
            expected, tolerance = expected[where], tolerance[where]
        size = np.abs(np.nan_to_num(candidate, nan=0.0, posinf=0.0, neginf=0.0))
        largest = float(np.abs(expected).max(initial=0.0))
        scale = max(1.0, float(size.max(initial=0.0)) / largest) if largest else 1.0
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            relative = np.where(expected == 0.0, 0.0, tolerance / np.abs(expected))
        typical = float(np.median(relative[relative > 0.0])) if (relative > 0.0).any() else self.eps
        room = _ROOM * (scale * tolerance + typical * size)
        exact = _ULPS * self.eps * (size + float(size.max(initial=0.0)))
        return np.asarray(
            np.where(tolerance == 0.0, np.maximum(room, exact), room) + comparator.flushed_below(self.dtype)
        )

    def away(self, name: str, candidate: Array, where: Where | None = None) -> float:
        """The largest distance of the answer from `candidate`, in units of `room`; infinite for another infinity."""
        actual = self.actual[name] if where is None else self.actual[name][where]
        if self.expected[name].dtype.kind != "f":
            return 0.0 if np.array_equal(actual, candidate) else np.inf
        with np.errstate(all="ignore"):
            held = np.asarray(candidate).astype(self.dtype).astype(np.float64)
            seen = np.asarray(actual, np.float64)
            same = (seen == held) | (np.isnan(seen) & np.isnan(held))
            error = np.abs(seen - np.where(np.isfinite(held), candidate, held))
            ratio = np.where(same, 0.0, error / self.room(name, candidate, where))
        return float(np.where(np.isnan(ratio), np.inf, ratio).max(initial=0.0))

    def spread(self, name: str, candidate: Array) -> float:
        """The root mean square distance of the answer from `candidate`, in units of `room`."""
        with np.errstate(all="ignore"):
            ratio = (np.asarray(self.actual[name], np.float64) - candidate) / self.room(name, candidate)
            return float(np.nan_to_num(np.sqrt(np.mean(ratio * ratio)), nan=np.inf))
