"""The values that a run is made of: the cases, what became of each, and what that amounts to."""

import enum
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

# The order of reports: what a port must have first comes first. Chapters not named here follow by their names.
CHAPTERS: Final = ("contract", "forward", "loss", "gradients", "training", "checkpoint", "sampling", "errors")


class Result(enum.StrEnum):
    """What became of a case."""

    PASSED = "passed"
    FAILED = "failed"
    DEVIATING = "deviating"  # it fails, as was declared
    ABSENT = "absent"  # the backend does not have the ability that it needs
    SKIPPED = "skipped"  # for any other reason
    NOT_RUN = "not run"


class Fault(enum.StrEnum):
    """How a case fails."""

    WRONG = "wrong answer"  # to a vector: its cause is looked for
    LAW = "broken law"  # an assertion of a test that is no vector
    ERROR = "error"  # an exception, instead of an answer
    STALE = "stale deviation"  # it passes, and was declared to fail


class Verdict(enum.StrEnum):
    """What the results of a run, a chapter or a clause amount to."""

    CONFORMS = "conforms"
    DEVIATES = "conforms with deviations"
    FAILS = "does not conform"
    INCOMPLETE = "incomplete"
    ABSENT = "absent"  # this and the following: of a chapter or a clause only
    NOT_RUN = "not run"
    UNTESTED = "untested"


VERDICTS: Final = (Verdict.CONFORMS, Verdict.DEVIATES, Verdict.FAILS, Verdict.INCOMPLETE)  # on a whole run


class Case(NamedTuple):
    """One question to the backend in one precision."""

    id: str  # a vector's id, or chapter/test_name[parameters]
    chapter: str
    dtype: str | None  # None: the question is the same in every precision
    clauses: tuple[str, ...]
    is_vector: bool = False


class Outcome(NamedTuple):
    """What became of a case, and why."""

    result: Result
    message: str = ""  # how it failed, or why it was not asked
    fault: Fault | None = None  # of a case that fails or deviates
    explanation: str | None = None  # of a wrong answer: its likely cause, in a paragraph
    ability: str = ""  # that is absent
    reason: str = ""  # of a deviation, as declared
    cause: str | None = None  # of a deviation, as declared
    headroom: Mapping[str, float] = {}  # by quantity, of a case that passed


def place(chapter: str) -> tuple[int, str]:
    """Sorts chapters as reports list them."""
    return (CHAPTERS.index(chapter) if chapter in CHAPTERS else len(CHAPTERS), chapter)


def verdict(counts: Mapping[Result, int]) -> Verdict:
    """The verdict on a chapter or clause with these counts of results. What was not run is never taken as passed."""
    ran = sum(counts.values()) - counts[Result.NOT_RUN]
    if counts[Result.FAILED]:
        return Verdict.FAILS
    if counts[Result.SKIPPED] or counts[Result.NOT_RUN]:
        return Verdict.INCOMPLETE if ran else Verdict.NOT_RUN
    if counts[Result.DEVIATING]:
        return Verdict.DEVIATES
    if counts[Result.PASSED]:
        return Verdict.CONFORMS
    return Verdict.ABSENT if counts[Result.ABSENT] else Verdict.UNTESTED


def named(entry: Mapping[str, Any]) -> str:
    """What reports call the case of an entry of a certificate."""
    return f"{entry['case']} in {entry['dtype']}" if entry["dtype"] else str(entry["case"])
