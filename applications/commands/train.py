"""`vae train`."""

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from vae_rosetta.applications.commands import options
from vae_rosetta.shared import spec
from vae_rosetta.shared.command_line import SEED, WHOLE, Command


@click.command(
    cls=Command,
    examples=(
        "vae train --data mnist-5k --epochs 10 --out runs/first",
        "vae train --resume runs/first --epochs 20 --backend jax",
        "vae train --data mnist --binarise dynamic --epochs 100 --out runs/bits",
    ),
)
@options.backend
@click.option(
    "--data",
    default="mnist-5k",
    show_default=True,
    help="Train on mnist-5k, mnist, or an .npy or .npz file of shape (N, D) or (N, h, w), uint8 or floats in [0, 1]. "
    "Every tenth row of a file is held out.",
)
@options.data_dir
@click.option(
    "--binarise",
    type=click.Choice(["none", "dynamic"]),
    default="none",
    show_default=True,
    help="Train on black and white pixels: dynamic draws each pixel by its grey value, anew for every epoch and once "
    "for the test images.",
)
@click.option(
    "--epochs",
    type=WHOLE,
    default=spec.EPOCHS,
    show_default=True,
    help="Train up to this epoch; a resumed run counts its earlier ones.",
)
@click.option(
    "--batch-size",
    type=WHOLE,
    default=spec.BATCH_SIZE,
    show_default=True,
    help="Train on N images in each step.",
)
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Draw the initial weights, the order of the images and the noise from this seed.",
)
@click.option(
    "--latent-dim",
    type=WHOLE,
    default=spec.LATENT_DIM,
    show_default=True,
    help="Give the model N latents.",
)
@click.option(
    "--hidden-dim",
    type=WHOLE,
    default=spec.HIDDEN_DIM,
    show_default=True,
    help="Give each hidden layer N units.",
)
@options.device
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64", "mixed_bfloat16"]),
    default="float32",
    show_default=True,
    help="Compute in this precision. With mixed_bfloat16 the layers compute in bfloat16, which is faster with PyTorch "
    "on CPUs that have it.",
)
@click.option(
    "--out",
    type=options.PATH,
    show_default="runs/DATA[-dynamic]-BACKEND-seedSEED",
    help="Keep the run in this folder.",
)
@click.option("--resume", type=options.PATH, metavar="DIR", help="Continue the run in DIR.")
@click.option("--force", is_flag=True, help="Replace a run that is in --out already. Other files stay.")
@click.pass_context
def train(context: click.Context, /, out: Path | None, resume: Path | None, force: bool, **settings: Any) -> None:
    """Train a VAE and keep it in a folder.

    After every epoch the folder holds the weights, the training state, the settings and the losses. At the end it holds
    pictures, too. Ctrl-C loses the unfinished epoch only.

    --resume continues a run as if it had never stopped, with its own settings. Only --epochs, --backend, --device and
    --data-dir may differ.
    """
    if resume is not None and (out is not None or force):
        raise click.UsageError("--resume continues in the run's own folder; leave out --out and --force.")
    from vae_rosetta.applications import training
    from vae_rosetta.applications.settings import Settings

    if resume is None:
        settings["backend"] = settings["backend"] or options.default_backend()
        training.start(Settings(**settings), out, force=force)
    else:
        by_default = ParameterSource.DEFAULT
        given = {
            name: value for name, value in settings.items() if context.get_parameter_source(name) is not by_default
        }
        training.resume(resume, given)
