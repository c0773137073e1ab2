"""The section of speed, from the results that `vae bench` writes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from vae_rosetta.applications.report import charts
from vae_rosetta.applications.report.blocks import Block, Chart, Charts, Note, Section, Table, number
from vae_rosetta.applications.report.charts import Bar
from vae_rosetta.applications.report.results import problems
from vae_rosetta.applications.report.sources import read_result, reading
from vae_rosetta.applications.settings import Json

# Of benchmarks/schema.json: 2 has peers, and a target; 3 says how near two cores were; 4 has a second limit.
FORMATS: Final = (1, 2, 3, 4)
_NEEDED: Final = ("machine", "protocol", "roofline", "backends")
_GREY: Final = 5  # the look of what is no backend
_BUSY: Final = 5.0  # percent of the CPU time in other hands from which on a reader is warned


def section(path: Path) -> Section:
    """A chart for each batch size and a table.

    Raises:
        FileNotFoundError, ValueError: the file is not there, or damaged.
    """
    result = read_result(path, path.name, FORMATS, _NEEDED)
    blocks: list[Block] = []
    if result.content is not None:
        with reading(path):
            blocks += _blocks(result.content)
    return Section("speed", "Speed", blocks + problems([result]))


def _blocks(content: Json) -> Iterator[Block]:
    machine, protocol = content["machine"], content["protocol"]
    batches = [int(batch) for batch in protocol["batches"]]
    about = (
        f"{machine['cpu']}, {machine['usable_cores']} cores; {'-'.join(map(str, protocol['sizes']))}, "
        f"{protocol['dtype']}; medians and quartiles of {protocol['repetitions']} interleaved repetitions. The limit "
        "is the model's matrix products alone, by the fastest library at hand."
    )
    yield Charts([_chart(content, index, batch) for index, batch in enumerate(batches)], (), about)
    others = machine.get("others_percent")
    if others is not None and float(others) > _BUSY:
        yield Note(f"Noisy: other processes took {float(others):.0f} % of the machine's CPU time meanwhile.")
    yield _table(content, batches)
    for peer in content.get("peers", []):
        yield Note(f"{peer['name']} is not graded; it differs: {peer['differs']}.")
    for refused in content.get("refused", []):
        yield Note(f"Not measured: {refused['module']}: {refused['reason']}")


def _chart(content: Json, index: int, batch: int) -> Chart:
    bars = [
        _bar(_short(backend), backend["training"][index]["fit"], style)
        for style, backend in enumerate(content["backends"])
    ]
    bars += [_bar(str(peer["name"]), peer["training"][index]["fit"], _GREY) for peer in content.get("peers", [])]
    limit = content["roofline"]["batches"][index]["images_per_second"]
    bars.append(Bar("limit", float(limit["median"]), number(float(limit["median"]), 0), _GREY))
    said = "; ".join(f"{bar.label} {bar.text}" for bar in bars)
    return Chart(f"Training at batch {batch}, images/s", charts.bars(bars, f"Images a second at batch {batch}: {said}"))


def _bar(name: str, fit: Json, style: int) -> Bar:
    rate, share = fit["images_per_second"], float(fit["percent_of_roofline"]["median"])
    text = f"{number(float(rate['median']), 0)} ({share:.0f} %)"
    return Bar(name, float(rate["median"]), text, style, float(rate["q1"]), float(rate["q3"]))


def _table(content: Json, batches: list[int]) -> Table:
    target = content["protocol"].get("target")
    heads = ["images/s"]
    for batch in batches:
        heads += [f"fit, batch {batch}", f"train alone, batch {batch}"]
    heads += ["encode", "decode", "generate", "first epoch, s", "import, s"]
    heads += [f"to {float(target):g} nats, s"] if target is not None else []
    rows = []
    for backend in content["backends"]:
        cells = [
            _median(training[kind]["images_per_second"])
            for training in backend["training"]
            for kind in ("fit", "train")
        ]
        cells += [_median(backend["inference"][kind]) for kind in ("encode", "decode", "generate")]
        cells.append(f"{float(backend['training'][0]['first_epoch_seconds']):.2f}")
        cells.append(f"{float(backend['import_seconds']['module']['median']):.2f}")
        about = backend["describe"]
        rows.append([f"{about.get('framework', '?')} {about.get('version', '?')}", *cells, *_target(backend, target)])
    for peer in content.get("peers", []):
        cells = [cell for t in peer["training"] for cell in (_median(t["fit"]["images_per_second"]), "")]
        cells += ["", "", "", f"{float(peer['training'][0]['first_epoch_seconds']):.2f}", ""]
        rows.append([str(peer["name"]), *cells, *_target(peer, target)])
    return Table(
        "Medians; fit is the whole recipe with its random numbers, train alone the framework's part", heads, rows
    )


def _short(backend: Json) -> str:
    return str(backend["module"]).rpartition(".")[2].removesuffix("_vae")


def _median(spread: Any) -> str:
    return "" if spread is None else number(float(spread["median"]), 0)


def _target(participant: Json, target: Any) -> list[str]:
    if target is None:
        return []
    found = participant.get("target")
    return [f"{float(found['seconds']['median']):.1f}" if found else ""]
