"""`vae score`."""

from pathlib import Path
from typing import Any

import click

from vae_rosetta.applications.commands import options
from vae_rosetta.shared.command_line import SEED, WHOLE, Command

_SCORES = (
    "reconstruction-at-mean",
    "elbo",
    "elbo-deviance",
    "reconstruction-log-prob",
    "reconstruction-log-mean-prob",
    "iwae-k",
)


@click.command(
    cls=Command,
    examples=(
        "vae score photos.parquet --weights runs/first --out scores.parquet",
        "vae score photos.csv --weights runs/first --out scores.csv --normal good.npy",
    ),
)
@click.argument("source", metavar="IN", type=options.PATH)
@options.weights
@click.option("--out", type=options.PATH, required=True, help="Write the scores to this .parquet, .csv or .jsonl file.")
@click.option("--score", type=click.Choice(_SCORES), default="elbo", show_default=True, help="Compute this score.")
@click.option(
    "--samples",
    type=WHOLE,
    default=16,
    show_default=True,
    help="Draw N samples of z for each image: the k of iwae-k.",
)
@click.option(
    "--seed", type=SEED, default=0, show_default=True, help="Draw the z from this seed; every port draws the same."
)
@click.option(
    "--normal",
    type=options.PATH,
    show_default="the images that the run held out",
    help="Take the threshold from these normal images, a file as IN.",
)
@click.option(
    "--false-alarm", type=float, default=0.01, show_default=True, help="Flag at most this share of normal images."
)
@click.option("--threshold", type=float, help="Flag images that score above this, in nats, instead.")
@click.option("--no-threshold", is_flag=True, help="Flag nothing.")
@click.option("--pictures", "picture", type=options.PATH, help="Draw the 100 most anomalous images in this .png file.")
@click.option(
    "--columns",
    metavar="PREFIX",
    show_default="all of numbers",
    help="Take a table's pixels from the columns whose names begin with PREFIX.",
)
@click.option("--id", metavar="COLUMN", help="Name the rows by this column of a table.")
@options.backend
@options.device
@click.option(
    "--image-shape",
    type=WHOLE,
    nargs=2,
    metavar="H W",
    help="Draw --pictures in this shape; needed if it is not known otherwise.",
)
@options.force
def score(
    backend: str | None,
    out: Path,
    picture: Path | None,
    image_shape: tuple[int, int] | None,
    force: bool,
    **settings: Any,
) -> None:
    """Score how anomalous images are, and flag the worst.

    IN is an .npy or .npz file, idx images, a folder of PNGs, or a Parquet or CSV table with a column for each pixel.
    Pixels are whole numbers from 0 to 255, or floats in [0, 1]. The file may be of any size, since it is read part by
    part.

    Scores are in nats. A higher score is more anomalous. Equal weights, seed and row number give equal scores with any
    port, up to rounding. Rows that rounding could move across the threshold are marked.
    """
    from vae_rosetta.applications.detection import scoring

    chosen = scoring.Settings(backend=backend or options.default_backend(), **settings)
    scoring.run(chosen, out=out, picture=picture, image_shape=image_shape, force=force)
