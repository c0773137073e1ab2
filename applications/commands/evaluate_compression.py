"""`vae evaluate compression`."""

from pathlib import Path
from typing import Any

import click

from vae_rosetta.applications.commands import options


@click.command()
@options.weights
@click.option("--data", show_default="the run's own", help="As for vae train; its held-out images are compressed.")
@options.data_dir
@click.option(
    "--binarise",
    type=click.Choice(["drawn", "rounded"]),
    default="drawn",
    show_default=True,
    help="What is done to grey pixels; drawn: each is 1 with the probability that its grey value is.",
)
@click.option("--draw-seed", type=options.SEED, default=0, show_default=True, help="Of --binarise drawn.")
@click.option("--images", "images_count", type=options.WHOLE, show_default="all", help="Only the first so many.")
@click.option("--seed", type=options.SEED, default=0, show_default=True, help="Of the noise for the negative ELBO.")
@options.block_size
@options.lanes
@options.backend
@options.device
@click.option("--out", type=options.PATH, show_default="compression.json in the run's folder", help="A .json file.")
@options.force
def compression(weights: Path, backend: str | None, **settings: Any) -> None:
    """Rates of lossless compression on held-out images, beside the model's likelihood and other compressors.

    Prints a table and writes a JSON file.
    """
    from vae_rosetta.applications.compression import evaluation

    evaluation.evaluate(weights_path=weights, backend=backend or options.default_backend(), **settings)
