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

from vae_rosetta.conformance.explainer.direct import Finding
from vae_rosetta.conformance.explainer.rules import Rules, merged
from vae_rosetta.conformance.explainer.search import FAMILIES, Search

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

    @property
    def explanation(self) -> "Explanation":
        """What is said of the answer before it is read together with others."""
        return Explanation(self.findings, self.at_once)


class Explanation(NamedTuple):
    """What is said of a wrong answer. No findings: no known cause fits."""

    findings: tuple[Finding, ...] = ()
    at_once: bool = False  # as in Diagnosis
    known: bool = False  # whether each of several causes at once is named alone by another answer


def together(diagnoses: Sequence[Diagnosis]) -> list[Explanation]:
    """The explanation of each wrong answer of a run, in their order."""
    with np.errstate(all="ignore"):
        return _Reading(diagnoses).explanations()


def same_bug(finding: Finding) -> Finding:
    """What two findings share that are one bug: the detail counts where it is the number that is wrong, not where it
    says how the bug shows in a vector (a mean over 3 latents there, over 7 here)."""
    return finding if finding.cause in FAMILIES else Finding(finding.cause, "")


class _Reading:
    def __init__(self, diagnoses: Sequence[Diagnosis]) -> None:
        self._diagnoses = list(diagnoses)
        self._open = {i: _fits(diagnosis) for i, diagnosis in enumerate(diagnoses)}
        self._bugs: list[Finding] = []
        self._by: dict[int, tuple[Finding, ...]] = {}  # what accounts for each answer

    def explanations(self) -> list[Explanation]:
        while self._open and len(self._bugs) < _CAUSES:
            found = self._most_common() or self._hidden()
            if found is None:
                break
            self._take(found)
        alone = {same_bug(findings[0]) for findings in self._by.values() if len(findings) == 1}
        return [self._explanation(i, alone) for i in range(len(self._diagnoses))]

    def _explanation(self, i: int, alone: set[Finding]) -> Explanation:
        findings = self._by.get(i)
        if findings is None:
            return self._diagnoses[i].explanation
        if len(findings) > 1:
            return Explanation(findings, at_once=True, known=alone.issuperset(map(same_bug, findings)))
        return Explanation((*findings, *self._alternatives(i, same_bug(findings[0]))))

    def _alternatives(self, i: int, bug: Finding) -> list[Finding]:
        """Other causes that fit as well as this one does, in every answer that it accounts for alone."""
        named = [
            {same_bug(finding) for finding in self._diagnoses[j].findings}
            for j, findings in self._by.items()
            if len(findings) == 1 and same_bug(findings[0]) == bug
        ]
        others = set.intersection(*named) - {*self._bugs} if all(bug in each for each in named) else set()
        return [finding for finding in self._diagnoses[i].findings if same_bug(finding) in others]

    def _most_common(self) -> Finding | None:
        votes: dict[Finding, list[float]] = {}
        for fits in self._open.values():
            for bug in {same_bug(finding) for finding in fits} - {*self._bugs}:
                votes.setdefault(bug, []).append(min(m for finding, m in fits.items() if same_bug(finding) == bug))
        return max(votes, key=lambda bug: (len(votes[bug]), -sum(votes[bug]), bug), default=None)

    def _hidden(self) -> Finding | None:
        common = self._bugs[:_AT_ONCE]  # behind which others hide most likely; each base takes a second or two
        small = (search for i in self._open if (search := self._diagnoses[i].search) and not search.large)
        for search in islice(small, _ASKED):
            for count in range(1, _AT_ONCE):
                for bugs in combinations(common, count):
                    base = next(_models(search, bugs), None)
                    found = None if base is None else search.besides(base[0])
                    if found is not None and same_bug(found) not in self._bugs:
                        return same_bug(found)
        return None

    def _take(self, found: Finding) -> None:
        earlier, self._bugs = self._bugs, [*self._bugs, found]
        groups = [(*o, found) for count in range(_AT_ONCE) for o in combinations(earlier, count)]  # the smallest first
        for i in list(self._open):
            findings = next(filter(None, (self._accounted(i, bugs) for bugs in groups)), None)
            if findings is not None:
                self._by[i] = findings
                del self._open[i]

    def _accounted(self, i: int, bugs: tuple[Finding, ...]) -> tuple[Finding, ...] | None:
        """How these bugs, all of them at once, show in an answer; None if they do not account for it."""
        search, own = self._diagnoses[i].search, self._open[i]
        if len(bugs) == 1 and (fitting := [finding for finding in own if same_bug(finding) == bugs[0]]):
            return (min(fitting, key=lambda finding: own[finding]),)
        if search is None:
            return None
        tried = islice(_models(search, bugs), _VARIANTS)
        found = next((findings for rules, findings in tried if search.fits_under(rules)), None)
        search.rest()
        return found


def _models(search: Search, bugs: Sequence[Finding]) -> Iterator[tuple[Rules, tuple[Finding, ...]]]:
    """Models with all these bugs, in every way that each is computed; none where two exclude each other."""
    listed = [[h for h in search.hypotheses() if same_bug(Finding(h.cause, h.detail)) == bug] for bug in bugs]
    for parts in product(*listed):
        if (rules := merged(*(part.rules for part in parts))) is not None:
            yield rules, tuple(Finding(part.cause, part.detail) for part in parts)


def _fits(diagnosis: Diagnosis) -> dict[Finding, float]:
    if diagnosis.search is not None:
        return diagnosis.search.fits
    return dict.fromkeys(diagnosis.findings, 0.0)
