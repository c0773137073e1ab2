"""conformance/PITFALLS.md: the catalogue of bugs, with the tests that stand on each and the mutants that prove it.

A test compares the page with `page()`, so that it cannot go stale.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import click

from vae_rosetta import conformance
from vae_rosetta.conformance.meta.mutants import MUTANTS
from vae_rosetta.shared import files
from vae_rosetta.shared.bugs import BUGS, PITFALLS, Bug, link
from vae_rosetta.shared.command_line import Command

PAGE: Final = Path(conformance.__file__).parent / "PITFALLS.md"

_INTRODUCTION: Final = (
    "Written by `python -m vae_rosetta.conformance.meta pitfalls` from the catalogue of bugs in `shared/bugs`; a test"
    " keeps it up to date. Clauses are those of `shared/spec.py`. A report is of that bug, of one of its kind (its "
    "size may be the project's own choice) or of the variant that is taken for the true thing. A line below a bug is "
    "a wrong implementation, which is the oracle with this one bug, and the tests that reject it: `chapter/slug` is a"
    " vector, `chapter::name` a test of a chapter. `nox -s mutants` proves that they do."
)


def page() -> str:
    """conformance/PITFALLS.md."""
    text = ["# Pitfalls: how VAE ports go wrong, and what notices", "", _INTRODUCTION, ""]
    for number, pitfall in PITFALLS.items():
        text += [f"## {number}: {pitfall.title}", ""]
        bugs = [bug for bug in BUGS.values() if bug.pitfall == number]
        text += [line for bug in bugs for line in _bug(bug)] or [f"Not graded: {pitfall.elsewhere}."]
        text.append("")
    return "\n".join(text)


def _bug(bug: Bug) -> Iterator[str]:
    links = ", ".join(f"[{report}]({link(report)})" for report in bug.reports)
    met = f" Met in {links}." if links else ""
    alike = f" Its answers may be those of {_code(bug.same_answers_as)}." if bug.same_answers_as else ""
    yield f"- **`{bug.id}`**: {bug.what} (clause `{bug.clause}`). *Fix:* {bug.fix}.{met}{alike}"
    for mutant in MUTANTS:
        if mutant.bug == bug.id:
            variant = f"{mutant.variant}: " if mutant.variant else ""
            yield f"  - {variant}rejected by {_code(mutant.rejected_by)}"
    if bug.no_mutant:
        yield f"  - no wrong implementation: {bug.no_mutant}"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


@click.command(cls=Command)
def main() -> None:
    """Write conformance/PITFALLS.md anew."""
    files.write_text(PAGE, page())
    click.echo(f"wrote {PAGE}")
