"""Options that several commands share, so that they mean the same and read the same everywhere."""

from pathlib import Path
from typing import Final

import click

from vae_rosetta.implementations.ports import PORTS, installed

_FIRST_INSTALLED: Final = f"the first installed of {', '.join(PORTS)}"

WHOLE: Final = click.IntRange(min=1)
SEED: Final = click.IntRange(min=0)
PATH: Final = click.Path(path_type=Path)

backend = click.option(
    "--backend",
    type=click.Choice(list(PORTS)),
    show_default=_FIRST_INSTALLED,
    help="A port of the model; `vae backends` lists them.",
)
device = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto: a GPU if there is one.",
)
data_dir = click.option("--data-dir", type=PATH, help="Folder that holds the data set's files.")
weights = click.option("--weights", type=PATH, required=True, help="A run's folder or a .safetensors file.")
block_size = click.option(
    "--block-size", type=WHOLE, default=500, show_default=True, help="Images that are lost together when damaged."
)
lanes = click.option(
    "--lanes", type=WHOLE, default=64, show_default=True, help="Blocks coded together: speed, and nothing else."
)
force = click.option("--force", is_flag=True, help="Replace --out if it exists.")


def default_backend() -> str:
    """The first backend whose framework is installed."""
    return installed()[0]
