"""`vae compress`."""

from pathlib import Path
from typing import Any

import click

from vae_rosetta.applications.commands import options


@click.command()
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
    help="Make grey pixels black and white first: white with the probability of their grey value, or from 1/2 on.",
)
@click.option("--seed", type=options.SEED, default=0, show_default=True, help="Of --binarise drawn.")
@click.option("--force", is_flag=True, help="Replace OUT.vaez if it exists.")
def compress(weights: Path, backend: str | None, **settings: Any) -> None:
    """Compress black-and-white images, losslessly.

    IN is an .npy or .npz file of 0 and 1, in any number type, of shape (N, D) or (N, h, w). The bytes of OUT do not
    depend on the backend, the machine or --lanes; decompressing takes the same weights.
    """
    from vae_rosetta.applications.compression import work

    work.compress_file(weights_path=weights, backend=backend or options.default_backend(), **settings)
