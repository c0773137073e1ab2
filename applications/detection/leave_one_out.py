"""`vae evaluate anomaly`: how well the scores find a digit that the model has never seen.

An & Cho's protocol (2015): for each digit, train on the training images without it, score all test images, and count
the digit's as anomalies. A digit of little ink, such as 1, comes out below chance: there is less in it to get wrong.
"""

import json
import math
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import click
import numpy as np

from vae_rosetta.applications import outputs, runs, versions
from vae_rosetta.applications.detection import baselines, metrics, report, scores
from vae_rosetta.applications.detection.published import PUBLISHED
from vae_rosetta.applications.detection.scores import Scores
from vae_rosetta.applications.progress import counting
from vae_rosetta.applications.runs import Run
from vae_rosetta.applications.settings import Config, Json
from vae_rosetta.applications.settings import Settings as Trained
from vae_rosetta.applications.startup import load_backend, load_model
from vae_rosetta.shared import datasets, files, parameters, recipe, spec
from vae_rosetta.shared.command_line import Interrupted
from vae_rosetta.shared.contract import Backend, FullModel
from vae_rosetta.shared.datasets import Dataset
from vae_rosetta.shared.spec import Sizes

_SAME: Final = ("backend", "epochs", "batch_size", "seed", "hidden_dim", "latent_dim", "dtype")  # settings


@dataclass(frozen=True)
class Settings:
    """The options of `vae evaluate anomaly` that decide the result."""

    backend: str
    data: str = "mnist"
    data_dir: Path | None = None
    epochs: int = spec.EPOCHS
    seeds: int = 1
    digits: tuple[int, ...] = tuple(range(10))
    samples: int = scores.SAMPLES
    resamples: int = metrics.RESAMPLES
    hidden_dim: int = spec.HIDDEN_DIM
    latent_dim: int = spec.LATENT_DIM
    device: str = "auto"
    keep: Path | None = None


def run(settings: Settings, *, out: Path, force: bool) -> Json:
    """Trains a model for each digit and seed, prints a table and writes `anomaly.json` to `out`; returns what it wrote.

    Raises:
        Interrupted: by Ctrl-C; with `keep`, the models that were finished are there, and are not trained again.
        FileNotFoundError, ModuleNotFoundError, TypeError, ValueError: bad settings; the message names them.
        FloatingPointError: a loss or score is not finite.
        OSError: a file cannot be written.
    """
    outputs.check(out, endings=(".json",), force=force)
    data = _data(settings)
    backend = load_backend(settings.backend)
    jobs = [(digit, seed) for seed in range(settings.seeds) for digit in settings.digits]
    results: list[Json] = []
    try:
        for digit, seed in jobs:
            started = time.perf_counter()
            model = _model(settings, backend, data, digit, seed, f"{len(results) + 1}/{len(jobs)}")
            results.append(_judge(settings, data, model, digit, seed))
            click.echo(report.line(results[-1], time.perf_counter() - started))
    except KeyboardInterrupt:
        if settings.keep is None:
            raise Interrupted("Interrupted: nothing is kept; with --keep DIR the same command would go on.") from None
        raise Interrupted(
            f"Interrupted: {len(results)} of {len(jobs)} models are in {shlex.quote(str(settings.keep))}; "
            "the same command goes on"
        ) from None
    written = _result(settings, data, backend, results)
    files.write_text(out, json.dumps(written, indent=2) + "\n")
    report.print_tables(written)
    click.echo(str(out))
    return written


def _data(settings: Settings) -> Dataset:
    data = datasets.load(settings.data, data_dir=settings.data_dir)
    if data.train_labels is None or data.test_labels is None:
        raise ValueError(
            f"data: got {settings.data}, which has no labels; expected mnist, mnist-5k or an .npz with them"
        )
    for digit in settings.digits:
        for half, labels in (("train", data.train_labels), ("test", data.test_labels)):
            if not 0 < (found := int((labels == digit).sum())) < len(labels):
                raise ValueError(
                    f"digits: got {digit}, with {found} of {len(labels)} {half} images; expected some, and not all"
                )
    return data


def _model(settings: Settings, backend: Backend, data: Dataset, digit: int, seed: int, at: str) -> FullModel:
    """The model trained without `digit`: a kept one if there is one, else a new one, which is kept if so wanted."""
    config = _config(settings, backend, data, digit, seed)
    folder = None if settings.keep is None else settings.keep / f"without-{digit}-seed{seed}"
    if folder is not None and (folder / runs.CONFIG).is_file():
        kept = runs.read(folder)
        _check_same(kept, config)
        return load_model(backend, kept.params(), device=settings.device)
    assert data.train_labels is not None
    train = data.train[data.train_labels != digit]
    initial = parameters.initial(seed, Sizes(train.shape[1], settings.hidden_dim, settings.latent_dim))
    model = load_model(backend, initial, device=settings.device)
    with counting(f"{at} without {digit}, seed {seed}", settings.epochs * len(train), unit="images") as count:
        before = 0

        def progress(done: int, _: float) -> None:
            nonlocal before
            count(done - before)
            before = done

        for epoch in recipe.fit(model, train, seed=seed, epochs=settings.epochs, progress=progress):
            before = 0
            if not math.isfinite(epoch.objective):
                raise FloatingPointError(f"without {digit}, epoch {epoch.number}: the objective is not finite")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        parameters.save(folder / runs.WEIGHTS, model.params())
        config.write(folder / runs.CONFIG)  # last: it says that all is there
    return model


def _config(settings: Settings, backend: Backend, data: Dataset, digit: int, seed: int) -> Config:
    """`config.json` of a kept model, as `vae score --weights` reads it."""
    assert data.train_labels is not None
    trained = Trained(
        backend=settings.backend,
        data=settings.data if settings.data in datasets.CATALOGUE else str(Path(settings.data).absolute()),
        data_dir=settings.data_dir and settings.data_dir.absolute(),
        binarise="none",
        epochs=settings.epochs,
        batch_size=spec.BATCH_SIZE,
        seed=seed,
        latent_dim=settings.latent_dim,
        hidden_dim=settings.hidden_dim,
        device=settings.device,
        dtype="float32",
    )
    config = Config.of(trained, data, backend)
    others = replace(config.dataset, train=int((data.train_labels != digit).sum()))
    return replace(config, dataset=others, epochs_done=settings.epochs, without_digit=digit)


def _check_same(kept: Run, config: Config) -> None:
    """Checks that a kept model is what `config` asks for.

    Raises:
        ValueError: it was trained otherwise, or on other data.
    """

    def known(of: Config) -> dict[str, object]:
        return {"spec": of.spec, "without_digit": of.without_digit} | {n: getattr(of.settings, n) for n in _SAME}

    was, wanted = known(kept.config), known(config)
    if differing := [name for name in wanted if was[name] != wanted[name]]:
        got, expected = (", ".join(f"{name} {of[name]}" for name in differing) for of in (was, wanted))
        raise ValueError(f"keep: got {kept.folder} with {got}; expected {expected}")
    if kept.config.dataset.sha256 != config.dataset.sha256:
        raise ValueError(f"keep: got {kept.folder}, trained on other data; expected {config.settings.data}")


def _judge(settings: Settings, data: Dataset, model: FullModel, digit: int, seed: int) -> Json:
    """The metrics of every score and baseline with `digit` as the anomaly."""
    assert data.train_labels is not None
    assert data.test_labels is not None
    anomalous = data.test_labels == digit
    found: dict[str, Scores] = scores.scores(model, data.test, samples=settings.samples, seed=seed)
    found["pca-20"] = baselines.pca_error(data.train[data.train_labels != digit], data.test)
    found["ink"] = baselines.ink(data.test)
    judged = {
        name: metrics.evaluate(values, anomalous, resamples=settings.resamples, seed=seed)
        for name, values in found.items()
    }
    return {
        "digit": digit,
        "seed": seed,
        "anomalies": int(anomalous.sum()),
        "prevalence": float(anomalous.mean()),
        "scores": {
            name: {metric: estimate._asdict() for metric, estimate in estimates.items()}
            for name, estimates in judged.items()
        },
    }


def _result(settings: Settings, data: Dataset, backend: Backend, results: list[Json]) -> Json:
    mean = {
        name: {metric: _over_seeds(results, name, metric) for metric in metrics.METRICS}
        for name in (*scores.NAMES, *baselines.NAMES)
    }
    return {
        "format": outputs.ANOMALY.format,
        "protocol": f"leave one digit out: trained on the training images without it, tested on all {len(data.test):,} "
        f"test images, with the digit's as anomalies; {data.protocol} pixels",
        "data": {"name": settings.data, "sha256": data.sha256, "images": len(data.test)},
        "epochs": settings.epochs,
        "model": f"{data.train.shape[1]}-{settings.hidden_dim}-{settings.latent_dim}",
        "seeds": list(range(settings.seeds)),
        "samples": settings.samples,
        "intervals": f"95 %, stratified bootstrap of the test images, {settings.resamples} resamples; one training",
        "results": results,
        "mean": mean,
        "published": [
            {**column._asdict(), "values": {str(digit): value for digit, value in column.values.items()}}
            for column in PUBLISHED
        ],
        "backend": {"name": settings.backend, **backend.describe()},
        "versions": versions.versions(settings.backend),
        "spec": spec.VERSION,
    }


def _over_seeds(results: list[Json], name: str, metric: str) -> Mapping[str, Any]:
    """The mean over digits: its average over seeds, and its standard deviation where there are several."""
    seeds = sorted({result["seed"] for result in results})
    means = [
        float(np.mean([r["scores"][name][metric]["value"] for r in results if r["seed"] == seed])) for seed in seeds
    ]
    return {"value": float(np.mean(means)), "sd": float(np.std(means, ddof=1)) if len(means) > 1 else None}
