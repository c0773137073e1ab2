"""Declared deviations: cases that a port is known to fail, each with its reason.

A file of entries, in TOML:

    [[deviation]]
    case = "training/tiny-gradients"  # a vector, or chapter/test_name, with [parameters] or for all of them
    dtype = "float32"                 # optional: without it the case deviates in every precision it is graded in
    reason = "Keras' Adam adds epsilon before the bias correction"
    cause = "epsilon-hat"             # optional

    [[deviation]]
    case = ["loss/saturated-logits", "training/tiny in float64"]  # several, each as reports write it
    reason = "cross-entropy on clipped probabilities"

It is strict both ways: a case that deviates must fail, and an entry must name a case.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vae_rosetta.conformance.outcome import Case
from vae_rosetta.shared import checks

_FIELDS: Final = {"case": True, "reason": True, "dtype": False, "cause": False}  # name: required


class DeviationError(Exception):
    """A file of deviations that cannot be used; the message names the file, the entry and the fault."""


@dataclass(frozen=True)
class Deviation:
    """One entry: a case that the port fails, and why."""

    case: str
    reason: str
    dtype: str | None = None
    cause: str | None = None
    place: str = ""  # file and number of the entry, for messages


def read(path: Path) -> list[Deviation]:
    """The entries of a file, in its order.

    Raises:
        DeviationError: the file cannot be read, is not TOML, or holds something other than entries as above.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        detail = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise DeviationError(f"{path}: cannot be read: {detail}") from None
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DeviationError(f"{path}: not TOML: {error}") from None
    if others := sorted(content.keys() - {"deviation"}):
        raise DeviationError(f"{path}: got {others[0]!r} at the top; expected [[deviation]] entries alone")
    entries = content.get("deviation", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DeviationError(f"{path}: 'deviation' is not a list of entries; write [[deviation]], in double brackets")
    listed = (_entries(f"{path}: entry {number}", entry) for number, entry in enumerate(entries, start=1))
    return [deviation for several in listed for deviation in several]


def match(deviations: list[Deviation], cases: Mapping[str, Case]) -> dict[str, Deviation]:
    """The keys of the cases that deviate, each with its entry.

    Raises:
        DeviationError: an entry names no case, or not clearly one, or a case has two entries.
    """
    found: dict[str, Deviation] = {}
    for deviation in deviations:
        keys = [key for key, case in cases.items() if deviation.case in _names(case)]
        if not keys:
            hint = "a vector such as training/tiny, or chapter/test_name"
            raise DeviationError(
                f"{deviation.place}: case: got {deviation.case!r}; expected the name of a case: {hint}"
            )
        if len(chapters := {cases[key].chapter for key in keys}) > 1:
            named = " and ".join(f"{chapter}/{deviation.case}" for chapter in sorted(chapters))
            raise DeviationError(f"{deviation.place}: case: {deviation.case!r} may be {named}; name one")
        chosen = [key for key in keys if deviation.dtype in (None, cases[key].dtype)]
        if not chosen:
            raise DeviationError(f"{deviation.place}: {deviation.case} is not graded in {deviation.dtype}")
        for key in chosen:
            if key in found:
                raise DeviationError(f"{deviation.place}: {deviation.case} has an entry already: {found[key].place}")
            found[key] = deviation
    return found


def _entries(place: str, entry: Mapping[str, Any]) -> list[Deviation]:
    """A deviation for each case that the entry lists."""
    cases = entry.get("case")
    if not isinstance(cases, list):
        return [_entry(place, entry)]
    if not cases:
        raise DeviationError(f"{place}: case: got []; expected one case or more")
    return [_entry(place, {**entry, "case": case}) for case in cases]


def _entry(place: str, entry: Mapping[str, Any]) -> Deviation:
    if unknown := sorted(entry.keys() - _FIELDS.keys()):
        raise DeviationError(f"{place}: got {unknown[0]!r}; expected {', '.join(_FIELDS)}")
    for name, required in _FIELDS.items():
        value = entry.get(name)
        if value is None and required:
            raise DeviationError(f"{place}: {name} is missing; every deviation has a case and a reason")
        if value is not None and not (isinstance(value, str) and value.strip()):
            raise DeviationError(f"{place}: {name}: got {value!r}; expected text")
    dtype = entry.get("dtype")
    if dtype is not None and dtype not in checks.DTYPES:
        raise DeviationError(f"{place}: dtype: got {dtype!r}; expected {' or '.join(checks.DTYPES)}")
    case, _, said = entry["case"].partition(" in ")  # as reports write it
    if said in checks.DTYPES and dtype in (None, said):
        return Deviation(case, entry["reason"], said, entry.get("cause"), place)
    return Deviation(entry["case"], entry["reason"], dtype, entry.get("cause"), place)


def _names(case: Case) -> set[str]:
    """What an entry may call the case: its id; of a test also without its parameters, and without the chapter."""
    if case.is_vector:
        return {case.id}
    test = case.id.removeprefix(f"{case.chapter}/")
    return {case.id, case.id.split("[")[0], test, test.split("[")[0]}
