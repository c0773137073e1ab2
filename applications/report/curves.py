"""The section of learning curves: runs over one another, and how far those that should agree are apart."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from vae_rosetta.applications.report import charts
from vae_rosetta.applications.report.blocks import Block, Cell, Chart, Charts, Key, Note, Prose, Section, Table, number
from vae_rosetta.applications.report.charts import Line
from vae_rosetta.applications.report.sources import Shown
from vae_rosetta.shared.passes import Real

_BINS: Final = 160  # points of a line of differences: each is the greatest of the steps that it stands for
_ORACLE: Final = "oracle"
# What a run's dtype rounds to at its coarsest, and the unit roundoff of that.
_ROUNDING: Final = {
    "float64": ("float64", 2.0**-53),
    "float32": ("float32", 2.0**-24),
    "mixed_bfloat16": ("bfloat16", 2.0**-8),
}


def relative(run: Shown, reference: Shown) -> Real:
    """Relative difference of the objectives of the steps that both took, (K,)."""
    count = min(len(run.curve.steps), len(reference.curve.steps))
    ours, theirs = run.curve.steps[:count], reference.curve.steps[:count]
    with np.errstate(divide="ignore", invalid="ignore"):
        difference: Real = np.abs(ours - theirs) / np.abs(theirs)
    return difference


def reference_of(family: Sequence[Shown]) -> Shown:
    """The run that the others are compared with: the oracle's if there is one, else the first."""
    return next((run for run in family if run.settings.backend == _ORACLE), family[0])


def section(found: Sequence[Shown], families: Sequence[Sequence[Shown]]) -> Section:
    """Curves and the table of where they end."""
    legend = [Key(run.label, run.style) for run in found]
    each = "" if len(found) == 1 else "; each line is narrower than the one under it, so that all show"
    compared = [family for family in families if len(family) > 1]
    drawn = [*_curves(found), *map(_differences, compared)]
    blocks: list[Block] = [Charts(drawn, legend, f"Negative ELBO{each}.")]
    if len({(run.config.dataset.sha256, run.settings.binarise) for run in found}) > 1:
        blocks.append(Note("These runs have different data, or pixels: losses of such runs do not compare."))
    blocks += [Note(_promise(family)) for family in compared]
    if len(found) > 1 and not compared:
        blocks.append(
            Note("No two of these runs share data, sizes, seed and batch size, so their steps cannot be compared.")
        )
    blocks.append(_table(found, families))
    return Section("curves", "Learning curves", blocks)


def greatest(run: Shown, family: Sequence[Shown]) -> tuple[float, float] | None:
    """The greatest relative difference from the reference, in the first epoch and in all; None for the reference."""
    reference = reference_of(family)
    if run is reference:
        return None
    difference = relative(run, reference)
    return float(difference[: reference.curve.steps_per_epoch].max()), float(difference.max())


def _curves(found: Sequence[Shown]) -> list[Chart]:
    def chart(title: str, name: str) -> Chart:
        series = [Line(run.label, run.style, run.curve.epoch, getattr(run.curve, name)) for run in found]
        ends = "; ".join(f"{line.label} from {line.y[0]:.2f} to {line.y[-1]:.2f}" for line in series)
        return Chart(title, charts.lines(series, "epoch", "nats per image", f"{title}, nats per image: {ends}"))

    return [chart("Test, after each epoch", "test"), chart("Training, average during each epoch", "train")]


def _differences(family: Sequence[Shown]) -> Chart:
    reference = reference_of(family)
    others = [run for run in family if run is not reference]
    series = [_binned(run, reference) for run in others]
    ends = "; ".join(f"{run.label} at most {relative(run, reference).max():.1e}" for run in others)
    about = f"Relative difference of the objective of a step from {reference.label}: {ends}"
    title = f"Difference of each step from {reference.label}"
    return Chart(title, charts.lines(series, "epoch", "relative difference", about, log=True))


def _promise(family: Sequence[Shown]) -> str:
    """What runs of one recipe should do, and how to read the chart of how far they do not."""
    steps = min(len(run.curve.steps) for run in family)
    dtype, unit = max(
        (_ROUNDING.get(run.settings.dtype, _ROUNDING["float32"]) for run in family), key=lambda rounding: rounding[1]
    )
    runs, reference = ", ".join(run.label for run in family), reference_of(family).label
    return (
        f"{runs}: same seed, same data, same settings, so the same computation up to rounding. The chart of "
        f"differences has the objectives of {steps:,} steps beside those of {reference}; every point is the greatest "
        f"of {max(1, steps // _BINS):,} steps. One rounding in {dtype} is {unit:.0e}. Where a line "
        "leaves that level, rounding decided for some image on which side of 0 a hidden unit lies; from there on "
        "the runs part slowly."
    )


def _binned(run: Shown, reference: Shown) -> Line:
    difference = relative(run, reference)
    parts = np.array_split(difference, min(_BINS, len(difference)))
    ends = np.cumsum([len(part) for part in parts])
    return Line(run.label, run.style, ends / reference.curve.steps_per_epoch, np.array([p.max() for p in parts]))


def _table(found: Sequence[Shown], families: Sequence[Sequence[Shown]]) -> Table:
    of = {run.label: family for family in families for run in family}
    compared = len(families) < len(found)
    rows: list[list[str | Cell]] = []
    for run in found:
        curve, apart = run.curve, greatest(run, of[run.label])
        ends = [curve.train[-1], curve.test[-1], curve.reconstruction[-1], curve.kl[-1]]
        differences = ("", "") if apart is None else tuple(f"{value:.1e}" for value in apart)
        rows.append(
            [
                run.label,
                str(int(curve.epoch[-1])),
                number(ends[0]),
                Cell(number(ends[1]), "strong"),
                *(number(value) for value in ends[2:]),
                *(differences if compared else ()),
                number(float(np.median(curve.images_per_second)), 0),
            ]
        )
    heads = ["run", "epochs", "train", "test", "reconstruction", "KL"]
    heads += ["apart, epoch 1", "apart, all"] if compared else []
    heads.append("images/s")
    apart_in_words = "how far steps are apart, relative, from the run that has no figure there; " if compared else ""
    caption = (
        f"The last epoch, nats per image; {apart_in_words}median images a second of training, as the machine was then"
    )
    return Table(caption, heads, rows)


def agreement(families: Sequence[Sequence[Shown]]) -> Prose | None:
    """One sentence on the largest family's spread of test losses; None if there is nothing to compare."""
    family = max(families, key=len)
    ends = [float(run.curve.test[-1]) for run in family if run.curve.epoch[-1] == family[0].curve.epoch[-1]]
    if len(ends) < 2 or not np.all(np.isfinite(ends)):
        return None
    spread = max(ends) - min(ends)
    return Prose(
        f"{len(ends)} runs of one recipe end at {min(ends):.2f} to {max(ends):.2f} nats per test image: "
        f"{100.0 * spread / min(ends):.2g} % apart."
    )
