"""`vae compress`."""

from pathlib import Path
from typing import Any

import click

from vae_rosetta.applications.commands import options
from vae_rosetta.shared.command_line import SEED, Command


@click.command(
    cls=Command,
    examples=(
        "vae compress bits.npy digits.vaez --weights runs/bits",
        "vae compress grey.npy digits.vaez --weights runs/bits --binarise drawn",
    ),
)
@click.argument("source", metavar="IN.npy", type=options.PATH)
@click.argument("out", metavar="OUT.vaez", type=options.PATH)
@options.weights
@options.backend
@options.device
@options.block_size
@options.lanes
@click.option(
    "--binarise",
    type=click.Choice(["drawn", "rounded"]),
    help="Make grey pixels black and white first. drawn makes a pixel white with the probability of its grey value; "
    "rounded makes it white from 1/2 on.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed the drawing of --binarise drawn with this.")
@click.option("--force", is_flag=True, help="Replace OUT.vaez if it exists.")
def compress(weights: Path, backend: str | None, **settings: Any) -> None:
    """Compress black and white images without loss.

    IN is an .npy or .npz file of 0 and 1, in any number type, of shape (N, D) or (N, h, w). OUT has the same bytes with
    every port, machine and --lanes. Decompressing needs the same weights.
    """
    from vae_rosetta.applications.compression import work

    work.compress_file(weights_path=weights, backend=backend or options.default_backend(), **settings)
