"""What a report is made from: runs' folders, and files of results, which may be of another format than is read here."""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vae_rosetta.applications import runs, weights
from vae_rosetta.applications.runs import Run
from vae_rosetta.applications.settings import Json
from vae_rosetta.applications.weights import Weights
from vae_rosetta.shared.passes import Real


class Curve(NamedTuple):
    """The losses of a run, in nats per image unless told otherwise."""

    epoch: Real  # (E,), from 1
    train: Real  # (E,), averages during the epoch
    test: Real  # (E,), after the epoch; NaN where nothing was tested
    reconstruction: Real  # (E,), the two parts of `test`
    kl: Real  # (E,)
    images_per_second: Real  # (E,)
    steps: Real  # (K,), the objective of every step, summed over its batch
    steps_per_epoch: int  # of the first epoch


@dataclass(frozen=True)
class Shown(Run):
    """A run on the page."""

    label: str  # short, and of this run alone among those on the page
    style: int  # its place among them, from 0
    curve: Curve
    weights: Weights

    @property
    def recipe(self) -> tuple[object, ...]:
        """All that decides what is computed: runs that share it should agree up to rounding."""
        settings = self.settings
        of_settings = (settings.batch_size, settings.seed, settings.binarise)
        return (self.config.dataset.sha256, self.sizes, self.config.spec, *of_settings)


class Result(NamedTuple):
    """A file of results; `content` is None if it cannot be shown, and `problem` says why."""

    path: Path
    label: str
    content: Json | None
    problem: str = ""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns the errors of reading damaged JSON into one ValueError that names the file."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: damaged ({type(error).__name__}: {error})") from error


def read_runs(folders: Sequence[Path]) -> list[Shown]:
    """The runs in `folders`, in that order.

    Raises:
        FileNotFoundError: a folder is no run's.
        TypeError, ValueError: a file is damaged, or a folder is named twice; the message names it.
    """
    if twice := [folder for i, folder in enumerate(folders) if folder.resolve() in {f.resolve() for f in folders[:i]}]:
        raise ValueError(f"run: got {twice[0]} twice; expected each run once")
    for folder in folders:
        for name in (runs.CONFIG, runs.METRICS, runs.WEIGHTS):
            if not (folder / name).is_file():
                raise FileNotFoundError(
                    f"run: got {folder}, which has no {name}; expected a run's folder, as vae train --out writes it"
                )
    found = [runs.read(folder) for folder in folders]
    labels = _labels(found)
    return [
        Shown(run.folder, run.config, label, style, _curve(run), weights.read(run.folder))
        for style, (run, label) in enumerate(zip(found, labels, strict=True))
    ]


def families(found: Sequence[Shown]) -> list[list[Shown]]:
    """The runs grouped by recipe, in order of appearance."""
    grouped: dict[tuple[object, ...], list[Shown]] = {}
    for run in found:
        grouped.setdefault(run.recipe, []).append(run)
    return list(grouped.values())


def read_result(path: Path, label: str, formats: Collection[str | int], needed: Collection[str] = ()) -> Result:
    """The results in `path`, if they are of one of `formats` and have the fields `needed`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: got no such file; expected a file of results")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: damaged ({type(error).__name__}: {error})") from error
    found = content.get("format") if isinstance(content, dict) else None
    expected = " or ".join(str(each) for each in formats)
    if found not in formats or isinstance(found, bool):
        return Result(path, label, None, f"{path}: got format {found!r}; this page shows format {expected}")
    if missing := [name for name in needed if name not in content]:
        return Result(path, label, None, f"{path}: got a file without {', '.join(missing)}; it is of another kind")
    return Result(path, label, content)


def _curve(run: Run) -> Curve:
    metrics = run.metrics()[: run.config.epochs_done]
    if not metrics:
        raise ValueError(f"{run.folder / runs.METRICS}: got no epoch; expected at least one")
    tests = [line["test"] or {} for line in metrics]
    parts = (
        [line["epoch"] for line in metrics],
        [line["train"]["objective"] for line in metrics],
        *([test.get(name, np.nan) for test in tests] for name in ("objective", "reconstruction", "kl")),
        [line["images_per_second"] for line in metrics],
        [objective for line in metrics for objective in line["step_objectives"]],
    )
    epoch, train, test, reconstruction, kl, rate, steps = (np.array(part, dtype=np.float64) for part in parts)
    return Curve(epoch, train, test, reconstruction, kl, rate, steps, len(metrics[0]["step_objectives"]))


def _labels(found: Sequence[Run]) -> list[str]:
    """The backends' names if no two are alike, else the folders', else their paths."""
    for names in (
        [run.settings.backend for run in found],
        [run.folder.resolve().name for run in found],
        [str(run.folder) for run in found],
    ):
        if len(set(names)) == len(names):
            return names
    raise AssertionError("paths are unique")
