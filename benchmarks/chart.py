"""The results as a picture: images a second by participant and batch size, and the rooflines as lines across."""

import os
from typing import Any, Final

from vae_rosetta.benchmarks.table import of_limits, short_names
from vae_rosetta.shared import files

Json = dict[str, Any]

_COLOURS: Final = ("#3b6fb6", "#d9822b", "#4b9a5f", "#8a63a8", "#a8574b")  # of the backends
_PEER: Final = "#9aa0a6"


def save(report: Json, path: str | os.PathLike[str]) -> None:
    """Writes the chart of a result file, a .png or .svg, atomically.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # a figure of its own: no pyplot, no display, no state

    batches = report["protocol"]["batches"]
    figure = Figure(figsize=(2.0 + 3.0 * len(batches), 4.4), layout="constrained")
    panels = figure.subplots(1, len(batches), sharey=True, squeeze=False)[0]
    for index, (axes, batch) in enumerate(zip(panels, batches, strict=True)):
        _panel(axes, report, index)
        axes.set_title(f"batch {batch}", fontsize="medium")
    panels[0].set_ylabel("images a second, training")
    machine, dtype = report["machine"], report["protocol"]["dtype"]
    figure.suptitle(f"fit, 784-400-20, {dtype}; {machine['cpu']}, {machine['usable_cores']} cores", fontsize="medium")
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _panel(axes: Any, report: Json, index: int) -> None:
    """One batch size."""
    short = short_names([backend["module"] for backend in report["backends"]])
    bars = [
        (short[backend["module"]].removesuffix("_vae"), backend["training"][index]["fit"], colour)
        for backend, colour in zip(report["backends"], _COLOURS * len(report["backends"]), strict=False)
    ]
    bars += [(peer["name"], peer["training"][index]["fit"], _PEER) for peer in report["peers"]]
    rates = [fit["images_per_second"] for _, fit, _ in bars]
    medians = [rate["median"] for rate in rates]
    spreads = [[rate["median"] - rate["q1"] for rate in rates], [rate["q3"] - rate["median"] for rate in rates]]
    places = range(len(bars))
    axes.bar(places, medians, yerr=spreads, color=[colour for *_, colour in bars], capsize=3, ecolor="#333333")
    for place, (_, fit, _) in zip(places, bars, strict=True):
        axes.text(place, 0, of_limits(fit), ha="center", va="bottom", fontsize="x-small", color="white")
    limit = report["roofline"]["batches"][index]
    lines = {f"matrix products alone ({limit['fastest'].partition(':')[2]})": limit["images_per_second"]["median"]}
    if "with_adam" in limit:
        lines["products and Adam's bytes"] = limit["with_adam"]["images_per_second"]["median"]
    for (label, rate), style, side in zip(lines.items(), ("--", ":"), ("bottom", "top"), strict=False):
        axes.axhline(rate, color="#333333", linestyle=style, linewidth=1)
        axes.text(len(bars) - 0.5, rate, label, ha="right", va=side, fontsize="x-small")
    axes.set_ylim(0, 1.12 * max(*lines.values(), *(r["q3"] for r in rates)))
    axes.set_xticks(list(places), [name for name, *_ in bars], rotation=40, ha="right", fontsize="small")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
