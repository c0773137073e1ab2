"""`vae evaluate samples`."""

from typing import Any

import click

from vae_rosetta.applications.commands import options


@click.command()
@options.weights
@click.option("--data", show_default="the run's own", help="As for vae train: images with labels to compare with.")
@options.data_dir
@click.option(
    "--n",
    type=options.WHOLE,
    show_default="10,000, or as many as are held out",
    help="Images in each set: the distance depends on their number.",
)
@click.option("--seed", type=options.SEED, default=0, show_default=True, help="Of samples, ceilings and bits.")
@options.backend
@options.device
@click.option(
    "--out",
    type=options.PATH,
    show_default="samples.json in the run's folder; none for weights that are a file",
    help="A .json file.",
)
@options.force
def samples(backend: str | None, **settings: Any) -> None:
    """Measure samples, beside real images and ceilings.

    The ceilings are what could be made without a model: a Gaussian on principal components, and pixels picked apart.
    A small classifier is trained on the training images as judge. In the space of its hidden layer: the Frechet
    distance to the training images, precision, recall, density and coverage; by its labels, whether all classes are
    drawn as often as they should be; among the pixels, how far the nearest training image is.
    """
    from vae_rosetta.applications.generation import evaluation

    evaluation.evaluate(backend=backend or options.default_backend(), **settings)
