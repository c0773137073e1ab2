"""What a run found: the outcome of every case, added up by chapter, clause and precision, and the verdict.

The plugin hands over cases and outcomes; `Report.certificate` is the whole of it as plain data, in the shape of
report.schema.json. Nothing here knows of pytest.
"""

import datetime
import hashlib
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from vae_rosetta.conformance import likely
from vae_rosetta.conformance.explainer import Explanation
from vae_rosetta.conformance.outcome import VERDICTS, Case, Outcome, Result, Verdict, place, verdict
from vae_rosetta.shared import checks, spec, vectors
from vae_rosetta.shared.contract import Backend
from vae_rosetta.shared.version import project_version

FORMAT: Final = 2  # of the certificate; a change that breaks a reader raises it
# Format 1 had the explanation of a wrong answer within its message, and no `fault`; an absent ability was a sentence.
READABLE: Final = (1, FORMAT)  # by those who look at verdicts, counts, headroom and reasons
SCHEMA: Final = Path(__file__).with_name("report.schema.json")

_LONGEST_MESSAGE: Final = 4000


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
    interruption: str = ""  # why `cases` may not be all that the suite has; empty if they are

    def record(self, key: str, outcome: Outcome) -> None:
        """Notes what became of the case `key`; a later failure (of a clean-up) outweighs an earlier result."""
        if key not in self.outcomes or outcome.result is Result.FAILED:
            self.outcomes[key] = outcome._replace(message=outcome.message[:_LONGEST_MESSAGE])

    def explain(self, key: str, explanation: Explanation, text: str) -> None:
        """Notes what a wrong answer to a vector comes from, as it is and in words."""
        self.explanations[key] = explanation
        self.outcomes[key] = self.outcomes[key]._replace(explanation=text)

    def counts(self, wanted: Callable[[Case], bool] = lambda case: True) -> dict[Result, int]:
        """How many of the wanted cases had each result."""
        found = Counter(self._result(key) for key, case in self.cases.items() if wanted(case))
        return {result: found[result] for result in Result}

    def certificate(self) -> dict[str, Any]:
        """Everything, as data that JSON can hold; report.schema.json describes it."""
        gaps, counts = self._gaps(), self.counts()
        whole = verdict(counts)
        if whole not in VERDICTS or (gaps and whole is not Verdict.FAILS):
            whole = Verdict.INCOMPLETE
        absent = [outcome for _, outcome in self._with_result(Result.ABSENT)]
        asked = {self.cases[key].dtype for key, outcome in self.outcomes.items() if outcome.result != Result.ABSENT}
        return {
            "format": FORMAT,
            "verdict": whole,
            "incomplete": gaps,
            "absent": [
                {"ability": name, "reason": why} for name, why in sorted({(o.ability, o.message) for o in absent})
            ],
            "run": {**self.run, "dtypes": [dtype for dtype in checks.DTYPES if dtype in asked]},
            "counts": counts,
            "chapters": [self._chapter(name) for name in self._chapter_names()],
            "clauses": [self._clause(name, text) for name, text in spec.CLAUSES.items()],
            "headroom": list(self._headroom()),
            "causes": likely.listed((_name(self.cases[key]), found) for key, found in self.explanations.items()),
            "failures": [
                {**_name(case), "clauses": list(case.clauses), **_how(outcome)}
                for case, outcome in self._with_result(Result.FAILED)
            ],
            "deviations": [
                {**_name(case), "reason": outcome.reason, "cause": outcome.cause, **_how(outcome)}
                for case, outcome in self._with_result(Result.DEVIATING)
            ],
        }

    def _result(self, key: str) -> Result:
        return self.outcomes[key].result if key in self.outcomes else Result.NOT_RUN

    def _with_result(self, result: Result) -> Iterable[tuple[Case, Outcome]]:
        return ((case, self.outcomes[key]) for key, case in self.cases.items() if self._result(key) == result)

    def _chapter_names(self) -> list[str]:
        return sorted({*self.chapters, *(case.chapter for case in self.cases.values())}, key=place)

    def _chapter(self, name: str) -> dict[str, Any]:
        def in_dtype(dtype: str) -> dict[Result, int]:
            return self.counts(lambda case: case.chapter == name and case.dtype in (dtype, None))

        counts = self.counts(lambda case: case.chapter == name)
        by_dtype = {dtype: {"verdict": verdict(c), "counts": c} for dtype in checks.DTYPES for c in [in_dtype(dtype)]}
        return {"name": name, "verdict": verdict(counts), "counts": counts, "dtypes": by_dtype}

    def _clause(self, name: str, text: str) -> dict[str, Any]:
        counts = self.counts(lambda case: name in case.clauses)
        return {"id": name, "text": text, "verdict": verdict(counts), "counts": counts}

    def _headroom(self) -> Iterable[dict[str, Any]]:
        for case, outcome in self._with_result(Result.PASSED):
            for quantity, ratio in sorted(outcome.headroom.items()):
                yield {"vector": case.id, "quantity": quantity, "dtype": case.dtype, "ratio": float(ratio)}

    def _gaps(self) -> list[str]:
        """Why this run says less than the whole suite would."""
        if self.interruption:  # then it is not known what else is missing
            return [self.interruption]
        gaps = []
        if not_run := self.counts()[Result.NOT_RUN]:
            ran = {self.cases[key].dtype for key in self.outcomes}
            left_out = [dtype for dtype in checks.DTYPES if dtype not in ran]
            which = f", all of {' and '.join(left_out)} among them" if left_out else ""
            gaps.append(f"{not_run} of {len(self.cases)} cases were not run{which}")
        gaps += sorted({f"skipped: {outcome.message}" for _, outcome in self._with_result(Result.SKIPPED)})
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


def _how(outcome: Outcome) -> dict[str, Any]:
    return {"fault": outcome.fault, "message": outcome.message, "explanation": outcome.explanation}
