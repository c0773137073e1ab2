"""The wrong answers of a whole run, read together: the fewest causes that account for them.

Alone, an answer may fit several causes, or none because two bugs act in it at once. Beside the others it says more:
the cause that fits most answers is taken first, then the one that fits most of the rest, and each answer is tried
anew with the causes named so far, alone and at once. Where causes are named and some answers fit none, what hides
behind those is looked for: a bug that never acts alone (Adam's, where the loss is wrong too).
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, islice, product
from typing import Final, NamedTuple

import numpy as np

from conformance.explainer.direct import Finding
from conformance.explainer.rules import Rules, merged
from conformance.explainer.search import Search

_CAUSES: Final = 6  # that a run is read by; answers that none of them fits keep what was found for them alone
_AT_ONCE: Final = 3
_VARIANTS: Final = 32  # ways of computing the same bugs that are tried on an answer
_ASKED: Final = 3  # answers that are searched for a bug behind a bug


class Diagnosis(NamedTuple):
    """What one wrong answer says by itself."""

    findings: tuple[Finding, ...] = ()  # at most two, the best first
    search: Search | None = None  # None where the answer is wrong in form, or cannot be computed again

    @property
    def at_once(self) -> bool:
        """Whether it takes all findings to account for the answer; otherwise any of them does."""
        return self.search is not None and self.search.at_once


class Explanation(NamedTuple):
    """What is said of a wrong answer. No findings: no known cause fits."""

    findings: tuple[Finding, ...] = ()
    at_once: bool = False  # as in Diagnosis
    known: bool = False  # whether each of several causes at once is named alone by another answer


def together(diagnoses: Sequence[Diagnosis]) -> list[Explanation]:
    """The explanation of each wrong answer of a run, in their order."""
    with np.errstate(all="ignore"):
        return _Reading(diagnoses).explanations()


class _Reading:
    def __init__(self, diagnoses: Sequence[Diagnosis]) -> None:
        self._diagnoses = list(diagnoses)
        self._open = {i: _fits(diagnosis) for i, diagnosis in enumerate(diagnoses)}
        self._causes: list[Finding] = []
        self._by: dict[int, tuple[Finding, ...]] = {}  # what accounts for each answer

    def explanations(self) -> list[Explanation]:
        while self._open and len(self._causes) < _CAUSES:
            found = self._most_common() or self._hidden()
            if found is None:
                break
            self._take(found)
        alone = {causes[0] for causes in self._by.values() if len(causes) == 1}
        return [self._explanation(i, alone) for i in range(len(self._diagnoses))]

    def _explanation(self, i: int, alone: set[Finding]) -> Explanation:
        causes = self._by.get(i)
        if causes is None:
            return Explanation(self._diagnoses[i].findings, self._diagnoses[i].at_once)
        if len(causes) > 1:
            return Explanation(causes, at_once=True, known=alone.issuperset(causes))
        return Explanation((*causes, *self._alternatives(causes[0])))

    def _alternatives(self, cause: Finding) -> list[Finding]:
        """Other causes that fit as well as this one does, in every answer that it accounts for alone."""
        answers = [self._diagnoses[i].findings for i, causes in self._by.items() if causes == (cause,)]
        return [
            finding
            for finding in answers[0]
            if finding.cause not in {named.cause for named in self._causes}
            and all({cause, finding} <= {*findings} for findings in answers)
        ]

    def _most_common(self) -> Finding | None:
        votes: dict[Finding, list[float]] = {}
        for fits in self._open.values():
            for finding, misfit in fits.items():
                if finding not in self._causes:
                    votes.setdefault(finding, []).append(misfit)
        return max(votes, key=lambda finding: (len(votes[finding]), -sum(votes[finding])), default=None)

    def _hidden(self) -> Finding | None:
        small = (i for i in self._open if (search := self._diagnoses[i].search) and not search.large)
        for i in islice(small, _ASKED):
            search = self._diagnoses[i].search
            assert search is not None
            for count in range(1, min(_AT_ONCE - 1, len(self._causes)) + 1):
                for causes in combinations(self._causes, count):
                    base = next(self._rules(search, causes), None)
                    found = None if base is None else search.besides(base)
                    if found is not None and found not in self._causes:
                        return found
        return None

    def _take(self, found: Finding) -> None:
        earlier, self._causes = self._causes, [*self._causes, found]
        groups = [(*o, found) for count in range(_AT_ONCE) for o in combinations(earlier, count)]  # the smallest first
        for i in list(self._open):
            causes = next((causes for causes in groups if self._explains(i, causes)), None)
            if causes is not None:
                self._by[i] = causes
                del self._open[i]

    def _explains(self, i: int, causes: tuple[Finding, ...]) -> bool:
        search = self._diagnoses[i].search
        if len(causes) == 1 and (causes[0] in self._open[i] or search is None):
            return causes[0] in self._open[i]
        if search is None:
            return False
        found = any(search.fits_under(rules) for rules in islice(self._rules(search, causes), _VARIANTS))
        search.rest()
        return found

    def _rules(self, search: Search, causes: Sequence[Finding]) -> Iterator[Rules]:
        """All these bugs in one model, in every way that each is computed; none where two exclude each other."""
        listed = [
            [h.rules for h in search.hypotheses() if (h.cause, h.detail) == (finding.cause, finding.detail)]
            for finding in causes
        ]
        return (rules for parts in product(*listed) if (rules := merged(*parts)) is not None)


def _fits(diagnosis: Diagnosis) -> dict[Finding, float]:
    if diagnosis.search is not None:
        return diagnosis.search.fits
    return dict.fromkeys(diagnosis.findings, 0.0)
