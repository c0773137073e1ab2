"""`vae train`: trains a backend by the recipe and keeps the run in a folder."""

import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import click
import numpy as np

from vae_rosetta.applications import generation, pictures, protocol, runs
from vae_rosetta.applications.errors import Interrupted
from vae_rosetta.applications.progress import Report
from vae_rosetta.applications.runs import Json
from vae_rosetta.applications.startup import load_backend, load_model
from vae_rosetta.applications.versions import versions
from vae_rosetta.implementations import ports
from vae_rosetta.shared import datasets, parameters, recipe, spec
from vae_rosetta.shared.contract import Array, Backend, Trainable
from vae_rosetta.shared.datasets import Dataset
from vae_rosetta.shared.spec import Sizes

_PICTURED: Final = 10  # images in `reconstructions.png`
_SAMPLED: Final = 64  # images in `samples.png`
_PUBLISHED: Final = 105.6  # test, epoch 10, MNIST: logs of the 784-400-20 example at batch 128 end at 105.56 to 105.61
# A resumed run cannot change these.
_FIXED: Final = ("binarise", "batch_size", "seed", "latent_dim", "hidden_dim", "dtype")


@dataclass(frozen=True)
class Settings:
    """The options of `vae train` that decide the result."""

    backend: str
    data: str
    data_dir: Path | None
    binarise: str
    epochs: int
    batch_size: int
    seed: int
    latent_dim: int
    hidden_dim: int
    device: str
    dtype: str

    def command(self) -> str:
        """The command that does this run again, from the start."""
        options = (
            (f"--{name.replace('_', '-')}", str(value)) for name, value in asdict(self).items() if value is not None
        )
        return shlex.join(["vae", "train", *(word for option in options for word in option)])


@dataclass(frozen=True)
class _Job:
    """A model ready to train, and where its run is kept."""

    folder: Path
    config: Json
    metrics: list[Json]  # of the epochs done
    backend: Backend
    model: Trainable
    data: Dataset
    made_folder: bool = False  # for this run: then it goes again if nothing is kept

    def held_out(self) -> Array:
        """The images to test on (M, D): drawn black and white if the run is trained on such."""
        return protocol.held_out(self.config["binarise"], self.config["seed"]).apply(self.data.test)


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
    _check_installed(settings.backend)
    data, settings = _load_data(settings)
    sizes = Sizes(data.train.shape[1], settings.hidden_dim, settings.latent_dim)
    backend = load_backend(settings.backend)
    model = load_model(backend, parameters.initial(settings.seed, sizes), dtype=settings.dtype, device=settings.device)
    made = runs.create(folder)
    _train(_Job(folder, _config(settings, data, backend), [], backend, model, data, made))


def resume(folder: Path, given: Mapping[str, Any]) -> None:
    """Goes on with the run in `folder`, by its own settings where none are given, exactly as if it had never stopped.

    Raises:
        FileNotFoundError: no run is there, or its data are gone.
        ValueError: a given setting or the data differ from the run's; see also `start`.
    """
    stored = runs.read(folder)
    config = stored.config
    config.setdefault("binarise", runs.binarise(config))
    if missing := {*Settings.__dataclass_fields__, "spec", "earlier", "describe", "versions"} - config.keys():
        raise ValueError(f"{folder / runs.CONFIG}: damaged (missing {', '.join(sorted(missing))})")
    if config["spec"] != spec.VERSION:
        raise ValueError(f"{folder / runs.CONFIG}: got specification {config['spec']}; expected {spec.VERSION}")
    if differing := [name for name in _FIXED if name in given and given[name] != config[name]]:
        was, got = (", ".join(f"{name} {source[name]}" for name in differing) for source in (config, given))
        raise ValueError(f"resume: got {got}; expected the run's own, {was}")
    settings = Settings(**{name: config[name] for name in Settings.__dataclass_fields__} | dict(given))
    if settings.epochs < stored.epochs_done:
        raise ValueError(
            f"epochs: got {settings.epochs}; expected at least {stored.epochs_done}, which {folder} has already"
        )
    _check_installed(settings.backend)
    data, settings = _load_data(settings)
    if data.sha256 != config["dataset"]["sha256"]:
        raise ValueError(
            f"data: got {settings.data} (SHA-256 {data.sha256}); expected {config['dataset']['sha256']}, as the run had"
        )
    backend = load_backend(settings.backend)
    state = {name: stored.state[name] for name in spec.PARAMETER_NAMES}
    model = load_model(backend, state, dtype=settings.dtype, device=settings.device)
    model.load_state(stored.state)
    config["epochs_done"] = stored.epochs_done
    runs.write(folder, config, stored.metrics, model)  # a killed process may have left the other files an epoch ahead
    part = ("epochs_done", "backend", "device", "describe", "versions")
    earlier = [*config["earlier"], {name: config[name] for name in part}]
    config = {**_config(settings, data, backend), "epochs_done": stored.epochs_done, "earlier": earlier}
    _train(_Job(folder, config, stored.metrics, backend, model, data))


def _check_installed(name: str) -> None:
    """Before the data are read: a missing framework is told at once."""
    if name not in ports.installed():
        ports.backend(name)


def _load_data(settings: Settings) -> tuple[Dataset, Settings]:
    """The data, and the settings with absolute paths, so that the run can be resumed from any folder."""
    data = datasets.load(settings.data, data_dir=settings.data_dir)
    name = settings.data if settings.data in datasets.CATALOGUE else str(Path(settings.data).absolute())
    return data, replace(settings, data=name, data_dir=settings.data_dir and Path(settings.data_dir).absolute())


def _config(settings: Settings, data: Dataset, backend: Backend) -> Json:
    """`config.json` before the first epoch."""
    tested_on = protocol.held_out(settings.binarise, settings.seed)
    return {
        "spec": spec.VERSION,
        "command": settings.command(),
        **{name: str(value) if isinstance(value, Path) else value for name, value in asdict(settings).items()},
        "dataset": {
            "sha256": data.sha256,
            "train": len(data.train),
            "test": len(data.test),
            "pixels": data.train.shape[1],
            "image_shape": data.image_shape,
            "protocol": data.protocol,
        },
        "protocol": {"train": protocol.trained_on(settings.binarise), "test": tested_on.words(data.test)},
        "epochs_done": 0,
        "describe": {**backend.describe(), **({} if settings.device == "auto" else {"device": settings.device})},
        "versions": versions(settings.backend),
        "earlier": [],  # what did the epochs before, for each time that the run was resumed
    }


def _train(job: _Job) -> None:
    config, metrics = job.config, list(job.metrics)
    about, dataset = config["describe"], config["dataset"]
    click.echo(
        f"{config['backend']}: {about['framework']} {about['version']} on {about['device']}, {config['dtype']}; "
        f"{config['data']}: {dataset['train']:,} images to train on, {dataset['test']:,} to test on; "
        f"{'-'.join(map(str, runs.sizes(config)))}, seed {config['seed']}{_binarised(config)}"
    )
    report = Report(epochs=config["epochs"], first_epoch=config["epochs_done"], images=dataset["train"])
    if not range(config["epochs_done"], config["epochs"]):
        click.echo(f"{job.folder} has its {config['epochs']} epochs already; --epochs N with a larger N trains on")
    before = _written(job.folder)
    epochs = recipe.fit(
        job.model,
        job.data.train,
        seed=config["seed"],
        epochs=config["epochs"],
        batch_size=config["batch_size"],
        first_epoch=config["epochs_done"],
        binarise=config["binarise"],
        test=job.held_out(),
        progress=report.batch,
    )
    try:
        with report:
            for epoch in epochs:
                if epoch.test is None or not math.isfinite(epoch.objective + epoch.test.objective):
                    kept = f"; {job.folder} has the epochs before" if metrics else ""
                    raise FloatingPointError(f"epoch {epoch.number}: the objective is not finite{kept}")
                metrics.append(runs.metrics_line(epoch, config["binarise"]))
                runs.write(job.folder, {**config, "epochs_done": epoch.number}, metrics, job.model)
                report.epoch(epoch)
    except KeyboardInterrupt:
        raise Interrupted(_interrupted(job, kept=_written(job.folder) != before or bool(job.metrics))) from None
    try:
        _draw(job)
    except KeyboardInterrupt:
        again = shlex.join(["vae", "train", "--resume", str(job.folder)])
        raise Interrupted(f"Interrupted: {job.folder} is whole but for the pictures; to draw them: {again}") from None
    click.echo(
        f"{job.folder}: {', '.join(sorted(path.name for path in job.folder.iterdir() if path.name in runs.FILES))}"
    )


def _written(folder: Path) -> tuple[int, int] | None:
    """What changes whenever a run's state is written: which file it is, and since when."""
    try:
        found = (folder / runs.STATE).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _interrupted(job: _Job, *, kept: bool) -> str:
    """Draws the pictures of what is kept, and says what that is, by the files: the loop was cut short anywhere."""
    if not kept:
        former = "; the former run is as it was" if (job.folder / runs.STATE).exists() else ""
        if job.made_folder and not any(job.folder.iterdir()):
            job.folder.rmdir()
        return f"Interrupted before the first epoch was over: nothing is kept{former}."
    _draw(job)
    done = runs.read_config(job.folder)["epochs_done"]
    again = shlex.join(["vae", "train", "--resume", str(job.folder)])
    return f"Interrupted: {job.folder} is whole up to epoch {done} of {job.config['epochs']}; to go on: {again}"


def _binarised(config: Json) -> str:
    """What is added to a run's title where its pixels are not grey."""
    return "" if config["binarise"] == "none" else f", {protocol.trained_on(config['binarise'])}"


def _draw(job: _Job) -> None:
    """The pictures, from the files as they stand."""
    config, metrics = runs.read_config(job.folder), runs.read_metrics(job.folder)
    sizes = runs.sizes(config)
    name, model_text = Path(config["data"]).name, "-".join(map(str, sizes))
    title = f"{name}: {model_text}, {config['backend']}, {config['dtype']}, seed {config['seed']}{_binarised(config)}"
    grey = config["binarise"] == "none"
    classic = grey and config["data"] == "mnist" and sizes == Sizes() and config["batch_size"] == spec.BATCH_SIZE
    train, test = ([line[half]["objective"] for line in metrics] for half in ("train", "test"))
    seen = ("", "") if grey else (" (new draw every epoch)", " (one draw)")
    pictures.save_curve(
        job.folder / runs.CURVE, train, test, title, seen=seen, reference=_PUBLISHED if classic else None
    )
    if job.data.image_shape is None:
        click.echo(
            f"No pictures of images: rows of {sizes.input_dim} pixels are not square, and their shape is not known."
        )
        return
    weights = parameters.read_params(job.folder / runs.WEIGHTS, sizes)
    model = job.backend.load(weights, dtype=config["dtype"], device=config["device"])
    held_out = job.held_out()
    count = min(_PICTURED, len(held_out))
    originals = held_out[np.linspace(0, len(held_out) - 1, count).round().astype(int)]  # from all over
    mu, _ = model.encode(originals)
    reconstructions = generation.probabilities(model, mu)
    samples = generation.probabilities(model, generation.latents(config["seed"], _SAMPLED, sizes.latent_dim))
    shape = job.data.image_shape
    pairs = pictures.as_images(np.concatenate([originals, reconstructions]), shape)
    pictures.save_png(job.folder / runs.RECONSTRUCTIONS, pictures.grid(pairs, columns=count))
    pictures.save_png(job.folder / runs.SAMPLES, pictures.grid(pictures.as_images(samples, shape)))
