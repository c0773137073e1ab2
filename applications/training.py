"""`vae train`: trains a backend by the recipe and keeps the run in a folder."""

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import click
import numpy as np

from vae_rosetta.applications import generation, pictures, runs
from vae_rosetta.applications.progress import Report
from vae_rosetta.applications.runs import Run
from vae_rosetta.applications.settings import Config, Earlier, Json, Settings
from vae_rosetta.applications.startup import load_backend, load_model
from vae_rosetta.implementations import ports
from vae_rosetta.shared import binarisation, datasets, parameters, recipe, spec
from vae_rosetta.shared.command_line import Interrupted
from vae_rosetta.shared.contract import Backend, Trainable
from vae_rosetta.shared.datasets import Dataset
from vae_rosetta.shared.spec import Sizes

_PICTURED: Final = 10  # images in `reconstructions.png`
_SAMPLED: Final = 64  # images in `samples.png`
_PUBLISHED: Final = 105.6  # test, epoch 10, MNIST: logs of the 784-400-20 example at batch 128 end at 105.56 to 105.61
# A resumed run cannot change these.
_FIXED: Final = ("binarise", "batch_size", "seed", "latent_dim", "hidden_dim", "dtype")


@dataclass(frozen=True)
class _Job:
    """A run with all that it takes to go on with it."""

    run: Run
    metrics: list[Json]  # of the epochs done
    backend: Backend
    model: Trainable
    data: Dataset
    made_folder: bool = False  # for this run: then it goes again if nothing is kept


def start(settings: Settings, out: Path | None, *, force: bool) -> None:
    """Trains from the initial weights and keeps the run in `out`.

    `out` is by default runs/DATA-BACKEND-seedSEED, with "-dynamic" after DATA where pixels are binarised.

    A former run there stays whole until the first epoch is over.

    Raises:
        Interrupted: by Ctrl-C; the files of the epochs that were over are whole.
        ModuleNotFoundError, FileNotFoundError, TypeError, ValueError: bad settings, or a folder that is taken.
        OSError: the folder cannot be written to.
        FloatingPointError: the losses are no longer finite.
    """
    name = Path(settings.data).stem + ("" if settings.binarise == "none" else f"-{settings.binarise}")
    folder = out or Path("runs", f"{name}-{settings.backend}-seed{settings.seed}")
    runs.check_free(folder, force=force)
    data, settings = _load_data(settings)
    sizes = Sizes(data.train.shape[1], settings.hidden_dim, settings.latent_dim)
    backend = load_backend(settings.backend)
    model = load_model(backend, parameters.initial(settings.seed, sizes), dtype=settings.dtype, device=settings.device)
    made = runs.create(folder)
    _train(_Job(Run(folder, Config.of(settings, data, backend)), [], backend, model, data, made))


def resume(folder: Path, given: Mapping[str, Any]) -> None:
    """Goes on with the run in `folder`, by its own settings where none are given, exactly as if it had never stopped.

    Raises:
        FileNotFoundError: no run is there, or its data are gone.
        ValueError: a given setting or the data differ from the run's; see also `start`.
    """
    stored = runs.read(folder)
    was, checkpoint = stored.config, stored.checkpoint()
    if was.spec != spec.VERSION:
        raise ValueError(f"{folder / runs.CONFIG}: got specification {was.spec}; expected {spec.VERSION}")
    settings = replace(was.settings, **given)
    if differing := [name for name in _FIXED if getattr(settings, name) != getattr(was.settings, name)]:
        own, got = (", ".join(f"{name} {getattr(of, name)}" for name in differing) for of in (was.settings, settings))
        raise ValueError(f"resume: got {got}; expected the run's own, {own}")
    if settings.epochs < checkpoint.epochs_done:
        raise ValueError(
            f"epochs: got {settings.epochs}; expected at least {checkpoint.epochs_done}, which {folder} has already"
        )
    data, settings = _load_data(settings)
    if data.sha256 != was.dataset.sha256:
        raise ValueError(
            f"data: got {settings.data} (SHA-256 {data.sha256}); expected {was.dataset.sha256}, as the run had"
        )
    backend = load_backend(settings.backend)
    params = {name: checkpoint.state[name] for name in spec.PARAMETER_NAMES}
    model = load_model(backend, params, dtype=settings.dtype, device=settings.device)
    model.load_state(checkpoint.state)
    stored.write(checkpoint.metrics, model)  # a killed process may have left the other files an epoch ahead
    before = Earlier(checkpoint.epochs_done, was.settings.backend, was.settings.device, was.describe, was.versions)
    now = replace(
        Config.of(settings, data, backend), epochs_done=checkpoint.epochs_done, earlier=(*was.earlier, before)
    )
    _train(_Job(Run(folder, now), checkpoint.metrics, backend, model, data))


def _load_data(settings: Settings) -> tuple[Dataset, Settings]:
    """The data, and the settings with absolute paths, so that the run can be resumed from any folder."""
    if settings.backend not in ports.installed():
        ports.backend(settings.backend)  # a missing framework is told at once, before the data are read
    data = datasets.load(settings.data, data_dir=settings.data_dir)
    name = settings.data if settings.data in datasets.CATALOGUE else str(Path(settings.data).absolute())
    return data, replace(settings, data=name, data_dir=settings.data_dir and Path(settings.data_dir).absolute())


def _train(job: _Job) -> None:
    run, metrics = job.run, list(job.metrics)
    config, settings, folder = run.config, run.settings, run.folder
    about, dataset = config.describe, config.dataset
    click.echo(
        f"{settings.backend}: {about['framework']} {about['version']} on {about['device']}, {settings.dtype}; "
        f"{settings.data}: {dataset.train:,} images to train on, {dataset.test:,} to test on; "
        f"{'-'.join(map(str, run.sizes))}, seed {settings.seed}{_binarised(settings)}"
    )
    report = Report(epochs=settings.epochs, first_epoch=config.epochs_done, images=dataset.train)
    if not range(config.epochs_done, settings.epochs):
        click.echo(f"{folder} has its {settings.epochs} epochs already; --epochs N with a larger N trains on")
    before = _written(folder)
    epochs = recipe.fit(
        job.model,
        job.data.train,
        seed=settings.seed,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        first_epoch=config.epochs_done,
        binarise=settings.binarise,
        test=run.held_out(job.data),
        progress=report.batch,
    )
    try:
        with report:
            for epoch in epochs:
                if epoch.test is None or not math.isfinite(epoch.objective + epoch.test.objective):
                    kept = f"; {folder} has the epochs before" if metrics else ""
                    raise FloatingPointError(f"epoch {epoch.number}: the objective is not finite{kept}")
                metrics.append(runs.metrics_line(epoch, settings.binarise))
                run.write(metrics, job.model)
                report.epoch(epoch)
    except KeyboardInterrupt:
        raise Interrupted(_interrupted(job, kept=_written(folder) != before or bool(job.metrics))) from None
    try:
        _draw(job)
    except KeyboardInterrupt:
        again = shlex.join(["vae", "train", "--resume", str(folder)])
        raise Interrupted(f"Interrupted: {folder} is whole but for the pictures; to draw them: {again}") from None
    click.echo(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir() if path.name in runs.FILES))}")


def _written(folder: Path) -> tuple[int, int] | None:
    """What changes whenever a run's state is written: which file it is, and since when."""
    try:
        found = (folder / runs.STATE).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _interrupted(job: _Job, *, kept: bool) -> str:
    """Draws the pictures of what is kept, and says what that is, by the files: the loop was cut short anywhere."""
    folder = job.run.folder
    if not kept:
        former = "; the former run is as it was" if (folder / runs.STATE).exists() else ""
        if job.made_folder and not any(folder.iterdir()):
            folder.rmdir()
        return f"Interrupted before the first epoch was over: nothing is kept{former}."
    done = _draw(job)
    again = shlex.join(["vae", "train", "--resume", str(folder)])
    return f"Interrupted: {folder} is whole up to epoch {done} of {job.run.settings.epochs}; to go on: {again}"


def _binarised(settings: Settings) -> str:
    """What is added to a run's title where its pixels are not grey."""
    return "" if settings.binarise == "none" else f", {binarisation.trained_on(settings.binarise)}"


def _draw(job: _Job) -> int:
    """The pictures, from the files as they stand; returns how many epochs they are of."""
    run = runs.read(job.run.folder)
    settings, metrics, folder = run.settings, run.metrics(), run.folder
    name, sizes = Path(settings.data).name, "-".join(map(str, run.sizes))
    title = f"{name}: {sizes}, {settings.backend}, {settings.dtype}, seed {settings.seed}{_binarised(settings)}"
    grey = settings.binarise == "none"
    classic = grey and settings.data == "mnist" and run.sizes == Sizes() and settings.batch_size == spec.BATCH_SIZE
    train, test = ([line[half]["objective"] for line in metrics] for half in ("train", "test"))
    seen = ("", "") if grey else (" (new draw every epoch)", " (one draw)")
    pictures.save_curve(folder / runs.CURVE, train, test, title, seen=seen, reference=_PUBLISHED if classic else None)
    shape = job.data.image_shape
    if shape is None:
        pixels = run.sizes.input_dim
        click.echo(f"No pictures of images: rows of {pixels} pixels are not square, and their shape is not known.")
        return run.config.epochs_done
    model = job.backend.load(run.params(), dtype=settings.dtype, device=settings.device)
    held_out = run.held_out(job.data)
    count = min(_PICTURED, len(held_out))
    originals = held_out[np.linspace(0, len(held_out) - 1, count).round().astype(int)]  # from all over
    mu, _ = model.encode(originals)
    reconstructions = generation.probabilities(model, mu)
    samples = generation.probabilities(model, generation.latents(settings.seed, _SAMPLED, run.sizes.latent_dim))
    pairs = pictures.as_images(np.concatenate([originals, reconstructions]), shape)
    pictures.save_png(folder / runs.RECONSTRUCTIONS, pictures.grid(pairs, columns=count))
    pictures.save_png(folder / runs.SAMPLES, pictures.grid(pictures.as_images(samples, shape)))
    return run.config.epochs_done
