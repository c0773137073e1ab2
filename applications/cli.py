"""The `vae` command: its options, and errors as one line each.

This module loads no framework, not even NumPy, so that `vae train --help` answers at once: the work is in the modules
that the commands import when they run.

Exit codes: 0 done, 2 bad input, 1 any other failure, 130 stopped by Ctrl-C.
"""

import os
from pathlib import Path
from typing import Any, Final

try:
    import click
    from click.core import ParameterSource
except ModuleNotFoundError as error:  # NumPy and safetensors are all that this project must have
    raise SystemExit("Error: the vae command needs click; try: pip install 'vae-rosetta[app]'") from error

from applications.errors import OneLineErrors
from implementations import BACKENDS, installed
from shared import spec

_FIRST_INSTALLED: Final = f"the first installed of {', '.join(BACKENDS)}"

_backend = click.option(
    "--backend",
    type=click.Choice(list(BACKENDS)),
    show_default=_FIRST_INSTALLED,
    help="A framework, or NumPy (oracle).",
)
_device = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto: a GPU if there is one.",
)
_whole = click.IntRange(min=1)
_seed = click.IntRange(min=0)


class Group(OneLineErrors, click.Group):
    """Commands whose errors are one line each."""


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from applications.versions import project_version

        click.echo(f"vae-rosetta {project_version()}, specification {spec.VERSION}")
        context.exit()


@click.group(cls=Group)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Show the version."
)
@click.option("--traceback", is_flag=True, help="On an error show where it arose, not one line.")
def vae(traceback: bool) -> None:
    """One variational autoencoder in PyTorch, TensorFlow and JAX: the same seed gives the same model in each."""
    # TensorFlow logs its start and its compilations; what goes wrong there reaches Python as an exception.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@vae.command()
@_backend
@click.option(
    "--data",
    default="mnist-5k",
    show_default=True,
    help="mnist-5k, mnist, or an .npy or .npz file of shape (N, D) or (N, h, w), uint8 or floats in [0, 1]; "
    "every tenth row is held out.",
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder that holds the data set's files.")
@click.option(
    "--epochs",
    type=_whole,
    default=spec.EPOCHS,
    show_default=True,
    help="Number of the last epoch, earlier ones of a resumed run counted.",
)
@click.option("--batch-size", type=_whole, default=spec.BATCH_SIZE, show_default=True, help="Images a step.")
@click.option("--seed", type=_seed, default=0, show_default=True, help="Of weights, order of images and noise.")
@click.option("--latent-dim", type=_whole, default=spec.LATENT_DIM, show_default=True, help="Latents.")
@click.option("--hidden-dim", type=_whole, default=spec.HIDDEN_DIM, show_default=True, help="Hidden units.")
@_device
@click.option(
    "--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True, help="Precision."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    show_default="runs/DATA-BACKEND-seedSEED",
    help="Folder for the run's files.",
)
@click.option("--resume", type=click.Path(path_type=Path), metavar="DIR", help="Go on with the run in DIR.")
@click.option("--force", is_flag=True, help="Replace a run that is already in --out; other files stay.")
@click.pass_context
def train(context: click.Context, /, out: Path | None, resume: Path | None, force: bool, **options: Any) -> None:
    """Train the model and keep it in a folder.

    After every epoch the folder holds the weights, the training state, the settings and the losses; at the end,
    pictures too. Ctrl-C loses only the epoch under way.

    With --resume, options that are not given are the run's own; --epochs, --backend, --device and --data-dir may
    change.
    """
    if resume is not None and (out is not None or force):
        raise click.UsageError("--resume goes on in the run's own folder; leave out --out and --force.")
    from applications import training

    if resume is None:
        options["backend"] = options["backend"] or _default_backend()
        training.start(training.Settings(**options), out, force=force)
    else:
        by_default = ParameterSource.DEFAULT
        given = {name: value for name, value in options.items() if context.get_parameter_source(name) is not by_default}
        training.resume(resume, given)


@vae.command()
@click.option(
    "--weights", type=click.Path(path_type=Path), required=True, help="A run's folder or a .safetensors file."
)
@click.option("--n", type=_whole, default=64, show_default=True, help="Number of images.")
@click.option("--seed", type=_seed, default=0, show_default=True, help="Of the latents, the same for every backend.")
@click.option(
    "--out", type=click.Path(path_type=Path), default="samples.png", show_default=True, help="A .png or .npy file."
)
@_backend
@_device
@click.option(
    "--image-shape", type=_whole, nargs=2, metavar="H W", help="Where it is neither in config.json nor square."
)
@click.option("--force", is_flag=True, help="Replace --out if it exists.")
def generate(backend: str | None, **options: Any) -> None:
    """Decode draws of the prior, with any backend.

    The weights may come from any backend; equal seeds give equal images.
    A .png is a grid of the images; an .npy holds the probabilities, float32 of shape (n, pixels).
    """
    from applications import generation

    generation.generate(backend=backend or _default_backend(), **options)


@vae.command()
def backends() -> None:
    """List the backends and how to install them."""
    from applications import versions

    versions.print_backends()


def main() -> None:
    """The entry point."""
    vae(prog_name="vae")


def _default_backend() -> str:
    return installed()[0]
