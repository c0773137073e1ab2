"""`vae decompress`."""

from pathlib import Path
from typing import Any

import click

from vae_rosetta.applications.commands import options
from vae_rosetta.shared.command_line import Command


@click.command(
    cls=Command,
    examples=("vae decompress digits.vaez same.npy --weights runs/bits",),
)
@click.argument("source", metavar="IN.vaez", type=options.PATH)
@click.argument("out", metavar="OUT.npy", type=options.PATH)
@options.weights
@options.backend
@options.device
@options.lanes
@click.option("--salvage", is_flag=True, help="Write the whole images of a damaged file, and list the others.")
@click.option("--force", is_flag=True, help="Replace OUT.npy if it exists.")
def decompress(weights: Path, backend: str | None, **settings: Any) -> None:
    """Restore the images of a .vaez file.

    They have the shape and the number type that they had before. The weights must be those that the file was made with.
    Any port may decompress what another compressed.
    """
    from vae_rosetta.applications.compression import work

    work.decompress_file(weights_path=weights, backend=backend or options.default_backend(), **settings)
