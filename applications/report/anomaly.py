"""The section of anomaly detection, from the file that `vae evaluate anomaly` writes."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from vae_rosetta.applications.outputs import ANOMALY
from vae_rosetta.applications.report import charts
from vae_rosetta.applications.report.blocks import Block, Cell, Chart, Charts, Key, Note, Section, Table
from vae_rosetta.applications.report.charts import Line
from vae_rosetta.applications.report.results import problems
from vae_rosetta.applications.report.sources import read_result, reading
from vae_rosetta.applications.settings import Json

_METRICS: Final = {"auroc": "AUROC", "auprc": "AUPRC"}
_CHARTED: Final = "elbo"  # the score whose points are drawn beside the published ones


def section(path: Path) -> Section:
    """A chart and a table for each metric, by the digit left out, beside the published columns.

    Raises:
        FileNotFoundError, ValueError: the file is not there, or damaged.
    """
    result = read_result(path, path.name, [ANOMALY.format])
    blocks: list[Block] = []
    if result.content is not None:
        with reading(path):
            blocks += _blocks(result.content)
    return Section("anomaly", "Anomaly detection", blocks + problems([result]))


def _blocks(content: Json) -> Iterator[Block]:
    by_digit: dict[int, list[Json]] = {}
    for result in content["results"]:
        by_digit.setdefault(int(result["digit"]), []).append(result)
    digits = sorted(by_digit)
    drawn = [_chart(content, by_digit, metric) for metric in _METRICS]
    names = list(dict.fromkeys(str(column["name"]) for column in content["published"]))
    legend = [Key(f"this model ({_CHARTED})", 0), *(Key(name, style) for style, name in enumerate(names, 1))]
    data, seeds = content["data"]["name"], ", ".join(str(seed) for seed in content["seeds"])
    about = f"{data}; {content['model']}, epochs: {int(content['epochs'])}, seeds: {seeds}"
    yield Charts(drawn, legend, f"{about}. Protocol: {content['protocol']}.")
    scores = [_CHARTED, *(str(name) for name in content["mean"] if name != _CHARTED)]
    for metric, title in _METRICS.items():
        published = [column for column in content["published"] if column["metric"] == metric]
        rows = [_row(by_digit[digit], digit, scores, metric, published) for digit in digits]
        rows.append(_means(content, digits, scores, metric, published))
        heads = ["digit", "share", *scores[:1], *(f"{column['name']} (published)" for column in published), *scores[1:]]
        yield Table(f"{title} of each score by the digit left out; {about}", heads, rows)
    yield Note("share: of anomalies among the test images, which is the AUPRC of chance.")
    for source in dict.fromkeys(str(column["source"]) for column in content["published"]):
        of = dict.fromkeys(str(column["name"]) for column in content["published"] if column["source"] == source)
        yield Note(f"Published, {', '.join(of)}: {source}.")


def _row(
    results: Sequence[Json], digit: int, scores: Sequence[str], metric: str, published: Sequence[Json]
) -> list[str | Cell]:
    cells: list[str | Cell] = [str(digit), f"{float(results[0]['prevalence']):.3f}"]
    ours = [f"{_mean(results, name, metric):.3f}" for name in scores]
    theirs = [_optional(column["values"].get(str(digit))) for column in published]
    return [*cells, Cell(ours[0], "strong"), *theirs, *ours[1:]]


def _means(
    content: Json, digits: Sequence[int], scores: Sequence[str], metric: str, published: Sequence[Json]
) -> list[str | Cell]:
    ours = [_with_spread(content["mean"][name][metric]) for name in scores]
    theirs = []
    for column in published:
        values = [column["values"].get(str(digit)) for digit in digits]
        theirs.append("" if None in values else f"{np.mean(np.array(values, dtype=np.float64)):.3f}")
    return [Cell("mean", "strong"), "", ours[0], *theirs, *ours[1:]]


def _chart(content: Json, by_digit: Mapping[int, Sequence[Json]], metric: str) -> Chart:
    digits = np.array(sorted(by_digit), dtype=np.float64)
    ours = np.array([_mean(by_digit[int(digit)], _CHARTED, metric) for digit in digits])
    series = [Line("this model", 0, digits, ours)]
    names = list(dict.fromkeys(str(column["name"]) for column in content["published"]))
    for column in content["published"]:
        if column["metric"] == metric:
            values = [column["values"].get(str(int(digit)), np.nan) for digit in digits]
            style = 1 + names.index(str(column["name"]))
            series.append(Line(str(column["name"]), style, digits, np.array(values, dtype=np.float64)))
    title = f"{_METRICS[metric]} by the digit left out"
    said = ", ".join(f"{int(digit)}: {value:.2f}" for digit, value in zip(digits, ours, strict=True))
    about = f"{title}, score {_CHARTED}: {said}; published values are in the table"
    return Chart(title, charts.lines(series, "digit", _METRICS[metric], about, joined=False))


def _mean(results: Sequence[Json], name: str, metric: str) -> float:
    return float(np.mean([float(result["scores"][name][metric]["value"]) for result in results]))


def _with_spread(mean: Json) -> Cell:
    spread = mean.get("sd")
    return Cell(f"{float(mean['value']):.3f}" + ("" if spread is None else f" ± {float(spread):.3f}"), "strong")


def _optional(value: Any) -> str:
    return "" if value is None else f"{float(value):.3f}"
