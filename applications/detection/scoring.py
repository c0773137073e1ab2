"""`vae score`: scores a file of images of any size, and tells which are above a threshold from normal data."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from vae_rosetta.applications import outputs, pictures, runs, versions, weights
from vae_rosetta.applications.detection import scores, threshold, writers
from vae_rosetta.applications.detection.rows import Part, RawPart, Source
from vae_rosetta.applications.detection.scores import Scores
from vae_rosetta.applications.detection.sources import is_table, open_source
from vae_rosetta.applications.progress import counting
from vae_rosetta.applications.settings import Json
from vae_rosetta.applications.weights import Loaded, Weights
from vae_rosetta.shared import passes, spec
from vae_rosetta.shared.binarisation import DRAWN

FORMAT: Final = "vae-rosetta/scores/1"
_SHOWN: Final = 10  # rows of the table
_PICTURED: Final = 100  # images of the picture
_IN_A_ROW: Final = 10
_NEAR_LISTED: Final = 100  # in the summary; the file marks all


@dataclass(frozen=True)
class Settings:
    """The options of `vae score` that decide the result."""

    source: Path
    weights: Path
    score: str = "elbo"
    samples: int = scores.SAMPLES
    seed: int = 0
    normal: Path | None = None
    false_alarm: float = threshold.FALSE_ALARM
    threshold: float | None = None
    no_threshold: bool = False
    columns: str | None = None
    id: str | None = None
    backend: str = "oracle"
    device: str = "auto"


class Limit(NamedTuple):
    """A threshold with its margin, and where they come from."""

    threshold: float
    margin: float
    told: Json  # for the summary


@dataclass
class _Top:
    """The most anomalous rows so far, the first of equal ones first."""

    rows: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    scores: Scores = field(default_factory=lambda: np.empty(0))
    images: Any = None  # (n, D)

    def add(self, part: Part, values: Scores) -> None:
        found = np.concatenate([self.scores, values])
        best = np.argsort(-found, kind="stable")[:_PICTURED]
        rows = [*self.rows, *range(part.start, part.start + len(values))]
        names = [*self.names, *(part.names or map(str, rows[len(self.rows) :]))]
        images = part.x if self.images is None else np.concatenate([self.images, part.x])
        self.rows, self.names = [rows[i] for i in best], [names[i] for i in best]
        self.scores, self.images = found[best], images[best]


@dataclass
class _Found:
    """What is counted along the way."""

    rows: int = 0
    flagged: int = 0
    near: int = 0
    near_rows: list[int] = field(default_factory=list)  # the first ones

    def add(self, start: int, decided: threshold.Decisions) -> None:
        self.flagged += int(decided.flagged.sum())
        self.near += int(decided.near.sum())
        near = start + np.flatnonzero(decided.near)
        self.near_rows += near[: _NEAR_LISTED - len(self.near_rows)].tolist()


def run(
    settings: Settings, *, out: Path, picture: Path | None, image_shape: tuple[int, int] | None, force: bool
) -> None:
    """Scores the rows of `settings.source` into `out`, and prints what was found.

    Raises:
        FileNotFoundError, ModuleNotFoundError, TypeError, ValueError: bad settings or files; the message names them.
        FloatingPointError: a score is not finite.
        OSError: a file cannot be written; the former one is then as it was.
    """
    _check_outputs(out, picture, force=force)
    _check_threshold(settings)
    stored = weights.read(settings.weights)
    source = open_source(settings.source, stored.sizes.input_dim, columns=settings.columns, name=settings.id)
    shape = None if picture is None else stored.image_shape(image_shape or source.image_shape)
    normal = None if settings.no_threshold or settings.threshold is not None else _normal(settings, stored)
    loaded = stored.load(settings.backend, device=settings.device)
    limit = None if normal is None else _calibrate(settings, loaded, normal)
    top, found = _Top(), _Found()
    started = time.perf_counter()
    with writers.writing(out) as writer:
        for part, values in _scored(settings, loaded, source, f"score {source.path.name}"):
            if limit is None and settings.threshold is not None:
                limit = _given(settings, stored, part, values)
            columns: dict[str, writers.Column] = {"row": np.arange(part.start, part.start + len(values))}
            if part.names is not None:
                columns["id"] = part.names
            columns["score"] = values
            if limit is not None:
                decided = threshold.decide(values, limit.threshold, limit.margin)
                columns.update(decided._asdict())
                found.add(part.start, decided)
            writer.write(columns)
            top.add(part, values)
            found.rows += len(values)
        seconds = time.perf_counter() - started
        summary = _summary(settings, loaded, limit, found)
        writer.finish(summary)
    if picture is not None and shape is not None:
        _draw(
            picture,
            top,
            shape,
            f"{settings.source.name}: most anomalous of {found.rows:,}, score {_told(settings)}, nats",
        )
    _print(settings, loaded, summary, top, seconds)
    click.echo(
        f"{out}: {found.rows:,} rows at {found.rows / seconds:,.0f} rows/s" + (f"; {picture}" if picture else "")
    )


def _check_threshold(settings: Settings) -> None:
    if settings.threshold is None:
        return
    if not np.isfinite(settings.threshold):
        raise ValueError(f"threshold: got {settings.threshold}; expected a finite number, in nats")
    other = f"the normal data {settings.normal}" if settings.normal is not None else "--no-threshold"
    if settings.normal is not None or settings.no_threshold:
        raise ValueError(f"threshold: got {settings.threshold:g} and {other}; expected one of the two")


def _check_outputs(out: Path, picture: Path | None, *, force: bool) -> None:
    outputs.check(out, endings=writers.ENDINGS, force=force)
    if (beside := writers.summary_path(out)) is not None:
        outputs.check(beside, force=force)
    if picture is not None:
        try:
            outputs.check(picture, endings=(".png",), force=force)
        except ValueError as error:
            raise ValueError(str(error).replace("out:", "pictures:", 1)) from None


def _scored(
    settings: Settings, loaded: Loaded, source: Source, what: str, *, draw: int = 0
) -> Iterator[tuple[Part, Scores]]:
    """Each part of the source with its scores, under a bar."""
    with counting(what, source.count, unit="rows") as count:
        for part in source.parts():
            pieces = []
            for first in range(0, len(part.x), passes.SCORED_ROWS):
                x = part.x[first : first + passes.SCORED_ROWS]
                pieces.append(
                    scores.score(
                        loaded.model,
                        x,
                        settings.score,
                        samples=settings.samples,
                        seed=settings.seed,
                        start=part.start + first,
                        draw=draw,
                    )
                )
                count(len(x))
            yield part, np.concatenate(pieces)


def _normal(settings: Settings, stored: Weights) -> Source:
    """The data that the threshold is calibrated on."""
    if settings.normal is not None:
        columns = settings.columns if is_table(settings.normal) else None
        return open_source(settings.normal, stored.sizes.input_dim, columns=columns)
    run = stored.run
    if run is None:
        raise ValueError(
            f"normal: got none, and no {runs.CONFIG} beside {stored.file} tells the run's data; "
            "give --normal FILE, --threshold X or --no-threshold"
        )
    try:
        x = run.held_out(run.data())
    except (FileNotFoundError, ModuleNotFoundError, ValueError) as error:
        raise type(error)(f"normal: got none, and the run's own data cannot be had ({error})") from None
    part = [RawPart(x[rows]) for rows in passes.batches(len(x), passes.SCORED_ROWS)]
    protocol = ", drawn black and white" if run.tested_on.binarise == DRAWN else ""
    return Source(Path(f"{Path(run.settings.data).name} (held out{protocol})"), len(x), None, None, lambda: iter(part))


def _calibrate(settings: Settings, loaded: Loaded, normal: Source) -> Limit:
    # Samples of their own: with those of the rows to score, row i here and row i there would not be independent.
    parts = _scored(settings, loaded, normal, f"calibrate on {normal.path}", draw=settings.samples)
    values = np.concatenate([found for _, found in parts])
    level = threshold.conformal(values, settings.false_alarm)
    rows = threshold.nearest(values, level)
    x = np.concatenate(
        [part.x[np.isin(np.arange(part.start, part.start + len(part.x)), rows)] for part in normal.parts()]
    )
    margin = threshold.margin(
        loaded.weights.params, x, level, settings.score, samples=settings.samples, seed=settings.seed
    )
    told = {"normal": str(normal.path), "normal_rows": len(values), "false_alarm": settings.false_alarm}
    return Limit(level, margin, {"threshold": level, "margin": margin, **told})


def _given(settings: Settings, stored: Weights, part: Part, values: Scores) -> Limit:
    """The threshold that was given, with the margin at the rows of the first part."""
    level = float(settings.threshold or 0.0)
    x = part.x[threshold.nearest(values, level)]
    options = {"samples": settings.samples, "seed": settings.seed}
    margin = threshold.margin(stored.params, x, level, settings.score, calibrated=False, **options)
    return Limit(level, margin, {"threshold": level, "margin": margin, "normal": None})


def _summary(settings: Settings, loaded: Loaded, limit: Limit | None, found: _Found) -> Json:
    decided: Mapping[str, Any] = {}
    if limit is not None:
        decided = {**limit.told, "flagged": found.flagged, "near": found.near, "near_rows": found.near_rows}
    return {
        "format": FORMAT,
        "source": str(settings.source),
        "weights": str(loaded.weights.file),
        "score": settings.score,
        "unit": "nats",
        "samples": None if settings.score == "reconstruction-at-mean" else settings.samples,
        "seed": settings.seed,
        "rows": found.rows,
        **decided,
        "backend": {"name": settings.backend, "by": loaded.by},
        "versions": versions.versions(settings.backend),
        "spec": spec.VERSION,
    }


def _told(settings: Settings) -> str:
    if settings.score == "reconstruction-at-mean":
        return settings.score
    return f"{settings.score} ({settings.samples} samples, seed {settings.seed})"


def _print(settings: Settings, loaded: Loaded, summary: Json, top: _Top, seconds: float) -> None:
    click.echo(f"{summary['rows']:,} rows, score {_told(settings)} in nats, by {loaded.by}")
    if "threshold" in summary:
        level, margin, rows = summary["threshold"], summary["margin"], summary["rows"]
        if summary["normal"] is not None:
            origin = (
                f"at most {summary['false_alarm']:.2%} of normal images are above, "
                f"by {summary['normal_rows']:,} of {summary['normal']}"
            )
        else:
            origin = "as given"
        click.echo(f"threshold {level:.4f}: {origin}")
        click.echo(f"flagged: {summary['flagged']:,} of {rows:,} ({summary['flagged'] / rows:.2%})")
        rows_near = ", ".join(map(str, summary["near_rows"][:_SHOWN]))
        listed = f" (row {rows_near}{', ...' if summary['near'] > _SHOWN else ''})" if rows_near else ""
        click.echo(f"near: {summary['near']:,} within {margin:.2g} nats, where rounding may decide{listed}")
    table = Table(box=None, pad_edge=False, title="Most anomalous", title_justify="left")
    for heading in ("row", "id", "score", ""):
        if heading != "id" or top.names != list(map(str, top.rows)):
            table.add_column(heading, justify="right" if heading in ("row", "score") else "left", overflow="fold")
    for row, name, value in list(zip(top.rows, top.names, top.scores, strict=True))[:_SHOWN]:
        cells = [f"{row:,}", *([name] if len(table.columns) == 4 else []), f"{value:.4f}"]
        table.add_row(*cells, "flagged" if value > summary.get("threshold", np.inf) else "")
    Console(highlight=False, markup=False).print(table)


def _draw(path: Path, top: _Top, shape: tuple[int, int], title: str) -> None:
    strips = []
    images = pictures.as_images(top.images, shape)
    for first in range(0, len(images), _IN_A_ROW):
        last = min(first + _IN_A_ROW, len(images))
        label = f"{first + 1} to {last}: {top.scores[first]:.1f} to {top.scores[last - 1]:.1f}"
        strips.append((label, images[first:last]))
    pictures.save_labelled_rows(path, strips, title)
