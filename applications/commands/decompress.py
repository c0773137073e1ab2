"""`vae decompress`."""

from pathlib import Path
from typing import Any

import click

from vae_rosetta.applications.commands import options


@click.command()
@click.argument("source", metavar="IN.vaez", type=options.PATH)
@click.argument("out", metavar="OUT.npy", type=options.PATH)
@options.weights
@options.backend
@options.device
@options.lanes
@click.option("--salvage", is_flag=True, help="Of a damaged file write the images that are whole, and tell the others.")
@click.option("--force", is_flag=True, help="Replace OUT.npy if it exists.")
def decompress(weights: Path, backend: str | None, **settings: Any) -> None:
    """Restore the images of a .vaez file, in the shape and number type they came in.

    The weights must be those it was made with; the backend may be any.
    """
    from vae_rosetta.applications.compression import work

    work.decompress_file(weights_path=weights, backend=backend or options.default_backend(), **settings)
