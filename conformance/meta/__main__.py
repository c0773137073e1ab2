"""`python -m conformance.meta`: the kill matrix; `python -m conformance.meta seeds MODULE`: fresh cases for a backend.

usage: python -m conformance.meta [--filter TEXT] [--markdown FILE]
       python -m conformance.meta seeds MODULE [--seeds N] [--first SEED] [--device auto|cpu|cuda]
       python -m conformance.meta pitfalls

The first form puts every wrong implementation before the tests that claim to reject it. Exit code 0: all are rejected,
by all that claim them, and the true oracle by none; 1: not so; 2: usage.
"""

import argparse
import shutil
import sys
import textwrap
import time
from pathlib import Path

from vae_rosetta.conformance.meta import kill, pitfalls, seeds
from vae_rosetta.conformance.meta.kill import Verdict
from vae_rosetta.conformance.meta.mutants import MUTANTS
from vae_rosetta.conformance.meta.mutants.base import Mutant
from vae_rosetta.shared import files

_NAMES = 30  # columns for a mutant's name


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    match arguments[:1]:
        case ["seeds"]:
            return seeds.main(arguments[1:])
        case ["pitfalls"]:
            files.write_text(pitfalls.PAGE, pitfalls.page())
            print(f"wrote {pitfalls.PAGE}")
            return 0
    parser = argparse.ArgumentParser(
        prog="python -m conformance.meta", usage=(__doc__ or "").split("usage: ")[1], add_help=True
    )
    parser.add_argument("--filter", default="", metavar="TEXT", help="mutants with TEXT in name, bug, clause or tests")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the matrix there too")
    options = parser.parse_args(arguments)
    chosen = [mutant for mutant in MUTANTS if options.filter in _searched(mutant)]
    if not chosen:
        parser.error(f"--filter: got {options.filter!r}; expected a part of a mutant's name, bug, clause or tests")
    return report(chosen, options.markdown)


def report(mutants: list[Mutant], markdown: Path | None = None) -> int:
    """Judges the mutants, prints the matrix, writes it as Markdown where asked; the exit code."""
    started = time.perf_counter()
    width = shutil.get_terminal_size((110, 24)).columns
    alarms = kill.false_alarms(mutants)
    verdicts = []
    print(f"{'mutant':<{_NAMES}} pit  clause, source: rejected by")
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
    return 1 if unsound or alarms else 0


def _searched(mutant: Mutant) -> str:
    return " ".join((mutant.name, mutant.bug, mutant.pitfall, mutant.clause, mutant.source, *mutant.rejected_by))


def _row(verdict: Verdict, width: int) -> str:
    mutant = verdict.mutant
    mark = "" if verdict.sound else " !"
    where = "" if mutant.dtype == "float32" else f" in {mutant.dtype}"
    rejecting = ", ".join(verdict.rejecting) or "NOTHING"
    text = f"{mutant.pitfall}  {mutant.clause}, {mutant.source}: {rejecting}{where}{mark}"
    indent = " " * (_NAMES + 6)
    wrapped = textwrap.wrap(
        text, max(width, 60) - _NAMES - 1, subsequent_indent="     ", break_long_words=False, break_on_hyphens=False
    )
    return f"{mutant.name:<{_NAMES}} " + f"\n{indent[:-5]}".join(wrapped)


def _fault(verdict: Verdict) -> str:
    mutant = verdict.mutant
    parts = [] if verdict.rejecting else ["SURVIVES"]
    parts += [f"claimed by {test}, which does not reject it" for test in verdict.silent]
    parts += [f"rejected by {test} too, though only {mutant.rejected_by[0]} is said to" for test in verdict.strangers]
    return f"{mutant.name} ({mutant.bug}): {'; '.join(parts)}"


def _markdown(verdicts: list[Verdict], lines: list[str]) -> str:
    rows = [
        f"| `{m.name}` | {m.bug} | {m.pitfall} | `{m.clause}` | {m.source} | {m.dtype} | "
        f"{', '.join(f'`{test}`' for test in verdict.rejecting)} | {verdict.seconds:.2f} |"
        for verdict in verdicts
        for m in (verdict.mutant,)
    ]
    head = [
        "# Kill matrix",
        "",
        "| mutant | bug | pitfall | clause | source | precision | rejected by | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows, "", *lines, ""])


if __name__ == "__main__":
    sys.exit(main())
