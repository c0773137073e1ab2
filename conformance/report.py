"""What a run found: the outcome of every case, added up by chapter, clause and precision, and the verdict.

The plugin hands over cases and outcomes; `Report.certificate` is the whole of it as plain data, in the shape of
report.schema.json. Nothing here knows of pytest.
"""

import datetime
import hashlib
import importlib.metadata
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from vae_rosetta.conformance import likely
from vae_rosetta.conformance.explainer import Explanation
from vae_rosetta.shared import checks, spec, vectors
from vae_rosetta.shared.contract import Backend

FORMAT: Final = 1  # of the certificate; a change that breaks a reader raises it
SCHEMA: Final = Path(__file__).with_name("report.schema.json")

# The order of reports: what a port must have first comes first. Chapters not named here follow by their names.
CHAPTERS: Final = ("contract", "forward", "loss", "gradients", "training", "checkpoint", "sampling", "errors")
RESULTS: Final = ("passed", "failed", "deviating", "absent", "skipped", "not run")

CONFORMS: Final = "conforms"
DEVIATES: Final = "conforms with deviations"
FAILS: Final = "does not conform"
INCOMPLETE: Final = "incomplete"
VERDICTS: Final = (CONFORMS, DEVIATES, FAILS, INCOMPLETE)  # of a whole run
ABSENT: Final = "absent"  # these three of a chapter or a clause only
NOT_RUN: Final = "not run"
UNTESTED: Final = "untested"

_LONGEST_MESSAGE: Final = 4000


class Case(NamedTuple):
    """One question to the backend in one precision."""

    id: str  # a vector's id, or chapter/test_name[parameters]
    chapter: str
    dtype: str | None  # None: the question is the same in every precision
    clauses: tuple[str, ...]
    is_vector: bool = False


class Outcome(NamedTuple):
    """What became of a case: a result, with its reason where it did not pass, and headroom by quantity."""

    result: str
    message: str = ""
    headroom: Mapping[str, float] = {}
    cause: str | None = None  # of a deviation, as declared
    seen: str = ""  # of a deviation: how the case failed


def place(chapter: str) -> tuple[int, str]:
    """Sorts chapters as reports list them."""
    return (CHAPTERS.index(chapter) if chapter in CHAPTERS else len(CHAPTERS), chapter)


def verdict(counts: Mapping[str, int]) -> str:
    """The verdict on a chapter or clause with these counts of results. What was not run is never taken as passed."""
    ran = sum(counts.values()) - counts["not run"]
    if counts["failed"]:
        return FAILS
    if counts["skipped"] or counts["not run"]:
        return INCOMPLETE if ran else NOT_RUN
    if counts["deviating"]:
        return DEVIATES
    if counts["passed"]:
        return CONFORMS
    return ABSENT if counts["absent"] else UNTESTED


def identity(backend: Backend) -> dict[str, str]:
    """What `describe()` says, as text; what is wrong with it, if it says nothing of use. The contract is tested
    elsewhere: a report must come out of any backend."""
    try:
        described = backend.describe()
        return {str(key): str(value) for key, value in described.items()}
    except Exception as error:  # a stranger's code may raise anything
        return {"describe() failed": f"{type(error).__name__}: {error}"}


def run_identity(name: Mapping[str, str | None], backend: Backend, device: str) -> dict[str, Any]:
    """Who was graded, by what, where and when; `name` says module or command."""
    return {
        **name,
        "describe": identity(backend),
        "device": device,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "project_version": project_version(),
        "spec_version": spec.VERSION,
        "vectors_sha256": vectors_sha256(),
    }


def project_version() -> str:
    """The installed version of this project."""
    try:
        return importlib.metadata.version("vae-rosetta")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def vectors_sha256() -> str:
    """SHA-256 of the vectors' manifest, which holds the SHA-256 of every vector."""
    return hashlib.sha256(vectors.MANIFEST.read_bytes()).hexdigest()


@dataclass
class Report:
    """Gathers outcomes. `cases` are all that the suite has, run or not, by any key; `chapters` all that there should
    be."""

    run: dict[str, Any]
    chapters: tuple[str, ...] = ()
    cases: dict[str, Case] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    explanations: dict[str, Explanation] = field(default_factory=dict)

    def record(self, key: str, outcome: Outcome) -> None:
        """Notes what became of the case `key`; a later failure (of a clean-up) outweighs an earlier result."""
        if key not in self.outcomes or outcome.result == "failed":
            self.outcomes[key] = outcome._replace(message=outcome.message[:_LONGEST_MESSAGE])

    def explain(self, key: str, explanation: Explanation, message: str) -> None:
        """Notes what a wrong answer to a vector comes from, and the message that says so."""
        self.explanations[key] = explanation
        outcome, message = self.outcomes[key], message[:_LONGEST_MESSAGE]
        deviates = outcome.result == "deviating"
        self.outcomes[key] = outcome._replace(seen=message) if deviates else outcome._replace(message=message)

    def counts(self, wanted: Callable[[Case], bool] = lambda case: True) -> dict[str, int]:
        """How many of the wanted cases had each result."""
        found = Counter(self._result(key) for key, case in self.cases.items() if wanted(case))
        return {result: found[result] for result in RESULTS}

    def certificate(self) -> dict[str, Any]:
        """Everything, as data that JSON can hold; report.schema.json describes it."""
        gaps, counts = self._gaps(), self.counts()
        whole = verdict(counts)
        if whole not in (FAILS, DEVIATES, CONFORMS) or (gaps and whole != FAILS):
            whole = INCOMPLETE
        ran = {self.cases[key].dtype for key in self.outcomes}
        return {
            "format": FORMAT,
            "verdict": whole,
            "incomplete": gaps,
            "absent": sorted({outcome.message for outcome in self.outcomes.values() if outcome.result == "absent"}),
            "run": {**self.run, "dtypes": [dtype for dtype in checks.DTYPES if dtype in ran]},
            "counts": counts,
            "chapters": [self._chapter(name) for name in self._chapter_names()],
            "clauses": [self._clause(name, text) for name, text in spec.CLAUSES.items()],
            "headroom": list(self._headroom()),
            "causes": likely.listed((_name(self.cases[key]), found) for key, found in self.explanations.items()),
            "failures": [
                {**_name(case), "clauses": list(case.clauses), "message": outcome.message}
                for case, outcome in self._with_result("failed")
            ],
            "deviations": [
                {**_name(case), "reason": outcome.message, "cause": outcome.cause, "seen": outcome.seen}
                for case, outcome in self._with_result("deviating")
            ],
        }

    def _result(self, key: str) -> str:
        return self.outcomes[key].result if key in self.outcomes else "not run"

    def _with_result(self, result: str) -> Iterable[tuple[Case, Outcome]]:
        return ((self.cases[key], outcome) for key, outcome in self.outcomes.items() if outcome.result == result)

    def _chapter_names(self) -> list[str]:
        return sorted({*self.chapters, *(case.chapter for case in self.cases.values())}, key=place)

    def _chapter(self, name: str) -> dict[str, Any]:
        def in_dtype(dtype: str) -> dict[str, int]:
            return self.counts(lambda case: case.chapter == name and case.dtype in (dtype, None))

        counts = self.counts(lambda case: case.chapter == name)
        by_dtype = {dtype: {"verdict": verdict(c), "counts": c} for dtype in checks.DTYPES for c in [in_dtype(dtype)]}
        return {"name": name, "verdict": verdict(counts), "counts": counts, "dtypes": by_dtype}

    def _clause(self, name: str, text: str) -> dict[str, Any]:
        counts = self.counts(lambda case: name in case.clauses)
        return {"id": name, "text": text, "verdict": verdict(counts), "counts": counts}

    def _headroom(self) -> Iterable[dict[str, Any]]:
        for key, outcome in self.outcomes.items():
            for quantity, ratio in outcome.headroom.items():
                case = self.cases[key]
                yield {"vector": case.id, "quantity": quantity, "dtype": case.dtype, "ratio": float(ratio)}

    def _gaps(self) -> list[str]:
        """Why this run says less than the whole suite would."""
        gaps = []
        if not_run := self.counts()["not run"]:
            ran = {self.cases[key].dtype for key in self.outcomes}
            left_out = [dtype for dtype in checks.DTYPES if dtype not in ran]
            which = f", all of {' and '.join(left_out)} among them" if left_out else ""
            gaps.append(f"{not_run} of {len(self.cases)} cases were not run{which}")
        gaps += sorted({f"skipped: {outcome.message}" for _, outcome in self._with_result("skipped")})
        present = {case.chapter for case in self.cases.values()}
        gaps += [f"chapter {name} was not collected" for name in sorted(set(self.chapters) - present, key=place)]
        asked = {(case.id, case.dtype) for case in self.cases.values()}
        for vector in vectors.load().values():
            lost = [dtype for dtype in vectors.graded_in(vector.arguments) if (vector.id, dtype) not in asked]
            if vector.chapter in present and lost:
                gaps.append(f"vector {vector.id} has no case in {' and '.join(lost)}")
        return gaps


def _name(case: Case) -> dict[str, Any]:
    return {"case": case.id, "dtype": case.dtype, "vector": case.is_vector}
