"""A wrong answer to a golden vector, and what its reader is told: the case, the difference, the likely cause, the
clauses it stands on, the bugs it catches."""

import textwrap
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

import numpy as np

from vae_rosetta.conformance import comparator, explainer
from vae_rosetta.conformance.explainer import Diagnosis, Explanation
from vae_rosetta.shared import spec, vectors
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.vectors import Vector
from vae_rosetta.shared.vectors.flags import FLAGS

_WIDTH: Final = 100


class WrongAnswer(comparator.Mismatch):
    """The answer to a golden vector is not the oracle's; the message is the comparator's.

    A copy, by `copy.copy` or by pickle, keeps no traceback, and of the answer NumPy's arrays alone: it may go to a
    process that has not imported the backend.
    """

    def __init__(self, difference: str, vector: Vector, dtype: str, actual: Mapping[str, Array]) -> None:
        super().__init__(difference)
        self.vector, self.dtype, self.actual = vector, dtype, actual

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """What the answer says by itself; looked for when first asked, which takes a second or so at worst."""
        return explainer.diagnosis(self.vector, self.actual, self.dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        plain = {name: value for name, value in self.actual.items() if type(value) is np.ndarray}
        kept = {name: value for name, value in plain.items() if value.dtype.isbuiltin == 1 and value.dtype.kind != "O"}
        return _again, (str(self), self.vector.id, self.dtype, kept)


def text(wrong: WrongAnswer, explanation: Explanation) -> str:
    """A few lines instead of a traceback through the suite, which says nothing about the port.

    Where the explainer names a cause, the other bugs that the vector was made for are left out.
    """
    vector = wrong.vector
    lines = [f"{vector.id} in {wrong.dtype}: {vector.description}", "", str(wrong)]
    lines += [_wrapped(f"cause: {explainer.said(vector, explanation)}"), ""]
    lines += [_wrapped(f"clause {clause}: {spec.CLAUSES[clause]}") for clause in vector.clauses]
    for flag in () if explanation.findings else vector.flags:
        lines.append(_wrapped(f"caught here, {flag}: {FLAGS[flag].bug} {FLAGS[flag].effect}"))
        lines.append(f"  {FLAGS[flag].source}")
    return "\n".join(lines)


def _again(difference: str, vector: str, dtype: str, actual: Mapping[str, Array]) -> WrongAnswer:
    return WrongAnswer(difference, vectors.load()[vector], dtype, actual)


def _wrapped(line: str) -> str:
    return textwrap.fill(line, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
