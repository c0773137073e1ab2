"""`vae train`."""

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from vae_rosetta.applications.commands import options
from vae_rosetta.shared import spec


@click.command()
@options.backend
@click.option(
    "--data",
    default="mnist-5k",
    show_default=True,
    help="mnist-5k, mnist, or an .npy or .npz file of shape (N, D) or (N, h, w), uint8 or floats in [0, 1]; "
    "every tenth row is held out.",
)
@options.data_dir
@click.option(
    "--binarise",
    type=click.Choice(["none", "dynamic"]),
    default="none",
    show_default=True,
    help="dynamic: black and white pixels, drawn by their grey value anew for every epoch, once for the test images.",
)
@click.option(
    "--epochs",
    type=options.WHOLE,
    default=spec.EPOCHS,
    show_default=True,
    help="Number of the last epoch, earlier ones of a resumed run counted.",
)
@click.option("--batch-size", type=options.WHOLE, default=spec.BATCH_SIZE, show_default=True, help="Images a step.")
@click.option("--seed", type=options.SEED, default=0, show_default=True, help="Of weights, order of images and noise.")
@click.option("--latent-dim", type=options.WHOLE, default=spec.LATENT_DIM, show_default=True, help="Latents.")
@click.option("--hidden-dim", type=options.WHOLE, default=spec.HIDDEN_DIM, show_default=True, help="Hidden units.")
@options.device
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64", "mixed_bfloat16"]),
    default="float32",
    show_default=True,
    help="Precision; mixed_bfloat16: layers compute in bfloat16, faster with PyTorch on CPUs that have it.",
)
@click.option(
    "--out",
    type=options.PATH,
    show_default="runs/DATA[-dynamic]-BACKEND-seedSEED",
    help="Folder for the run's files.",
)
@click.option("--resume", type=options.PATH, metavar="DIR", help="Go on with the run in DIR.")
@click.option("--force", is_flag=True, help="Replace a run that is already in --out; other files stay.")
@click.pass_context
def train(context: click.Context, /, out: Path | None, resume: Path | None, force: bool, **settings: Any) -> None:
    """Train the model and keep it in a folder.

    After every epoch the folder holds the weights, the training state, the settings and the losses; at the end,
    pictures too. Ctrl-C loses only the epoch under way.

    With --resume, options that are not given are the run's own; --epochs, --backend, --device and --data-dir may
    change.
    """
    if resume is not None and (out is not None or force):
        raise click.UsageError("--resume goes on in the run's own folder; leave out --out and --force.")
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
