"""A run for the eye: a line for each finding, and one for each part that has no more to say."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vae_rosetta.benchmarks.gpu.run import DONE, Outcome


def show(outcomes: Sequence[Outcome], console: Console) -> None:
    """Prints the whole table, and what the speeds mean."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for outcome in outcomes:
        table.add_row(f"[bold]{outcome.part.name}[/]", "", "")
        for what, value, note in _lines(outcome):
            table.add_row(f"  {what}", value, note)
    console.print(table)
    for line in shares(outcomes):
        console.print(line)


def _lines(outcome: Outcome) -> Iterator[tuple[str, str, str]]:
    for finding in outcome.findings:
        wrong = "[bold red]WRONG[/] " if finding["good"] is False else ""
        value = f"{_number(finding['value'])} {finding['unit']}".rstrip()
        yield finding["what"], value, wrong + escape(finding["note"])
    if outcome.state != DONE:
        yield outcome.state, "", escape(outcome.why)


def _number(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def shares(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """How each port's `fit` compares with the listing's loop and the products alone, a line for each batch size."""
    rates = {
        (outcome.part.kind, outcome.part.name, finding["what"]): float(finding["value"])
        for outcome in outcomes
        for finding in outcome.findings
        if finding["unit"] == "images/s" and finding["what"].startswith("batch ")
    }
    for (kind, name, what), rate in rates.items():
        batch, _, measure = what.partition(": ")
        if kind != "throughput" or measure != "fit":
            continue
        dtype = "bfloat16" if "mixed" in name else "float32"
        listing = rates.get(("listing", "listing torch", what))
        limits = [
            r for (k, _, w), r in rates.items() if k == "products" and w.startswith(f"{batch}: products, {dtype}")
        ]
        compared = [f"{rate / listing:.1f} times the listing's loop"] if listing else []
        compared += [f"{100 * rate / max(limits):.0f} % of the products"] if limits else []
        if compared:
            yield f"{name.removeprefix('throughput ')}, {batch}: fit is {', '.join(compared)}"
