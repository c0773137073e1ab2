"""`vae score`."""

from pathlib import Path
from typing import Any

import click

from vae_rosetta.applications.commands import options

_SCORES = (
    "reconstruction-at-mean",
    "elbo",
    "elbo-deviance",
    "reconstruction-log-prob",
    "reconstruction-log-mean-prob",
    "iwae-k",
)


@click.command()
@click.argument("source", metavar="IN", type=options.PATH)
@options.weights
@click.option("--out", type=options.PATH, required=True, help="A .parquet, .csv or .jsonl file.")
@click.option("--score", type=click.Choice(_SCORES), default="elbo", show_default=True, help="Which score.")
@click.option("--samples", type=options.WHOLE, default=16, show_default=True, help="Samples of z for an image; k.")
@click.option("--seed", type=options.SEED, default=0, show_default=True, help="Of the samples.")
@click.option(
    "--normal",
    type=options.PATH,
    show_default="the images that the run held out",
    help="Normal images to take the threshold from, as IN.",
)
@click.option(
    "--false-alarm", type=float, default=0.01, show_default=True, help="Largest rate of normal images to flag."
)
@click.option("--threshold", type=float, help="Flag what scores above this, in nats, instead.")
@click.option("--no-threshold", is_flag=True, help="Scores only.")
@click.option("--pictures", "picture", type=options.PATH, help="A .png for the 100 most anomalous images.")
@click.option(
    "--columns", metavar="PREFIX", show_default="all of numbers", help="How a table's pixel columns' names begin."
)
@click.option("--id", metavar="COLUMN", help="The column of a table that names its rows.")
@options.backend
@options.device
@click.option("--image-shape", type=options.WHOLE, nargs=2, metavar="H W", help="For --pictures, where nothing tells.")
@options.force
def score(
    backend: str | None,
    out: Path,
    picture: Path | None,
    image_shape: tuple[int, int] | None,
    force: bool,
    **settings: Any,
) -> None:
    """Score how anomalous each image of IN is, and flag those above a threshold.

    IN is an .npy or .npz file, idx images, a folder of PNGs, or a Parquet or CSV table with a column for each pixel:
    whole numbers from 0 to 255, or floats in [0, 1]. Any size: it is read part by part.

    Scores are in nats, higher is more anomalous. Equal weights, seed and row number give equal scores with any backend,
    up to rounding; rows so near the threshold that rounding could decide are marked.
    """
    from vae_rosetta.applications.detection import scoring

    chosen = scoring.Settings(backend=backend or options.default_backend(), **settings)
    scoring.run(chosen, out=out, picture=picture, image_shape=image_shape, force=force)
