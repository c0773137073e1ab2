"""The results for the eye, in 80 columns: what schema.json describes, as tables and a few lines."""

from typing import Any

from rich.console import Console
from rich.table import Table

Json = dict[str, Any]


def show(report: Json, note: str, console: Console) -> None:
    """Prints a result file's content. `note` says what the images are."""
    short = _short_names([backend["module"] for backend in report["backends"]])
    for line in _head(report, note):
        console.print(line, soft_wrap=True)
    console.print(_training(report, short), "", _inference(report, short), "", _rest(report, short), sep="\n")


def _head(report: Json, note: str) -> list[str]:
    machine, software, protocol = report["machine"], report["software"], report["protocol"]
    memory = "" if machine["memory_bytes"] is None else f", {machine['memory_bytes'] / 2**30:.0f} GiB"
    commit = software["commit"]
    threads = ", ".join(f"{b['describe'].get('framework')} {b['describe'].get('version')}" for b in report["backends"])
    return [
        f"machine: {machine['cpu']}, {machine['usable_cores']} cores{memory}; {software['os']}",
        f"versions: {software['python']}, {threads}" + (f"; commit {commit[:12]}" if commit else ""),
        f"model: {'-'.join(map(str, protocol['sizes']))}, {protocol['dtype']}; data: {note}",
        f"medians (and quartiles) of {protocol['repetitions']} interleaved repetitions",
        "",
    ]


def _training(report: Json, short: dict[str, str]) -> Table:
    table = _table("training, images/s", "batch", "", "fit", "", "of roof", "train", "", "of roof")
    table.columns[1].justify = "left"
    for index, limit in enumerate(report["roofline"]["batches"]):
        flops, batch = limit["gflops_per_second"]["median"], str(limit["batch"])
        products = limit["images_per_second"]
        table.add_row(batch, "roofline", "", "", "", *_spread(products), "100 %")
        for backend in report["backends"]:
            found = backend["training"][index]
            cells = [_share(found[kind]) for kind in ("fit", "train")]
            table.add_row("", short[backend["module"]], *cells[0], *cells[1])
        table.add_section()
        table.caption = f"{table.caption or ''}batch {batch}: {flops:,.0f} GFLOP/s; "
    per_image = report["roofline"]["flops_per_image"] / 1e6
    table.caption = (
        f"roofline: NumPy's best float32 rate for the {per_image:.2f} MFLOP of matrix products that an image takes "
        f"({str(table.caption).removesuffix('; ')})"
    )
    return table


def _inference(report: Json, short: dict[str, str]) -> Table:
    table = _table("no training, images/s", "", "encode", "", "decode", "", "generate", "")
    for backend in report["backends"]:
        found = backend["inference"].values()
        cells = [cell for value in found for cell in (_spread(value) if value else ("-", ""))]
        table.add_row(short[backend["module"]], *cells)
    return table


def _rest(report: Json, short: dict[str, str]) -> Table:
    batches = [str(batch) for batch in report["protocol"]["batches"]]
    first = [f"first epoch\nat {batch}, s" for batch in batches]
    table = _table("once, and memory", "", *first, "import\ns", "of it the\nframework", "peak\nMiB")
    table.caption = "the first epoch includes compilation and the way of the images to the device"
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


def _table(title: str, *headings: str) -> Table:
    table = Table(
        title=title, box=None, padding=(0, 1, 0, 0), pad_edge=False, title_justify="left", caption_justify="left"
    )
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left", overflow="fold")
    return table


def _spread(value: Json) -> tuple[str, str]:
    return f"{value['median']:,.0f}", f"({_brief(value['q1'])}-{_brief(value['q3'])})"


def _share(found: Json) -> tuple[str, str, str]:
    return *_spread(found["images_per_second"]), f"{found['percent_of_roofline']['median']:.0f} %"


def _brief(value: float) -> str:
    """Three digits: 987, 24.1k, 1.05M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            scaled = value / size
            return f"{scaled:.{2 if scaled < 10 else 1 if scaled < 100 else 0}f}{letter}"
    return f"{value:.0f}"


def _short_names(modules: list[str]) -> dict[str, str]:
    """The last part of each dotted name, or all of it where two are alike."""
    last = [module.rpartition(".")[2] for module in modules]
    return {module: name if last.count(name) == 1 else module for module, name in zip(modules, last, strict=True)}
