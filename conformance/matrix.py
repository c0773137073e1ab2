"""Clause by clause, how several ports did: `vae conformance matrix CERTIFICATE.json ...`."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from vae_rosetta.conformance import certificate, report
from vae_rosetta.conformance.outcome import Verdict

WORDS: Final = {
    Verdict.CONFORMS: "yes",
    Verdict.DEVIATES: "dev",
    Verdict.FAILS: "NO",
    Verdict.INCOMPLETE: "part",
    Verdict.ABSENT: "absent",
    Verdict.NOT_RUN: "none",
    Verdict.UNTESTED: "-",
}
LEGEND: Final = (
    "yes: conforms; dev: deviates as declared; NO: does not conform; part: only a",
    "part was run; none: nothing was run; absent: lacks the ability; -: no test",
)
WIDTH: Final = 80


def lines(certificates: Sequence[certificate.Certificate]) -> Iterator[str]:
    """The matrix, clause x backend, its legend, and the verdict on each backend with its date."""
    clauses = list(dict.fromkeys(clause["id"] for one in certificates for clause in one["clauses"]))
    cells = [{clause["id"]: WORDS.get(clause["verdict"], "?") for clause in one["clauses"]} for one in certificates]
    first = max(len(clause) for clause in [*clauses, "clause"]) + 2
    columns = heads([short(one["run"]) for one in certificates], WIDTH - first)
    yield row("clause", columns, first, widths(columns))
    for clause in clauses:
        yield row(clause, [column.get(clause, "-") for column in cells], first, widths(columns))
    yield ""
    yield from LEGEND
    yield ""
    for head, one in zip(columns, certificates, strict=True):
        run = one["run"]
        yield f"{head}: {certificate.headline(one)}"
        yield f"  {certificate.subject(run)}"
        yield f"  {run['date']}, specification {run['spec_version']}"
        if run["vectors_sha256"] != report.vectors_sha256():
            yield "  graded with other vectors than this installation's"


def row(name: str, cells: Sequence[str], first: int, widths: Sequence[int]) -> str:
    """A line of a table: `first` is the width of the name, `widths` those of the cells."""
    return (
        f"{name:<{first}}" + "".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
    ).rstrip()


def widths(heads: Sequence[str]) -> list[int]:
    """Of the columns under these headings."""
    return [max(len(head), 6) + 2 for head in heads]


def heads(names: Sequence[str], room: int) -> list[str]:
    """A heading for each column: the backend's name, or a number where names would not fit."""
    if len(set(names)) == len(names) and sum(widths(names)) <= room:
        return [*names]
    return [str(number) for number, _ in enumerate(names, start=1)]


def short(run: dict[str, Any]) -> str:
    """The module's own name, or the command."""
    return str(run["module"]).rsplit(".", 1)[-1] if run["module"] else str(run["command"])
