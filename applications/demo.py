"""`python -m vae_rosetta.applications.demo`: each framework trains the same model from one seed, shown and checked.

Each backend trains in processes of its own, once in float64 and once in float32, and so does the oracle; then this
process, which imports no framework, compares what their folders say.

* In float64 every step of the whole run must agree with the oracle to `FLOAT64_LIMIT`: the same computation.
* In float32 the first `JUDGED_STEPS` must agree to `FLOAT32_LIMIT`. Later steps are reported, not judged: sooner or
  later rounding puts a hidden unit on the other side of zero for an image, so that weights get a gradient that they
  would not have got, and Adam's first step is as long as the learning rate, however small the gradient. From there on
  the runs part slowly.
"""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final, NamedTuple

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from vae_rosetta.applications import pictures, runs
from vae_rosetta.applications.runs import Run
from vae_rosetta.applications.settings import Json
from vae_rosetta.implementations import ports
from vae_rosetta.shared import files
from vae_rosetta.shared.command_line import WHOLE, Command

FLOAT64_LIMIT: Final = 1e-9  # seen: 2e-15
FLOAT32_LIMIT: Final = 1e-4  # seen: 2e-7, and 2e-4 after five epochs of mnist-5k
JUDGED_STEPS: Final = 32  # of a float32 run: an epoch of mnist-5k
REPORT: Final = "demo.json"
PICTURE: Final = "side-by-side.png"
_REFERENCE: Final = "oracle"
_FRAMEWORKS: Final = tuple(port.word for port in ports.FRAMEWORKS)
_DIGITS: Final = 10  # images in each row of the picture


class Finding(NamedTuple):
    """How one backend's runs compare with the oracle's."""

    backend: str
    version: str
    train: float  # float32, last epoch, nats per image
    test: float
    images_per_second: float  # float32, last epoch: nothing is compiled any more
    float64: float  # greatest relative difference of a step's objective from the float64 oracle: whole run
    float32_first: float  # the judged steps
    float32_whole: float  # whole run

    def broken(self) -> list[str]:
        """The promises that do not hold, in words."""
        start = f"float32, first {JUDGED_STEPS} steps"
        limits = (("float64", self.float64, FLOAT64_LIMIT), (start, self.float32_first, FLOAT32_LIMIT))
        return [
            f"{self.backend}: {what}: differs from the oracle by {difference:.1e}, more than {limit:.0e}"
            for what, difference, limit in limits
            if not difference <= limit  # NaN breaks it too
        ]


@click.command(cls=Command)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="demo",
    show_default=True,
    help="Write the results to this folder.",
)
@click.option("--backends", help=f"Take these, of {','.join(ports.PORTS)}.  [default: {','.join(_FRAMEWORKS)}]")
@click.option("--data", default="mnist-5k", show_default=True, help="Train on these images; see vae train.")
@click.option("--epochs", type=WHOLE, default=5, show_default=True, help="Train for N epochs.")
@click.option("--force", is_flag=True, help="Replace the results that are already in --out.")
def main(out: Path, backends: str | None, data: str, epochs: int, force: bool) -> None:
    """Train with every framework from one seed, and compare.

    The table compares the losses. The picture shows what the models generate, side by side.
    """
    names = [name for name in (backends.split(",") if backends is not None else _FRAMEWORKS) if name != _REFERENCE]
    _check_installed(names)
    runs.check_free(out, force=force)
    out.mkdir(parents=True, exist_ok=True)
    for dtype in ("float64", "float32"):
        for name in (_REFERENCE, *names):
            _vae("train", "--backend", name, "--data", data, "--epochs", str(epochs), "--seed", "0", "--dtype", dtype,
                 "--out", str(_folder(out, name, dtype)), "--force")  # fmt: skip
    findings = [find(out, name) for name in (_REFERENCE, *names)]
    print_table(findings, epochs)
    files.write_text(out / REPORT, json.dumps(report(out, findings), indent=2) + "\n")
    written = [REPORT]
    if (image_shape := _run(out, _REFERENCE, "float32").config.dataset.image_shape) is not None:
        rows = {name: _generated(out, name) for name in names or [_REFERENCE]}
        side_by_side(out / PICTURE, rows, image_shape)
        written.append(PICTURE)
    click.echo(f"{out}: {', '.join(written)} and the runs")
    if broken := [line for finding in findings for line in finding.broken()]:
        raise click.ClickException("; ".join(broken))


def find(out: Path, name: str) -> Finding:
    """What the folders of the oracle and of backend `name` in `out` say.

    Raises:
        FileNotFoundError, ValueError: a run is missing, damaged or of another length.
    """
    truth = _steps(out, _REFERENCE, "float64")
    single, double = (_relative(_steps(out, name, dtype), truth, name) for dtype in ("float32", "float64"))
    run = _run(out, name, "float32")
    last = run.metrics()[-1]
    return Finding(
        backend=name,
        version=run.config.describe["version"],
        train=last["train"]["objective"],
        test=last["test"]["objective"],
        images_per_second=last["images_per_second"],
        float64=float(double.max()),
        float32_first=float(single[:JUDGED_STEPS].max()),
        float32_whole=float(single.max()),
    )


def report(out: Path, findings: Sequence[Finding]) -> Json:
    """The findings, the limits, and what ran."""
    configs = {finding.backend: _run(out, finding.backend, "float32").config for finding in findings}
    reference = configs[_REFERENCE]
    return {
        "spec": reference.spec,
        **{name: getattr(reference.settings, name) for name in ("data", "seed", "epochs")},
        "dataset": asdict(reference.dataset),
        "limits": {"float64": FLOAT64_LIMIT, "float32_first": FLOAT32_LIMIT},
        "holds": not any(finding.broken() for finding in findings),
        "backends": [
            {**finding._asdict(), **{key: getattr(configs[finding.backend], key) for key in ("describe", "versions")}}
            for finding in findings
        ],
    }


def print_table(findings: Sequence[Finding], epochs: int) -> None:
    """One row a backend."""
    title = f"Seed 0, {epochs} epochs; nats per image; greatest difference from the oracle"
    caption = (
        f"Limits: {FLOAT64_LIMIT:.0e} in float64, {FLOAT32_LIMIT:.0e} in the first {JUDGED_STEPS} steps in float32"
    )
    table = Table(title=title, caption=caption, box=None, pad_edge=False, title_justify="left", caption_justify="left")
    table.add_column("backend", overflow="fold")
    for heading in ("version", "train", "test", "float64", "float32\nat first", "float32\nto end", "images/s"):
        table.add_column(heading, justify="right", overflow="fold")
    for finding in findings:
        differences = (finding.float64, finding.float32_first, finding.float32_whole)
        table.add_row(
            finding.backend,
            finding.version.split()[0].partition("+")[0],
            f"{finding.train:.3f}",
            f"{finding.test:.3f}",
            *(f"{difference:.1e}" for difference in differences),
            f"{finding.images_per_second:,.0f}",
        )
    Console(highlight=False).print(table)


def side_by_side(path: Path, generated: dict[str, npt.NDArray[np.float32]], image_shape: Sequence[int]) -> None:
    """A row of images for each backend, from probabilities (n, D), and below the greatest difference of any two."""
    rows = [(name, pictures.as_images(images, image_shape)) for name, images in generated.items()]
    stacked = np.stack(list(generated.values()))
    difference = stacked.max(axis=0) - stacked.min(axis=0)
    greatest = float(difference.max())
    scale = _one_digit(1.0 / greatest) if greatest > 0.0 else 1.0
    label = f"greatest difference of any two, times {scale:,.0f} (the greatest of all is {greatest:.1e})"
    pictures.save_labelled_rows(
        path,
        [*rows, (label, pictures.as_images(np.minimum(difference * scale, 1.0), image_shape))],
        "The same noise, each decoded by its framework with the weights that it trained",
    )


def _one_digit(number: float) -> float:
    """`number` rounded down to one digit and zeros."""
    power = 10.0 ** math.floor(math.log10(number))
    return math.floor(number / power) * power


def _check_installed(names: Sequence[str]) -> None:
    if unknown := [name for name in names if name not in ports.PORTS]:
        raise ValueError(f"backends: got {', '.join(unknown)}; expected some of {', '.join(ports.PORTS)}")
    absent = [name for name in names if name not in ports.installed()]
    if extras := [name for name in absent if ports.PORTS[name].missing_packages()]:
        raise ModuleNotFoundError(
            f"backends: not installed: {', '.join(extras)}; try: pip install 'vae-rosetta[{','.join(extras)}]', "
            "or name others"
        )
    for name in absent:
        ports.backend(name)  # which says what helps


def _folder(out: Path, name: str, dtype: str) -> Path:
    return out / f"{name}-{dtype}"


def _run(out: Path, name: str, dtype: str) -> Run:
    return runs.read(_folder(out, name, dtype))


def _steps(out: Path, name: str, dtype: str) -> npt.NDArray[np.float64]:
    """The objective of every step of a run, (steps,)."""
    metrics = _run(out, name, dtype).metrics()
    return np.concatenate([np.asarray(line["step_objectives"], dtype=np.float64) for line in metrics])


def _relative(steps: npt.NDArray[np.float64], truth: npt.NDArray[np.float64], name: str) -> npt.NDArray[np.float64]:
    if steps.shape != truth.shape:
        raise ValueError(f"{name}: got {len(steps)} steps; expected {len(truth)}, as the oracle took")
    difference: npt.NDArray[np.float64] = np.abs(steps - truth) / np.abs(truth)
    return difference


def _generated(out: Path, name: str) -> npt.NDArray[np.float32]:
    """The same draws of the prior, (n, D) probabilities, decoded by `name` in its own process with its own weights."""
    path = out / f"{name}.npy"
    weights = str(_folder(out, name, "float32"))
    _vae("generate", "--weights", weights, "--backend", name, "--n", str(_DIGITS), "--seed", "1", "--out", str(path),
         "--force")  # fmt: skip
    images: npt.NDArray[np.float32] = np.load(path)
    return images


def _vae(*arguments: str) -> None:
    """Runs `vae` in a new process; what it says on stderr is shown only if it fails.

    Raises:
        click.ClickException: it failed.
    """
    sys.stdout.flush()
    done = subprocess.run(
        [sys.executable, "-m", "vae_rosetta.applications", *arguments], stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        click.echo(done.stderr, err=True, nl=False)
        raise click.ClickException(f"vae {' '.join(arguments)}: exit code {done.returncode}")


if __name__ == "__main__":
    main(prog_name="python -m vae_rosetta.applications.demo")
