"""The tables of `vae evaluate anomaly`."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from vae_rosetta.applications.settings import Json

_HEADINGS: Final[Mapping[str, str]] = {
    "elbo": "elbo",
    "elbo-deviance": "elbo dev",
    "reconstruction-at-mean": "at mean",
    "reconstruction-log-prob": "log prob",
    "reconstruction-log-mean-prob": "log mean",
    "iwae-k": "iwae k",
    "pca-20": "pca 20",
    "ink": "ink",
}
_TITLES: Final[Mapping[str, str]] = {"auroc": "AUROC", "auprc": "AUPRC"}


def line(result: Json, seconds: float) -> str:
    """What one digit came to."""
    auroc = result["scores"]["elbo"]["auroc"]
    interval = f"{auroc['low']:.3f} to {auroc['high']:.3f}"
    return f"without {result['digit']}, seed {result['seed']}: AUROC {auroc['value']:.3f} ({interval}), {seconds:.0f} s"


def print_tables(written: Json) -> None:
    """Prints AUROC and AUPRC by digit, the published columns beside ours."""
    console = Console(highlight=False, markup=False)
    for metric, title in _TITLES.items():
        console.print()
        console.print(_table(written, metric, title))
    console.print()
    console.print(
        f"{written['protocol']}; {written['model']}, {written['epochs']} epochs, {len(written['seeds'])} seed(s), "
        f"{written['samples']} samples. rate: of anomalies, the AUPRC of chance. ink: mean pixel; 1 minus its AUROC "
        "is that of its absence."
    )
    for source in dict.fromkeys(column["source"] for column in written["published"]):
        names = dict.fromkeys(column["name"] for column in written["published"] if column["source"] == source)
        console.print(f"{', '.join(names)}: {source}.")


def _table(written: Json, metric: str, title: str) -> Table:
    published = [column for column in written["published"] if column["metric"] == metric]
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("digit", "rate", *_HEADINGS.values(), *(column["name"] for column in published)):
        table.add_column(heading, justify="right")
    digits = sorted({result["digit"] for result in written["results"]})
    for digit in digits:
        own = [result for result in written["results"] if result["digit"] == digit]
        cells = [_mean(own, name, metric) for name in _HEADINGS]
        theirs = [column["values"].get(str(digit)) for column in published]
        table.add_row(str(digit), _number(own[0]["prevalence"]), *map(_number, cells), *map(_number, theirs))
    means = [written["mean"][name][metric]["value"] for name in _HEADINGS]
    theirs = [_mean_over(column["values"], digits) for column in published]
    table.add_section()
    table.add_row("mean", "", *map(_number, means), *map(_number, theirs))
    spread = [written["mean"][name][metric]["sd"] for name in _HEADINGS]
    if spread[0] is not None:
        table.add_row("sd", "", *map(_number, spread), *("" for _ in published))
    return table


def _mean(results: list[Json], name: str, metric: str) -> float:
    return float(np.mean([result["scores"][name][metric]["value"] for result in results]))


def _mean_over(values: Mapping[str, float], digits: list[int]) -> float | None:
    """The mean over the digits of the table; None where one was not published."""
    found: list[Any] = [values.get(str(digit)) for digit in digits]
    return None if None in found else float(np.mean(found))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}".removeprefix("0")
