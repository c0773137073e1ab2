"""A run's folder: what training leaves behind, always whole.

| file                   | what                                                                          |
|------------------------|-------------------------------------------------------------------------------|
| `weights.safetensors`  | the parameters, for any backend or language                                   |
| `state.safetensors`    | the parameters and Adam's m, v and step, for an exact resume                  |
| `config.json`          | all that is needed to repeat the run, and how far it has come                 |
| `metrics.jsonl`        | one line per epoch                                                            |
| three `.png`           | curve, reconstructions, samples: drawn at the end, from the files above       |

Each file is replaced whole or not at all, Ctrl-C waits until all are written, and the state is written last: a process
killed between two files leaves the state of the epoch before, from which the run resumes and writes the others again.
"""

import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vae_rosetta.applications.interrupts import interrupts_held
from vae_rosetta.shared import files, parameters, spec
from vae_rosetta.shared.contract import Array, Trainable
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

Json = dict[str, Any]


class Stored(NamedTuple):
    """A run as its folder tells it, up to the last epoch whose state was written."""

    config: Json
    metrics: list[Json]  # of epochs 1 to `epochs_done`
    state: dict[str, Array]
    epochs_done: int


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


def write(folder: Path, config: Json, metrics: Sequence[Json], model: Trainable) -> None:
    """Writes the four files of an epoch; Ctrl-C meanwhile takes effect when all are written.

    A first epoch takes the place of a former run, whose other files go; files that are not a run's stay.

    Raises:
        OSError: a file cannot be written; each file is then the old or the new one, and the run can be resumed.
    """
    with interrupts_held():
        if len(metrics) == 1:
            for name in (STATE, CURVE, RECONSTRUCTIONS, SAMPLES):
                (folder / name).unlink(missing_ok=True)
        files.write_text(folder / METRICS, "".join(json.dumps(line) + "\n" for line in metrics))
        # One metadata entry: safetensors writes several in random order, and equal runs should be equal files.
        about = json.dumps(
            {"spec": spec.VERSION, "epochs": config["epochs_done"], **sizes(config)._asdict()}, sort_keys=True
        )
        parameters.save(folder / WEIGHTS, model.params(), {"vae": about})
        files.write_text(folder / CONFIG, json.dumps(config, indent=2) + "\n")
        parameters.save(folder / STATE, model.state(), {"vae": about})


def sizes(config: Json) -> Sizes:
    """The model's sizes, as its run's `config.json` has them."""
    return Sizes(config["dataset"]["pixels"], config["hidden_dim"], config["latent_dim"])


def binarise(config: Json) -> str:
    """What the run was trained on, as in `shared.recipe.fit`; runs from before there was a choice, on grey pixels."""
    return str(config.get("binarise", "none"))


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


def read(folder: Path) -> Stored:
    """The run in `folder`.

    Raises:
        FileNotFoundError: no run is there.
        ValueError, TypeError: a file is damaged or does not fit the others; the message names it.
    """
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(
            f"{folder}: got no {CONFIG} there; expected a run's folder, as vae train --out writes it"
        )
    config = read_config(folder)
    state = parameters.read(folder / STATE)
    with naming(folder / CONFIG):
        steps = math.ceil(
            config["dataset"]["train"] / config["batch_size"]
        )  # an epoch's, the short last batch included
        expected = sizes(config)
    try:
        parameters.check_state(state, expected)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{folder / STATE}: {error}") from None
    epochs_done, left_over = divmod(int(state["adam.step"]), steps)
    if left_over or epochs_done < 1:
        raise ValueError(f"{folder / STATE}: got {state['adam.step']} steps; expected whole epochs of {steps}")
    metrics = read_metrics(folder)
    if [line["epoch"] for line in metrics[:epochs_done]] != list(range(1, epochs_done + 1)):
        raise ValueError(
            f"{folder / METRICS}: got {len(metrics)} epochs; expected {epochs_done}, one per line, in order"
        )
    return Stored(config, metrics[:epochs_done], state, epochs_done)


def read_config(folder: Path) -> Json:
    """The settings of the run in `folder`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged.
    """
    with naming(folder / CONFIG):
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise TypeError("expected an object")
        return config


def read_metrics(folder: Path) -> list[Json]:
    """The lines of the run's `metrics.jsonl`, one per epoch.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged.
    """
    with naming(folder / METRICS):
        lines = [json.loads(line) for line in (folder / METRICS).read_text(encoding="utf-8").splitlines()]
        if not all(isinstance(line, dict) and "epoch" in line for line in lines):
            raise TypeError("expected an object with an epoch in every line")
        return lines


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turns the errors of reading damaged JSON into one that names the file."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: damaged ({type(error).__name__}: {error})") from error
