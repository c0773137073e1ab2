"""`vae evaluate samples`."""

from typing import Any

import click

from vae_rosetta.applications import outputs
from vae_rosetta.applications.commands import options
from vae_rosetta.shared.command_line import SEED, WHOLE, Command


@click.command(
    cls=Command,
    examples=("vae evaluate samples --weights runs/first",),
)
@options.weights
@click.option(
    "--data", show_default="the run's own", help="Compare with these images, which have labels; see vae train."
)
@options.data_dir
@click.option(
    "--n",
    type=WHOLE,
    show_default="10,000, or as many as are held out",
    help="Compare N images of each set. The distance depends on N.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Draw samples, ceilings and bits from this seed.")
@options.backend
@options.device
@click.option(
    "--out",
    type=options.PATH,
    show_default=f"{outputs.SAMPLES.file} in the run's folder; none for weights that are a file",
    help=options.out_json,
)
@options.force
def samples(backend: str | None, **settings: Any) -> None:
    """Measure how good the model's samples are.

    The samples stand beside real images, and beside two kinds of images that need no VAE: draws of a Gaussian on
    principal components, and draws of each pixel by itself.

    A small classifier is trained on the training images first. In the space of its hidden layer the command measures
    the Frechet distance to the training images, precision, recall, density and coverage. Its labels show whether all
    classes are drawn as often as they occur. The distance to the nearest training image, in pixels, shows whether the
    model repeats what it has seen.
    """
    from vae_rosetta.applications.generation import evaluation

    evaluation.evaluate(backend=backend or options.default_backend(), **settings)
