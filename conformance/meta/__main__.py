"""`python -m vae_rosetta.conformance.meta`: the suite's own tools, for those who change it."""

import shutil
import textwrap
import time
from pathlib import Path
from typing import Final

import click

from vae_rosetta.conformance.meta import kill
from vae_rosetta.conformance.meta.kill import Verdict
from vae_rosetta.conformance.meta.mutants import MUTANTS
from vae_rosetta.conformance.meta.mutants.base import Mutant
from vae_rosetta.shared import files
from vae_rosetta.shared.bugs import BUGS
from vae_rosetta.shared.command_line import DONE, NO, CommandWithOthers

_HERE: Final = "vae_rosetta.conformance.meta"


@click.command(
    cls=CommandWithOthers,
    others={"seeds": f"{_HERE}.seeds:main", "pitfalls": f"{_HERE}.pitfalls:main"},
    examples=(
        "python -m vae_rosetta.conformance.meta --filter adam",
        "python -m vae_rosetta.conformance.meta seeds my_package.my_vae --seeds 20",
    ),
)
@click.option(
    "--filter", "part", default="", metavar="TEXT", help="Take mutants with TEXT in their name, bug, clause or tests."
)
@click.option("--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Write the matrix to FILE, too.")
def main(part: str, markdown: Path | None) -> int:
    """Run every wrong implementation against the tests that claim to reject it.

    The answer is yes if each is rejected by all tests that claim it, and the true oracle by none.
    """
    chosen = [mutant for mutant in MUTANTS if part in _searched(mutant)]
    if not chosen:
        raise ValueError(f"--filter: got {part!r}; expected a part of a mutant's name, bug, clause or tests")
    return report(chosen, markdown)


def report(mutants: list[Mutant], markdown: Path | None = None) -> int:
    """Judges the mutants, prints the matrix, writes it as Markdown where asked; the exit code."""
    started = time.perf_counter()
    width = shutil.get_terminal_size((110, 24)).columns
    alarms = kill.false_alarms(mutants)
    verdicts = []
    for mutant in mutants:
        verdicts.append(kill.judge(mutant))
        print(_row(verdicts[-1], width), flush=True)
    unsound = [verdict for verdict in verdicts if not verdict.sound]
    lines = [_fault(verdict) for verdict in unsound]
    lines += [f"FALSE ALARM: {alarm} rejects the true oracle" for alarm in alarms]
    pairs = sum(len(verdict.rejecting) for verdict in verdicts)
    lines.append(
        f"{len(verdicts) - len(unsound)} of {len(verdicts)} mutants rejected by all that claim them "
        f"({pairs} rejections), {len(alarms)} false alarms on the true oracle, {time.perf_counter() - started:.0f} s"
    )
    print("\n".join(lines))
    if markdown is not None:
        files.write_text(markdown, _markdown(verdicts, lines))
    return NO if unsound or alarms else DONE


def _searched(mutant: Mutant) -> str:
    bug = BUGS[mutant.bug]
    return " ".join((mutant.name, bug.what, bug.pitfall, bug.clause, *bug.reports, *mutant.rejected_by))


def _row(verdict: Verdict, width: int) -> str:
    mutant = verdict.mutant
    bug = BUGS[mutant.bug]
    mark = "" if verdict.sound else " !"
    where = "" if mutant.dtype == "float32" else f" in {mutant.dtype}"
    rejecting = ", ".join(verdict.rejecting) or "NOTHING"
    text = f"{bug.pitfall}, {bug.clause}; rejected by {rejecting}{where}{mark}"
    wrapped = textwrap.fill(text, max(width, 60) - 4, break_long_words=False, break_on_hyphens=False)
    return f"{mutant.name}\n{textwrap.indent(wrapped, '    ')}"


def _fault(verdict: Verdict) -> str:
    mutant = verdict.mutant
    parts = [] if verdict.rejecting else ["SURVIVES"]
    parts += [f"claimed by {test}, which does not reject it" for test in verdict.silent]
    parts += [f"rejected by {test} too, though only {mutant.rejected_by[0]} is said to" for test in verdict.strangers]
    return f"{mutant.name}: {'; '.join(parts)}"


def _markdown(verdicts: list[Verdict], lines: list[str]) -> str:
    rows = [
        f"| `{m.bug}` | {m.variant} | {BUGS[m.bug].pitfall} | `{BUGS[m.bug].clause}` | {m.dtype} | "
        f"{', '.join(f'`{test}`' for test in verdict.rejecting)} | {verdict.seconds:.2f} |"
        for verdict in verdicts
        for m in (verdict.mutant,)
    ]
    head = [
        "# Kill matrix",
        "",
        "| bug | variant | pitfall | clause | precision | rejected by | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows, "", *lines, ""])


if __name__ == "__main__":
    main()
