"""`vae evaluate samples`: how good a model's samples are, without a download."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from vae_rosetta.applications import outputs
from vae_rosetta.applications import weights as trained
from vae_rosetta.applications.generation import comparison, judge, quality
from vae_rosetta.applications.generation.comparison import Measures, Reference
from vae_rosetta.applications.generation.judge import Judge
from vae_rosetta.applications.progress import counting
from vae_rosetta.applications.settings import Json
from vae_rosetta.applications.weights import Loaded
from vae_rosetta.shared import files, spec, stream
from vae_rosetta.shared.datasets import Dataset
from vae_rosetta.shared.version import project_version

PROTOCOL: Final = "grey pixels; bits are one draw of each pixel by its grey value"
_N: Final = 10_000
_SETS: Final = 6


def evaluate(
    *,
    weights: Path,
    data: str | None,
    data_dir: Path | None,
    n: int | None,
    seed: int,
    backend: str,
    device: str = "auto",
    out: Path | None = None,
    force: bool = False,
) -> None:
    """Measures n samples beside real images and both ceilings, prints tables, and writes them as JSON.

    Args:
        weights: a run's folder, or a file such as its `weights.safetensors`.
        data: as for `vae train`, with labels; default: those that the run was trained on.
        n: images in each set; default 10,000, or as many as are held out.
        out: default: `samples.json` in the run's folder, and nothing is written if `weights` is a file.

    Raises:
        FileNotFoundError: there are no such weights or data.
        ModuleNotFoundError: the backend's framework is not installed.
        OSError: `out` cannot be written.
        TypeError, ValueError: a bad argument or file; the message names it.
    """
    out = outputs.beside(weights, outputs.SAMPLES.file, out, force=force)
    stream.check_seed(seed)
    stored = trained.read(weights)
    images = stored.data(data, data_dir)
    if images.train_labels is None or images.test_labels is None:
        raise ValueError(
            f"data: got {images.name}, which has no labels; expected some, to train the judge of samples by"
        )
    n = comparison.check_n(min(_N, len(images.test)) if n is None else n, images)
    loaded = stored.load(backend, device=device)
    about, judging = _train_judge(images)
    click.echo(
        f"Judge: {about['layers']}, trained on {len(images.train):,} images in {about['seconds']:.0f} s; "
        f"{about['accuracy']:.2%} of {len(images.test):,} held out are right; SHA-256 {about['sha256'][:12]}"
    )
    reference = Reference(judging, images, images.train_labels, seed)
    with counting("measuring", _SETS) as done:
        measured = comparison.compare(loaded.model, reference, images, stored.sizes.latent_dim, n, seed, done)
    floor = measured[0]
    for table in _tables(measured, floor):
        Console(highlight=False).print(table)
    click.echo(f"{PROTOCOL}; seed {seed}; {stored.file} decoded by {loaded.by}")
    if out is not None:
        result = {
            **_identity(loaded, images, backend),
            "protocol": PROTOCOL,
            "seed": seed,
            "images": n,
            "judge": about,
            "sets": [_entry(each, floor) for each in measured],
        }
        files.write_text(out, json.dumps(result, indent=2) + "\n")
        click.echo(out)


def _train_judge(data: Dataset) -> tuple[Json, Judge]:
    """The judge, and what a result says of it."""
    started = time.perf_counter()
    labels, test_labels = data.train_labels, data.test_labels
    assert labels is not None  # checked by the caller,
    assert test_labels is not None  # as this
    with counting("training the judge", judge.STEPS) as done:
        trained = judge.train(data.train, labels, steps=judge.STEPS, progress=done)
    return {
        "layers": "-".join(map(str, trained.layers)),
        "features": trained.layers[1] - trained.idle,
        "seconds": round(time.perf_counter() - started, 1),
        "accuracy": trained.accuracy(data.test, test_labels),
        "images_held_out": len(data.test),
        "sha256": trained.sha256(),
    }, trained


def _identity(loaded: Loaded, data: Dataset, backend: str) -> Json:
    return {
        "format": outputs.SAMPLES.format,
        "project": project_version(),
        "spec": spec.VERSION,
        "weights": str(loaded.weights.file),
        "epochs": loaded.weights.run and loaded.weights.run.config.epochs_done,
        "sizes": loaded.weights.sizes._asdict(),
        "backend": backend,
        "framework": loaded.by,
        "data": {"name": data.name, "sha256": data.sha256, "train": len(data.train), "test": len(data.test)},
    }


def _entry(measured: Measures, floor: Measures) -> Json:
    """A set as `samples.json` has it; every number with the N that it is of."""
    ratio = comparison.ratios(measured, floor)
    labels = measured.labels
    return {
        "name": measured.name,
        "what": measured.what,
        "frechet": {"n": measured.n, "distance": measured.frechet},
        "neighbourhoods": {
            "n": measured.n_neighbourhoods,
            "k": quality.NEIGHBOURS,
            **measured.neighbourhoods._asdict(),
        },
        "labels": {
            "n": measured.n,
            "counts": labels.counts.tolist(),
            "chi_square": labels.chi_square,
            "degrees_of_freedom": len(labels.counts) - 1,
            "p": labels.p,
            "confidence": measured.confidence,
        },
        "nearest_training_image": {
            "n": measured.n_nearest,
            "median": measured.nearest_median,
            "percentile_1": measured.nearest_percentile,
        },
        "ratio_to_floor": ratio,
    }


def _tables(measured: Sequence[Measures], floor: Measures) -> list[Table]:
    """Three tables, for 80 columns: by the judge, in its feature space, and among the pixels."""
    judged = _table("By the judge", "N", "Frechet", "x floor", "chi-square", "p", "confidence")
    near = _table(
        f"In its features: neighbours, k = {quality.NEIGHBOURS}", "N", "precision", "recall", "density", "coverage"
    )
    pixels = _table("Distance to the nearest training image", "N", "median", "x floor", "1st percentile", "x floor")
    for each in measured:
        ratio: dict[str, Any] = comparison.ratios(each, floor)
        judged.add_row(
            each.name,
            f"{each.n:,}",
            f"{each.frechet:,.2f}",
            _times(ratio, "frechet"),
            f"{each.labels.chi_square:,.1f}",
            f"{each.labels.p:.2g}",
            f"{each.confidence:.3f}",
        )
        near.add_row(each.name, f"{each.n_neighbourhoods:,}", *(f"{value:.3f}" for value in each.neighbourhoods))
        pixels.add_row(
            each.name,
            f"{each.n_nearest:,}",
            f"{each.nearest_median:.2f}",
            _times(ratio, "nearest_median"),
            f"{each.nearest_percentile:.2f}",
            _times(ratio, "nearest_percentile"),
        )
    return [judged, near, pixels]


def _times(ratio: dict[str, float], name: str) -> str:
    return f"{ratio[name]:,.2f}" if name in ratio else ""


def _table(title: str, *headings: str) -> Table:
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="bold")
    table.add_column("images")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table
