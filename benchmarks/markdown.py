"""The results as a Markdown table for a page: training at every batch size, first epoch, import, time to the target."""

from collections.abc import Iterator
from typing import Any

from vae_rosetta.benchmarks.table import of_limits, short_names

Json = dict[str, Any]


def text(report: Json) -> str:
    """The table of a result file."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Json) -> Iterator[str]:
    batches, target = report["protocol"]["batches"], report["protocol"]["target"]
    heads = ["images/s"]
    for batch in batches:
        heads += [f"`fit`, batch {batch}", "`train` alone"]
    heads += ["first epoch, s", "import, s"]
    if target is not None:
        heads.append(f"to {target:g} nats, s")
    yield _row(heads)
    yield _row(["---", *["---:"] * (len(heads) - 1)])
    rooflines = report["roofline"]["batches"]
    yield _limit("limit: the products alone", rooflines, len(heads))
    if "adam_bytes" in report["roofline"]:
        yield _limit("limit: the products and Adam's bytes", [limit["with_adam"] for limit in rooflines], len(heads))
    short = short_names([backend["module"] for backend in report["backends"]])
    for backend in report["backends"]:
        framework = backend["describe"]
        cells = [_share(training[kind]) for training in backend["training"] for kind in ("fit", "train")]
        cells += [_seconds(backend["training"][0]["first_epoch_seconds"])]
        cells += [_seconds(backend["import_seconds"]["module"]["median"])]
        yield _row([f"**{short[backend['module']]}** ({framework['version']})", *cells, *_target(backend, target)])
    for peer in report["peers"]:
        cells = [cell for training in peer["training"] for cell in (_share(training["fit"]), "")]
        yield _row(
            [peer["name"], *cells, _seconds(peer["training"][0]["first_epoch_seconds"]), "", *_target(peer, target)]
        )


def _limit(name: str, limits: list[Json], columns: int) -> str:
    cells = [cell for limit in limits for cell in ("", _rate(limit["images_per_second"]))]
    return _row([name, *cells, *[""] * (columns - 1 - len(cells))])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rate(spread: Json) -> str:
    return f"{spread['median']:,.0f}"


def _share(found: Json) -> str:
    return f"{_rate(found['images_per_second'])} ({of_limits(found)})"


def _seconds(value: float) -> str:
    return f"{value:.2f}"


def _target(participant: Json, target: float | None) -> list[str]:
    if target is None:
        return []
    return [f"{participant['target']['seconds']['median']:.1f}" if participant["target"] else ""]
