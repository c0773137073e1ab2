"""A run: what training leaves behind in a folder, always whole, and what whoever uses the model asks of it.

| file                   | what                                                                          |
|------------------------|-------------------------------------------------------------------------------|
| `weights.safetensors`  | the parameters, for any backend or language                                   |
| `state.safetensors`    | the parameters and Adam's m, v and step, for an exact resume                  |
| `config.json`          | all that is needed to repeat the run, and how far it has come: see `settings` |
| `metrics.jsonl`        | one line per epoch                                                            |
| three `.png`           | curve, reconstructions, samples: drawn at the end, from the files above       |

Each file is replaced whole or not at all, Ctrl-C waits until all are written, and the state is written last: a process
killed between two files leaves the state of the epoch before, from which the run resumes and writes the others again.
"""

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from vae_rosetta.applications.interrupts import interrupts_held
from vae_rosetta.applications.settings import Config, Json, Settings, tested_on
from vae_rosetta.shared import binarisation, datasets, files, parameters, spec
from vae_rosetta.shared.binarisation import Protocol
from vae_rosetta.shared.contract import Array, Tensors, Trainable
from vae_rosetta.shared.datasets import Dataset
from vae_rosetta.shared.spec import Sizes

if TYPE_CHECKING:  # what only looks at runs needs no model
    from vae_rosetta.shared.recipe import Epoch

WEIGHTS: Final = "weights.safetensors"
STATE: Final = "state.safetensors"
CONFIG: Final = "config.json"
METRICS: Final = "metrics.jsonl"
CURVE: Final = "curve.png"
RECONSTRUCTIONS: Final = "reconstructions.png"
SAMPLES: Final = "samples.png"
FILES: Final = (STATE, WEIGHTS, CONFIG, METRICS, CURVE, RECONSTRUCTIONS, SAMPLES)


class Checkpoint(NamedTuple):
    """A run up to the last epoch whose state was written."""

    epochs_done: int
    metrics: list[Json]  # of epochs 1 to `epochs_done`
    state: dict[str, Array]


@dataclass(frozen=True)
class Run:
    """A run that is kept in `folder`. Its config is read; weights, state, metrics and data are read when asked for."""

    folder: Path
    config: Config

    @property
    def settings(self) -> Settings:
        """The options that it was trained with."""
        return self.config.settings

    @property
    def sizes(self) -> Sizes:
        """Of its model."""
        return self.config.sizes

    @property
    def tested_on(self) -> Protocol:
        """What was done to the held-out images that it was tested on, after every epoch."""
        return tested_on(self.settings)

    def params(self) -> Tensors:
        """The weights.

        Raises:
            FileNotFoundError: there are none.
            TypeError, ValueError: the file is damaged, or of a model of other sizes than the config tells.
        """
        return parameters.read_params(self.folder / WEIGHTS, self.sizes)

    def metrics(self) -> list[Json]:
        """The lines of `metrics.jsonl`, one per epoch; see `metrics_line`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged; the message names the line.
        """
        path = self.folder / METRICS
        lines = path.read_text(encoding="utf-8").splitlines()
        return [_checked_line(f"{path}: line {number}", line) for number, line in enumerate(lines, 1)]

    def checkpoint(self) -> Checkpoint:
        """What the run can be resumed from.

        Raises:
            FileNotFoundError: a file is missing.
            TypeError, ValueError: a file is damaged or does not fit the others; the message names it.
        """
        path = self.folder / STATE
        state = parameters.read(path)
        try:
            parameters.check_state(state, self.sizes)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{path}: {error}") from None
        steps = math.ceil(self.config.dataset.train / self.settings.batch_size)  # an epoch's, with the short last one
        epochs_done, left_over = divmod(int(state["adam.step"]), steps)
        if left_over or epochs_done < 1:
            raise ValueError(f"{path}: got {state['adam.step']} steps; expected whole epochs of {steps}")
        metrics = self.metrics()
        if [line["epoch"] for line in metrics[:epochs_done]] != list(range(1, epochs_done + 1)):
            raise ValueError(
                f"{self.folder / METRICS}: got {len(metrics)} epochs; expected {epochs_done}, one per line, in order"
            )
        return Checkpoint(epochs_done, metrics[:epochs_done], state)

    def data(self, data_dir: Path | None = None) -> Dataset:
        """The data set that the run was trained on, grey whatever the run made of it; in `data_dir`, if it has moved.

        Raises:
            FileNotFoundError: it is gone.
            ModuleNotFoundError: a package is needed to read it.
            ValueError: it is no longer what the run had.
        """
        name, sha256 = self.settings.data, self.config.dataset.sha256
        data = datasets.load(name, data_dir=data_dir or self.settings.data_dir)
        if data.sha256 != sha256:
            raise ValueError(
                f"data: got {name} (SHA-256 {data.sha256}); expected {sha256}, as the run had; --data {name} takes it "
                "as it is"
            )
        return data

    def held_out(self, data: Dataset) -> Array:
        """The images of `data` that the run held out, as it was tested on them, (M, D).

        Without those of the class that it left out, if any.
        """
        labels, without = data.test_labels, self.config.without_digit
        return self.tested_on.apply(data.test if without is None or labels is None else data.test[labels != without])

    def as_seen(self, data: Dataset) -> Dataset:
        """`data` as the run saw them: black and white, if it trained on pixels that were drawn anew for every epoch.

        Held-out images as the one draw that it was tested on, training images as its first epoch had them.
        """
        if self.settings.binarise == "none":
            return data
        train = binarisation.dynamic(data.train, self.settings.seed, 0)
        return replace(data, train=train, test=self.tested_on.apply(data.test))

    def write(self, metrics: Sequence[Json], model: Trainable) -> "Run":
        """Writes the four files of an epoch, the last of `metrics`; returns the run as it then is.

        Ctrl-C meanwhile takes effect when all are written. A first epoch takes the place of a former run, whose other
        files go; files that are not a run's stay.

        Raises:
            OSError: a file cannot be written; each file is then the old or the new one, and the run can be resumed.
        """
        run = replace(self, config=replace(self.config, epochs_done=len(metrics)))
        # One metadata entry: safetensors writes several in random order, and equal runs should be equal files.
        about = json.dumps({"spec": spec.VERSION, "epochs": len(metrics), **self.sizes._asdict()}, sort_keys=True)
        with interrupts_held():
            if len(metrics) == 1:
                for name in (STATE, CURVE, RECONSTRUCTIONS, SAMPLES):
                    (self.folder / name).unlink(missing_ok=True)
            files.write_text(self.folder / METRICS, "".join(json.dumps(line) + "\n" for line in metrics))
            parameters.save(self.folder / WEIGHTS, model.params(), {"vae": about})
            run.config.write(self.folder / CONFIG)
            parameters.save(self.folder / STATE, model.state(), {"vae": about})
        return run


def read(folder: Path) -> Run:
    """The run in `folder`.

    Raises:
        FileNotFoundError: no run is there.
        ValueError: its `config.json` is damaged; see `Config.read`.
    """
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(
            f"{folder}: got no {CONFIG} there; expected a run's folder, as vae train --out writes it"
        )
    return Run(folder, Config.read(folder / CONFIG))


def check_free(folder: Path, *, force: bool) -> None:
    """Checks that a new run may be kept in `folder`.

    Raises:
        ValueError: it is a file, or a folder with something in it and `force` is not set.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out: got {folder}, which is a file; expected a folder")
    if not force and folder.is_dir() and any(folder.iterdir()):
        hint = f"--resume {folder} goes on with its run, " if (folder / STATE).exists() else ""
        raise ValueError(
            f"out: got {folder}, which is not empty; {hint}--force writes the run there, or choose another"
        )


def create(folder: Path) -> bool:
    """Makes sure that a run can be kept in `folder`, and says whether the folder is new.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()  # better now than after the first epoch
    return new


def metrics_line(epoch: "Epoch", binarise: str = "none") -> Json:
    """One line of `metrics.jsonl`; the losses are averages per image in nats, `step_objectives` sums over a batch.

    `binarise`, as in `config.json`, tells of which pixels: losses of grey ones and of black and white ones do not
    compare.
    """
    return {
        "epoch": epoch.number,
        "binarise": binarise,
        "train": {"objective": epoch.objective},
        "test": epoch.test._asdict() if epoch.test is not None else None,
        "seconds": epoch.seconds,
        "images_per_second": epoch.images_per_second,
        "step_objectives": epoch.step_objectives.tolist(),
    }


def _checked_line(where: str, text: str) -> Json:
    """A line of `metrics.jsonl`, if it has what is read of it.

    Raises:
        ValueError: it is damaged.
    """
    try:
        line = json.loads(text)
        tested = line["test"] and [line["test"][name] for name in ("objective", "reconstruction", "kl")]
        numbers = [line["epoch"], line["train"]["objective"], line["images_per_second"], *(tested or [])]
        for number in (*numbers, *line["step_objectives"]):
            float(number)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{where}: damaged ({type(error).__name__}: {error})") from None
    return dict(line)
