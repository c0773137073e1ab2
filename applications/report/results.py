"""The sections of likelihood, sample quality and compression, from the files in runs' folders."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from vae_rosetta.applications.outputs import COMPRESSION, LIKELIHOOD, SAMPLES, Kind
from vae_rosetta.applications.report import charts
from vae_rosetta.applications.report.blocks import Block, Cell, Chart, Charts, Key, Note, Section, Table, number
from vae_rosetta.applications.report.charts import Bar
from vae_rosetta.applications.report.sources import Result, Shown, read_result, reading
from vae_rosetta.applications.settings import Json

_GENERAL: Final = 5  # the look of what is no model


def results_of(found: Sequence[Shown], kind: Kind) -> list[tuple[Shown, Result]]:
    """The results of that kind of every run that has some.

    Raises:
        ValueError: one is not JSON.
    """
    paths = [(run, run.folder / kind.file) for run in found]
    return [(run, read_result(path, run.label, [kind.format])) for run, path in paths if path.is_file()]


def likelihood(found: Sequence[Shown]) -> Section | None:
    """A column a run; None if no run has such a file."""
    read = results_of(found, LIKELIHOOD)
    if not read:
        return None
    shown = [(run, result.content) for run, result in read if result.content is not None]
    columns: list[dict[str, str | Cell]] = []
    sources: dict[str, str] = {}
    for run, content in shown:
        with reading(run.folder / LIKELIHOOD.file):
            columns.append(dict(_likelihood_column(content)))
            for anchor in content["published"]:
                low, high = float(anchor["low"]), float(anchor["high"])
                where = f"{anchor['source']}; {anchor['protocol']}"
                sources[f"-ELBO published: {low:.2f} to {high:.2f} nats. {where}"] = where
    blocks: list[Block] = []
    if columns:
        names = dict.fromkeys(name for column in columns for name in column)
        rows = [[name, *(column.get(name, "") for column in columns)] for name in names]
        caption = "Nats per image on held-out images, ± standard error; figures of different data do not compare"
        blocks.append(Table(caption, ["", *(run.label for run, _ in shown)], rows))
        charted = [_kl_of_latents(run, content) for run, content in shown]
        blocks.append(Charts(charted, (), "KL of each latent in falling order: what it tells about an image."))
    blocks += [Note(source) for source in sources]
    blocks += problems(result for _, result in read)
    return Section("likelihood", "Likelihood", blocks)


def samples(found: Sequence[Shown]) -> Section | None:
    """A table a run; None if no run has such a file."""
    read = results_of(found, SAMPLES)
    if not read:
        return None
    blocks: list[Block] = []
    about: dict[str, None] = {}  # what the sets are: the same for most runs
    for run, result in read:
        if result.content is not None:
            with reading(result.path):
                blocks.append(_samples(run, result.content))
                sets = result.content["sets"]
                about["; ".join(f"{each['name']}: {each['what']}" for each in sets) + "."] = None
    if blocks:
        blocks += map(Note, about)
        blocks.append(
            Note(
                "Measured in the features of a small classifier trained on the training images. Real images held out "
                "are the floor; what anyone could make without a model are the ceilings. No published figure is "
                "measured this way."
            )
        )
    return Section("samples", "Quality of samples", blocks + problems(result for _, result in read))


def compression(found: Sequence[Shown]) -> Section | None:
    """Bars for each run, and a table with a column for each; None if no run has such a file."""
    read = results_of(found, COMPRESSION)
    if not read:
        return None
    drawn: list[Chart] = []
    columns: list[dict[str, str | Cell]] = []
    notes: dict[str, None] = {}
    shown = [(run, result) for run, result in read if result.content is not None]
    for run, result in shown:
        with reading(result.path):
            content = result.content or {}
            drawn.append(_rates(run, content))
            columns.append(dict(_compression_column(content)))
            notes |= {f"Published: {figure['source']}.": None for figure in content["published"]}
    blocks: list[Block] = []
    if shown:
        legend = [*(Key(run.label, run.style) for run, _ in shown), Key("general compressors", _GENERAL)]
        legend += [Key("published", 0, "mark")] if notes else []
        blocks.append(Charts(drawn, legend, "Bits per pixel: less is better."))
        names = dict.fromkeys(name for column in columns for name in column)
        rows = [[name, *(column.get(name, "") for column in columns)] for name in names]
        blocks.append(Table("Bits per pixel, unless told otherwise", ["", *(run.label for run, _ in shown)], rows))
        blocks += map(Note, notes)
    return Section("compression", "Lossless compression", blocks + problems(result for _, result in read))


def problems(found: Iterable[Result]) -> list[Block]:
    """What could not be shown, and why."""
    return [Note(f"Not shown: {result.problem}.") for result in found if result.problem]


def _likelihood_column(content: Json) -> Iterator[tuple[str, str | Cell]]:
    yield "images", f"{int(content['images']):,}"
    yield "pixels", Cell(str(content["protocol"]), "text")
    elbo = content["negative_elbo"]
    yield "samples of z", f"{int(elbo['samples']):,}"
    yield "-ELBO", Cell(_figure(elbo), "strong")
    for anchor in content["published"]:
        if anchor["measure"] == "negative_elbo":
            yield "-ELBO, published", f"{float(anchor['low']):.2f} to {float(anchor['high']):.2f}"
    yield "reconstruction", _figure(content["reconstruction"])
    yield "KL", _figure(content["kl"])
    yield "-ELBO, bit/pixel", f"{float(elbo['bits_per_pixel']):.4f}"
    for weighted in content["importance_weighted"]:
        yield f"NLL, k = {int(weighted['k']):,}", Cell(_figure(weighted), "strong")
    latents = content["latents"]
    yield "active latents", f"{int(latents['active'])} of {len(latents['kl'])}"
    yield "computed by", Cell(str(content["backend"]), "text")


def _figure(found: Json) -> str:
    error = found["standard_error"]
    return number(float(found["nats"])) + ("" if error is None else f" ± {float(error):.2f}")


def _kl_of_latents(run: Shown, content: Json) -> Chart:
    with reading(run.folder / LIKELIHOOD.file):
        kl = sorted((float(value) for value in content["latents"]["kl"]), reverse=True)
    about = f"KL of each latent of {run.label}, falling from {kl[0]:.2f} to {kl[-1]:.2f} nats" if kl else "No latents"
    return Chart(run.label, charts.columns(kl, run.style, "latents", "nats", about))


def _samples(run: Shown, content: Json) -> Table:
    rows: list[list[str | Cell]] = []
    for each in content["sets"]:
        near, ratio = each["neighbourhoods"], each["ratio_to_floor"]
        rows.append(
            [
                str(each["name"]),
                Cell(number(float(each["frechet"]["distance"])), "strong"),
                _times(ratio.get("frechet")),
                *(f"{float(near[name]):.3f}" for name in ("precision", "recall", "density", "coverage")),
                f"{float(each['labels']['confidence']):.3f}",
                number(float(each["labels"]["chi_square"]), 1),
            ]
        )
    heads = [
        "images",
        "Fréchet",
        "x floor",
        "precision",
        "recall",
        "density",
        "coverage",
        "confidence",
        "χ² of classes",
    ]
    judge = content["judge"]
    return Table(
        f"{run.label}: {int(content['images']):,} samples beside as many real images; {content['protocol']}; judge "
        f"{judge['layers']}, right on {float(judge['accuracy']):.1%} of held-out images",
        heads,
        rows,
    )


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{float(ratio):,.2f}"


def _compression_rows(content: Json) -> list[tuple[str, float, float | None]]:
    """Name, bits per pixel and, where there is one, the published figure; the model's own first."""
    rates, elbo = content["bits_per_pixel"], content["negative_elbo_bits_per_pixel"]
    known = {str(figure["name"]): float(figure["bits_per_pixel"]) for figure in content["published"]}
    rows: list[tuple[str, float, float | None]] = [
        ("-ELBO, float network", float(elbo["float"]), None),
        ("-ELBO, integer network", float(elbo["integer"]), None),
        ("bits-back, net", float(rates["net"]), known.get("bits-back")),
        ("bits-back, the whole file", float(rates["gross"]), None),
    ]
    others = {str(name): float(value) for name, value in content["others_bits_per_pixel"].items()}
    return rows + [(name, value, known.get(name)) for name, value in sorted(others.items(), key=lambda item: item[1])]


def _rates(run: Shown, content: Json) -> Chart:
    rows, others = _compression_rows(content), content["others_bits_per_pixel"]
    found = [
        Bar(name, value, f"{value:.4f}", _GENERAL if name in others else run.style, mark=mark)
        for name, value, mark in rows
    ]
    about = f"Bits per pixel, {run.label}: " + "; ".join(f"{name} {value:.4f}" for name, value, _ in rows)
    return Chart(run.label, charts.bars(found, about))


def _compression_column(content: Json) -> Iterator[tuple[str, str | Cell]]:
    yield "images", Cell(f"{int(content['images']):,} of {content['data']['name']}, held out", "text")
    yield "pixels", Cell(str(content["protocol"]), "text")
    for name, value, published in _compression_rows(content):
        yield name, Cell(f"{value:.4f}", "strong") if name == "bits-back, net" else f"{value:.4f}"
        if published is not None:
            yield f"{name}, published", f"{published:.2f}"
    yield "with the weights", f"{float(content['bits_per_pixel']['with_weights']):.4f}"
    yield "net / -ELBO, a ratio", f"{float(content['net_over_negative_elbo']):.4f}"
    yield "integer / float network, a ratio", f"{float(content['integer_over_float']):.4f}"
    for name, value in content["images_per_second"].items():
        yield f"{name}, images/s", number(float(value), 0)
    yield "coded by", Cell(f"{content['backend']}, {content['coder']}", "text")
