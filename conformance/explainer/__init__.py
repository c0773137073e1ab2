"""What is wrong with a wrong answer: known causes, tested against what was seen.

A golden vector's wrong answer says that a port is wrong, seldom how. Every bug that has a hypothesis is tested in
turn: most by computing the vector again with an oracle that carries that bug (`Suspect`), some by looking at the answer
itself. A cause is named only if it accounts for every tensor that is wrong, leaves the right ones right, and comes
several times nearer to the answer than the truth does; rounding is never explained away. At most two are named. The
wrong answers of a whole run are then read together: see `together`.

What is said of a cause is its row in the catalogue of bugs, `shared.bugs`.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from vae_rosetta.conformance.explainer.direct import Finding, shapes
from vae_rosetta.conformance.explainer.fit import Seen
from vae_rosetta.conformance.explainer.joint import Diagnosis, Explanation, same_bug, together
from vae_rosetta.conformance.explainer.precision import ends_in_float32, errs_as_float32, holds_float32
from vae_rosetta.conformance.explainer.search import Search
from vae_rosetta.shared.bugs import BUGS
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.vectors import Vector, operations

__all__ = [
    "NOTHING",
    "Diagnosis",
    "Explanation",
    "Finding",
    "diagnosis",
    "said",
    "same_bug",
    "text",
    "together",
]

NOTHING: Final = "no known cause fits"  # said of a wrong answer that no hypothesis accounts for


def said(vector: Vector, explanation: Explanation) -> str:
    """What is said of a wrong answer to a vector, in one paragraph."""
    if reason := beyond(vector):
        return f"{NOTHING}: {reason}"
    return text(explanation)


def text(explanation: Explanation) -> str:
    """The causes of a wrong answer, in one paragraph."""
    findings = explanation.findings
    if explanation.known:
        bugs = "; and ".join(f"{BUGS[f.cause].what}{_detail(f)} [{_places(f)}]" for f in findings)
        return f"follows from {len(findings)} bugs at once, which other vectors name one by one: {bugs}"
    first = f"{len(findings)} bugs at once: " if explanation.at_once else ""
    return first + (" And: " if explanation.at_once else " Or: ").join(map(_paragraph, findings)) or NOTHING


def beyond(vector: Vector) -> str:
    """Why a wrong answer to this vector is not explained; empty if it is."""
    if vector.operation not in operations.OPERATIONS:
        return "it asks nothing of a model"
    if "data" in vector.arguments:
        return "a whole run on real data is not computed again; a smaller vector tells more"
    if vector.operation == "loss_on_probabilities":
        return "one number fits too many causes; vae audit examines the function itself"
    return ""


def diagnosis(vector: Vector, actual: Mapping[str, Array], dtype: str) -> Diagnosis:
    """The causes that fit a wrong answer, and what `together` needs to read it beside others."""
    if beyond(vector):
        return Diagnosis()
    if actual.keys() != vector.expected.keys() or not all(isinstance(value, np.ndarray) for value in actual.values()):
        return Diagnosis()
    shown = {name: value for name, value in actual.items() if vector.expected[name].dtype.kind == "f"}
    if dtype == "float64" and all(value.dtype == np.float32 for value in shown.values()):
        return _certain("float64-off", "the answer is float32")
    if (misshapen := shapes(vector, actual)) is not None:
        return _certain(*misshapen)
    with np.errstate(all="ignore"):
        return _diagnosis(Seen(vector, actual, dtype))


def _diagnosis(seen: Seen) -> Diagnosis:
    floats = (value for name, value in seen.actual.items() if seen.expected[name].dtype.kind == "f")
    if not seen.wrong or any(value.dtype != seen.dtype for value in floats):
        return Diagnosis()
    if holds_float32(seen):
        return _certain("float64-off", "every number of the answer is a float32")
    search = Search(seen)
    found = search.findings()
    if not found and errs_as_float32(seen):
        return _certain("float64-off", "all errors have the size of float32's")
    if not found and ends_in_float32(seen):
        return _certain("float64-off", f"errors of float32's size in {' and '.join(seen.wrong)} alone")
    return Diagnosis(tuple(found), search)


def _certain(cause: str, detail: str) -> Diagnosis:
    return Diagnosis((Finding(cause, detail),))


def _paragraph(finding: Finding) -> str:
    bug = BUGS[finding.cause]
    report = f"; met in {bug.report}" if bug.report else ""
    return f"{bug.what}{_detail(finding)} [{_places(finding)}{report}]. Fix: {bug.fix}."


def _detail(finding: Finding) -> str:
    return f" ({finding.detail})" if finding.detail else ""


def _places(finding: Finding) -> str:
    bug = BUGS[finding.cause]
    return f"clause {bug.clause}, pitfall {bug.pitfall}"
