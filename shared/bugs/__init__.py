"""The catalogue of bugs: every known way for a port of the VAE to be wrong, each in one row, with a permanent id.

A row says what is wrong, which clause of the specification it breaks, which pitfall it belongs to, where it was met in
public and how it is mended. Everything that speaks of bugs refers to a row by its id and repeats nothing of it: the
flags of the golden vectors, the hypotheses of the explainer, the wrong implementations, the findings of the audit.
The code that makes a bug and the code that finds it have nothing but these ids in common.

The rows are in the TOML files beside this one, below their pitfalls:

    [P04]
    title = "..."             # of the pitfall; `elsewhere` says why one without rows is not graded

    [P04.pixel-mean]          # the id of the row
    what = "The sum over ..." # a statement without its full stop
    clause = "..."            # of shared/spec.py
    fix = "..."               # what to do instead, as an instruction or a formula
    reports = ["..."]         # optional: owner/repository#number or arXiv:number, the most typical first; each is of
                              # this bug, of one of its kind or of the variant that is taken for the true thing
    same_answers_as = ["..."] # optional: rows that an answer of a port with this bug may fit as well
    no_mutant = "..."         # optional: why no wrong implementation has the bug
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

_DIRECTORY: Final = Path(__file__).parent
_REPORT: Final = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)#(?P<number>\d+)|arXiv:(?P<paper>\d{4}\.\d{4,5})")
# Those of the reports that are pull requests; the others are issues.
_PULLS: Final = frozenset({"DeepTrackAI/DeepTrack2#170", "ml-explore/mlx#1280", "pytorch/pytorch#173224"})


class Bug(NamedTuple):
    """One way for a port to be wrong: a row of the catalogue."""

    id: str
    what: str
    clause: str
    pitfall: str  # its number
    fix: str
    reports: tuple[str, ...] = ()
    same_answers_as: tuple[str, ...] = ()
    no_mutant: str = ""

    @property
    def report(self) -> str:
        """The most typical public report; empty where none is known."""
        return next(iter(self.reports), "")


class Pitfall(NamedTuple):
    """A group of bugs that come from one difficulty."""

    number: str
    title: str
    elsewhere: str = ""  # why none of its bugs is graded, and what stands for them


def link(report: str) -> str:
    """The address of a public report.

    Raises:
        ValueError: it is neither owner/repository#number nor arXiv:number.
    """
    found = _REPORT.fullmatch(report)
    if found is None:
        raise ValueError(f"report: got {report!r}; expected owner/repository#number or arXiv:number")
    if found["paper"]:
        return f"https://arxiv.org/abs/{found['paper']}"
    kind = "pull" if report in _PULLS else "issues"
    return f"https://github.com/{found['repository']}/{kind}/{found['number']}"


def read(directory: Path = _DIRECTORY) -> tuple[dict[str, Pitfall], dict[str, Bug]]:
    """The pitfalls by number and the bugs by id, from the TOML files of a directory.

    Raises:
        ValueError: two rows have the same id.
        TypeError: a row lacks a field, or has one that is not known.
    """
    tables = [tomllib.loads(path.read_text(encoding="utf-8")) for path in directory.glob("*.toml")]
    pitfalls: dict[str, Pitfall] = {}
    bugs: dict[str, Bug] = {}
    for number, table in sorted(pair for each in tables for pair in each.items()):
        rows = {key: value for key, value in table.items() if isinstance(value, dict)}
        pitfalls[number] = Pitfall(number, **{key: text for key, text in table.items() if key not in rows})
        for name, row in rows.items():
            if name in bugs:
                raise ValueError(f"bug {name!r} is in the catalogue twice")
            fields: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value for key, value in row.items()
            }
            bugs[name] = Bug(id=name, pitfall=number, **fields)
    return pitfalls, bugs


_found: Final = read()
PITFALLS: Final[Mapping[str, Pitfall]] = MappingProxyType(_found[0])  # by number
BUGS: Final[Mapping[str, Bug]] = MappingProxyType(_found[1])  # by id
