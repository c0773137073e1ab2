"""The results for the eye, in 80 columns: what schema.json describes, as tables and a few lines.

Results of format 3 and before have one roofline, the products alone; later ones two.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from vae_rosetta.benchmarks.comparison import Ratio
from vae_rosetta.benchmarks.cores import apart
from vae_rosetta.benchmarks.profiles.operations import Profile

Json = dict[str, Any]

_BUSY: Final = 5.0  # percent of the CPU time in other hands from which on a reader is warned


def show(report: Json, note: str, console: Console) -> None:
    """Prints a result file's content. `note` says what the images are."""
    short = short_names([backend["module"] for backend in report["backends"]])
    for line in _head(report, note):
        console.print(line)
    for part in (_training(report, short), _roofline(report), _inference(report, short), _rest(report, short)):
        console.print("", part, sep="\n")
    if report["protocol"]["target"] is not None:
        console.print("", _target(report, short), sep="\n")
    if report["peers"]:
        console.print("\npeers: not graded, since none computes exactly what the specification says")
    for line in _peers(report):
        console.print(line)


def _head(report: Json, note: str) -> Iterator[str]:
    machine, software, protocol = report["machine"], report["software"], report["protocol"]
    memory = "" if machine["memory_bytes"] is None else f", {machine['memory_bytes'] / 2**30:.0f} GiB"
    yield f"machine: {machine['cpu']}, {machine['usable_cores']} cores{memory}; {software['os']}"
    frameworks = [backend["describe"] for backend in report["backends"]]
    versions = [f"{describe.get('framework', '?')} {describe.get('version', '?')}" for describe in frameworks]
    commit = "" if software["commit"] is None else f"; commit {software['commit'][:12]}"
    yield f"versions: {software['python']}, {', '.join(versions)}{commit}"
    yield f"model: {'-'.join(map(str, protocol['sizes']))}, {protocol['dtype']}; data: {note}"
    yield f"medians (and quartiles) of {protocol['repetitions']} interleaved repetitions"
    if (machine["others_percent"] or 0.0) > _BUSY:
        yield f"noisy: other processes took {machine['others_percent']:.0f} % of the CPU time meanwhile"
    parted = [apart(turn.get("round_trip_ns"), machine.get("nearest_round_trip_ns")) for turn in report["turns"]]
    if any(parted):
        yield f"noisy: the machine's cores were far apart in {sum(parted)} of {len(parted)} turns"


def _training(report: Json, short: dict[str, str]) -> Table:
    table = _table("training, images/s", "batch", "", "fit", "", "shares", "train", "", "shares")
    table.columns[1].justify = "left"
    for index, limit in enumerate(report["roofline"]["batches"]):
        table.add_row(str(limit["batch"]), "products", "", "", "", *_spread(limit["images_per_second"]), "100 %")
        if "with_adam" in limit:
            both = limit["with_adam"]["images_per_second"]
            share = 100.0 * both["median"] / limit["images_per_second"]["median"]
            table.add_row("", "and Adam", "", "", "", *_spread(both), f"{share:.0f}/100 %")
        for backend in report["backends"]:
            found = backend["training"][index]
            table.add_row("", short[backend["module"]], *_share(found["fit"]), *_share(found["train"]))
        for peer in report["peers"]:
            table.add_row("", peer["name"], *_share(peer["training"][index]["fit"]), "-", "", "")
    return table


def _roofline(report: Json) -> str:
    roofline = report["roofline"]
    rates = [
        f"{limit['gflops_per_second']['median']:,.0f} at {limit['batch']} ({limit['fastest'].partition(':')[2]})"
        for limit in roofline["batches"]
    ]
    text = (
        "products: the float32 matrix products alone, by the fastest of "
        f"{', '.join(name.partition(':')[2] for name in roofline['libraries'])}: "
        f"{roofline['flops_per_image'] / 1e6:.3g} MFLOP an image, at best in a turn; GFLOP/s: {', '.join(rates)}\n"
        f"each at {', '.join(str(limit['batch']) for limit in roofline['batches'])}: {'; '.join(_by_library(roofline))}"
    )
    if "adam_bytes" not in roofline:
        return text
    adam = [limit["with_adam"] for limit in roofline["batches"]]
    streams = [f"{one['gigabytes_per_second']['median']:,.0f} ({one['fastest'].partition(':')[2]})" for one in adam]
    return (
        f"{text}\nand Adam: the products, and then the {roofline['adam_bytes'] / 1e6:.3g} MB that Adam reads and "
        f"writes in a step: the limit that can be reached; GB/s: {', '.join(streams)}\n"
        "shares: percent of the products alone / of the products and Adam's bytes"
    )


def _by_library(roofline: Json) -> Iterator[str]:
    """What each library makes of the products alone, in GFLOP/s."""
    for name in roofline["libraries"]:
        rates = (limit["median_images_per_second"][name] * roofline["flops_per_image"] for limit in roofline["batches"])
        yield f"{name.partition(':')[2]} {', '.join(f'{rate / 1e9:,.0f}' for rate in rates)}"


def _peers(report: Json) -> Iterator[str]:
    for peer in report["peers"]:
        versions = ", ".join(f"{name} {version}" for name, version in peer["packages"].items())
        objective = peer["training"][0]["first_epoch_objective"]
        yield f"{peer['name']} ({versions}), {objective:.1f} nats in the first epoch; differs: {peer['differs']}"


def _inference(report: Json, short: dict[str, str]) -> Table:
    table = _table("inference, images/s", "", "encode", "", "decode", "", "generate", "")
    for backend in report["backends"]:
        found = backend["inference"].values()
        table.add_row(short[backend["module"]], *(cell for value in found for cell in _spread(value)))
    return table


def _rest(report: Json, short: dict[str, str]) -> Table:
    first = [f"first epoch\nat {batch}, s" for batch in report["protocol"]["batches"]]
    table = _table("start and memory", "", *first, "import\ns", "framework\nalone, s", "peak memory\nMiB")
    for backend in report["backends"]:
        imports, peak = backend["import_seconds"], backend["peak_memory_bytes"]
        framework = imports["framework"]
        table.add_row(
            short[backend["module"]],
            *(f"{found['first_epoch_seconds']:.2f}" for found in backend["training"]),
            f"{imports['module']['median']:.2f}",
            "-" if framework is None else f"{framework['median']:.2f}",
            "-" if peak is None else f"{peak / 2**20:,.0f}",
        )
    return table


def _target(report: Json, short: dict[str, str]) -> Table:
    wanted = report["protocol"]["target"]
    table = _table(f"from process start to a test loss of {wanted:g} nats", "", "s", "", "epochs")
    named = [(short[backend["module"]], backend["target"]) for backend in report["backends"]]
    for name, found in named + [(peer["name"], peer["target"]) for peer in report["peers"]]:
        if found is not None:
            spread = found["seconds"]
            epochs = ", ".join(map(str, dict.fromkeys(found["epochs"])))
            table.add_row(name, f"{spread['median']:.1f}", f"({spread['q1']:.1f}-{spread['q3']:.1f})", epochs)
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left", overflow="fold")
    return table


def _spread(value: Json | None) -> tuple[str, str]:
    if value is None:  # no such ability
        return "-", ""
    return f"{value['median']:,.0f}", f"({_brief(value['q1'])}-{_brief(value['q3'])})"


def _share(found: Json) -> tuple[str, str, str]:
    return *_spread(found["images_per_second"]), of_limits(found)


def of_limits(found: Json) -> str:
    """Shares of the rooflines, as far as they are known: of the products alone, and of products and Adam's bytes."""
    known = [found[name] for name in ("percent_of_roofline", "percent_of_roofline_with_adam") if name in found]
    return f"{'/'.join(format(share['median'], '.0f') for share in known)} %"


def _brief(value: float) -> str:
    """Three digits: 987, 24.1k, 1.05M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.{2 if value < 10 * size else 1 if value < 100 * size else 0}f}{letter}"
    return f"{value:.0f}"


def short_names(modules: list[str]) -> dict[str, str]:
    """The last part of each dotted name, or all of it where two are alike."""
    last = [module.rpartition(".")[2] for module in modules]
    return {module: name if last.count(name) == 1 else module for module, name in zip(modules, last, strict=True)}


def show_profile(name: str, found: Profile, console: Console) -> None:
    """Prints the operations that make up 95 % of the time, and the rest in one line."""
    total = sum(operation.seconds for operation in found.operations)
    table = _table(f"{name}: {found.seconds / found.steps * 1e3:.3f} ms a step", "operation", "ms a step", "share")
    shown = 0.0
    for operation in found.operations:
        if shown > 0.95 * total:
            break
        shown += operation.seconds
        table.add_row(operation.name[:48], *_spent(operation.seconds, total, found.steps))
    table.add_row("the rest", *_spent(total - shown, total, found.steps))
    table.add_row("all threads together", *_spent(total, total, found.steps))
    console.print(table)


def _spent(seconds: float, total: float, steps: int) -> tuple[str, str]:
    return f"{seconds / steps * 1e3:.3f}", f"{100 * seconds / total:.1f} %"


def show_comparison(ratios: Sequence[Ratio], title: str, drift: float | None, console: Console) -> None:
    """Prints ratios; `drift` is that of the machine between two runs."""
    short = short_names(list(dict.fromkeys(ratio.participant for ratio in ratios)))
    table = _table(title, "", "measure", "batch", "ratio", "interval", "")
    for column in (1, 5):
        table.columns[column].justify = "left"
    for ratio in ratios:
        batch = "" if ratio.batch is None else str(ratio.batch)
        interval = f"{ratio.low:.3f} to {ratio.high:.3f}"
        measure = ratio.measure.replace("_", " ")
        table.add_row(short[ratio.participant], measure, batch, f"{ratio.ratio:.3f}", interval, ratio.verdict)
    console.print(table)
    if drift is not None:
        console.print(
            f"\nThe machine itself (matrix products alone) was {drift:.3f} times as fast in the second run; the ratios "
            "above are without it.",
            highlight=False,
        )
