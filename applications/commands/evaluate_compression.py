"""`vae evaluate compression`."""

from pathlib import Path
from typing import Any

import click

from vae_rosetta.applications import outputs
from vae_rosetta.applications.commands import options
from vae_rosetta.shared.command_line import SEED, WHOLE, Command


@click.command(
    cls=Command,
    examples=("vae evaluate compression --weights runs/bits",),
)
@options.weights
@click.option("--data", show_default="the run's own", help=options.data_of_run)
@options.data_dir
@click.option(
    "--binarise",
    type=click.Choice(["drawn", "rounded"]),
    default="drawn",
    show_default=True,
    help="Make grey pixels black and white. drawn makes a pixel white with the probability of its grey value; rounded "
    "makes it white from 1/2 on.",
)
@options.draw_seed
@click.option("--images", "images_count", type=WHOLE, show_default="all", help="Take only the first N held-out images.")
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Draw the noise for the negative ELBO from this seed.",
)
@options.block_size
@options.lanes
@options.backend
@options.device
@click.option(
    "--out", type=options.PATH, show_default=f"{outputs.COMPRESSION.file} in the run's folder", help=options.out_json
)
@options.force
def compression(weights: Path, backend: str | None, **settings: Any) -> None:
    """Measure how well the model compresses held-out images.

    The table shows the rates of lossless compression, beside the model's likelihood and other compressors.
    """
    from vae_rosetta.applications.compression import evaluation

    evaluation.evaluate(weights_path=weights, backend=backend or options.default_backend(), **settings)
