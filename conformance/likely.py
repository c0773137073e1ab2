"""The causes that the explainer names for a run: each once, with the cases that it accounts for."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from vae_rosetta.conformance.explainer import Explanation, Finding, same_bug
from vae_rosetta.conformance.outcome import Fault, named
from vae_rosetta.shared.bugs import BUGS

Key = tuple[str, str | None]  # a case and its precision

_LISTED: Final = 20  # failures that the terminal lists by name, unless more have no known cause
_SHORT: Final = 120  # characters of an exception
_HOW: Final = {"alone": "alone", "at once": "at once with another", "either": "this or another"}


def listed(explained: Iterable[tuple[Mapping[str, Any], Explanation]]) -> list[dict[str, Any]]:
    """Causes as a certificate holds them, the one that accounts for most cases first; each case with its name."""
    details: dict[Finding, list[str]] = {}
    cases: dict[Finding, list[dict[str, Any]]] = {}
    for case, explanation in explained:
        for finding in explanation.findings:
            others = [other.cause for other in explanation.findings if other != finding]
            how = "alone" if not others else "at once" if explanation.at_once else "either"
            entry = {"case": case["case"], "dtype": case["dtype"], "how": how, "others": others}
            details.setdefault(same_bug(finding), []).append(finding.detail)
            cases.setdefault(same_bug(finding), []).append(entry)
    return [
        {"cause": bug.cause, "detail": _common(details[bug]), **_row(bug.cause), "explains": explains}
        for bug, explains in sorted(cases.items(), key=lambda item: -len(item[1]))
    ]


def _row(name: str) -> dict[str, str]:
    """What a certificate says of a bug."""
    bug = BUGS[name]
    return {"bug": bug.what, "clause": bug.clause, "pitfall": bug.pitfall, "report": bug.report, "fix": bug.fix}


def _common(details: list[str]) -> str:
    """What every case has to say of a cause; nothing where they differ."""
    return details[0] if len({*details}) == 1 else ""


def lines(certificate: Mapping[str, Any]) -> Iterator[str]:
    """For the terminal: the causes, numbered; then every failure with the number of its cause."""
    causes, failures = certificate["causes"], certificate["failures"]
    numbers = _numbers(causes)
    if causes:
        wrong = [_key(entry) for key in ("failures", "deviations") for entry in certificate[key] if _answered(entry)]
        counted = f"{sum(key in numbers for key in wrong)} of {len(wrong)} wrong answers to vectors"
        subject = "1 known cause accounts" if len(causes) == 1 else f"{len(causes)} known causes account"
        yield f"{subject} for {counted}:"
    for number, cause in enumerate(causes, start=1):
        yield f"  {number}. {headline(cause)}"
        yield f"     {places(cause)}; {_counts(cause)}"
        yield f"     fix: {cause['fix']}"
    unknown = [_key(entry) for entry in failures if _key(entry) not in numbers]
    room = max(0, _LISTED - len(unknown))
    shown = {*unknown, *[_key(entry) for entry in failures if _key(entry) in numbers][:room]}
    for entry in failures:
        if _key(entry) in shown:
            yield f"fails: {named(entry)} ({', '.join(entry['clauses'])}){_because(entry, numbers)}"
    if len(failures) > len(shown):
        yield f"fails: {len(failures) - len(shown)} more, each of a cause above"


def markdown(certificate: Mapping[str, Any]) -> list[str]:
    """A section of the page: every cause with its fix and its cases, and the vectors that have none."""
    causes = certificate["causes"]
    numbers = _numbers(causes)
    unknown = [entry for entry in certificate["failures"] if _answered(entry) and _key(entry) not in numbers]
    if not causes and not unknown:
        return []
    found = ["## Causes", ""]
    for number, cause in enumerate(causes, start=1):
        found += [f"{number}. {headline(cause)} ({places(cause)}). Fix: {cause['fix']}."]
        for how, text in _HOW.items():
            if cases := [named(entry) for entry in cause["explains"] if entry["how"] == how]:
                found.append(f"   - {text}: {', '.join(f'`{case}`' for case in cases)}")
    if unknown:
        found += [f"- no known cause: {', '.join(f'`{named(entry)}`' for entry in unknown)}"]
    return [*found, ""]


def headline(cause: Mapping[str, Any]) -> str:
    """What is wrong."""
    return f"{cause['bug']} ({cause['detail']})" if cause["detail"] else str(cause["bug"])


def places(cause: Mapping[str, Any]) -> str:
    """Where to read on."""
    found = [f"clause {cause['clause']}", cause["pitfall"] and f"pitfall {cause['pitfall']}"]
    found += [cause["report"] and f"met in {cause['report']}"]
    return ", ".join(filter(None, found))


def _counts(cause: Mapping[str, Any]) -> str:
    counts = Counter(entry["how"] for entry in cause["explains"])
    return ", ".join(f"{text} in {counts[how]}" for how, text in _HOW.items() if counts[how])


def _numbers(causes: Iterable[Mapping[str, Any]]) -> dict[Key, list[str]]:
    """The numbers of each case's causes, and the word between them."""
    found: dict[Key, list[str]] = {}
    for number, cause in enumerate(causes, start=1):
        for entry in cause["explains"]:
            words = found.setdefault(_key(entry), [])
            words += [*(["and" if entry["how"] == "at once" else "or"] if words else []), str(number)]
    return found


def _because(entry: Mapping[str, Any], numbers: Mapping[Key, list[str]]) -> str:
    if not _answered(entry):
        return f": {textwrap.shorten(entry['message'], _SHORT)}"
    found = numbers.get(_key(entry))
    if found is None:  # "no known cause fits", or why none was looked for
        return f": {entry['explanation']}"
    return f": cause{'s' if len(found) > 1 else ''} {' '.join(found)}"


def _answered(entry: Mapping[str, Any]) -> bool:
    """Whether the case is an answer to a vector, and wrong: then its cause was looked for."""
    return bool(entry["fault"] == Fault.WRONG)


def _key(entry: Mapping[str, Any]) -> Key:
    return entry["case"], entry["dtype"]
