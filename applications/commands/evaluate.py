"""`vae evaluate`, and where the commands below it are."""

from typing import Any

import click

from vae_rosetta.applications import outputs
from vae_rosetta.applications.commands import options
from vae_rosetta.shared.command_line import SEED, WHOLE, CommandWithOthers

_HERE = "vae_rosetta.applications.commands"


@click.command(
    cls=CommandWithOthers,
    others={
        "samples": f"{_HERE}.evaluate_samples:samples",
        "anomaly": f"{_HERE}.evaluate_anomaly:anomaly",
        "compression": f"{_HERE}.evaluate_compression:compression",
    },
    examples=(
        "vae evaluate --weights runs/first",
        "vae evaluate --weights runs/bits --importance 1000",
        "vae evaluate samples --weights runs/first",
    ),
)
@options.weights
@click.option("--data", show_default="the run's own", help=options.data_of_run)
@options.data_dir
@click.option(
    "--binarise",
    type=click.Choice(["none", "drawn", "rounded"]),
    show_default="as the run was trained",
    help="Make grey pixels black and white, or leave them. drawn makes a pixel white with the probability of its grey "
    "value; rounded makes it white from 1/2 on.",
)
@options.draw_seed
@click.option(
    "--samples", type=WHOLE, default=10, show_default=True, help="Draw N samples of z for each image, for the ELBO."
)
@click.option(
    "--importance",
    type=WHOLE,
    metavar="K",
    help="Estimate the likelihood, too, from K importance-weighted samples of z for each image. Pixels must be black "
    "and white. 1000 samples take about two minutes for MNIST.",
)
@click.option("--images", type=WHOLE, show_default="all", help="Take only the first N held-out images.")
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Draw the z from this seed; every port draws the same.",
)
@options.backend
@options.device
@click.option(
    "--out", type=options.PATH, show_default=f"{outputs.LIKELIHOOD.file} in the run's folder", help=options.out_json
)
@options.force
def evaluate(backend: str | None, **settings: Any) -> None:
    """Measure the ELBO and the likelihood on held-out images.

    The table shows the negative ELBO, the likelihood with --importance, and how much each latent is used.
    """
    from vae_rosetta.applications.evaluation import command

    weights = settings.pop("weights")
    command.evaluate(weights_path=weights, backend=backend or options.default_backend(), **settings)
