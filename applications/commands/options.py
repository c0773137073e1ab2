"""Options that several commands share, so that they mean the same and read the same everywhere."""

from pathlib import Path
from typing import Final

import click

from vae_rosetta.implementations.ports import PORTS, installed
from vae_rosetta.shared.command_line import SEED, WHOLE

_FIRST_INSTALLED: Final = f"the first installed of {', '.join(PORTS)}"

PATH: Final = click.Path(path_type=Path)

backend = click.option(
    "--backend",
    type=click.Choice(list(PORTS)),
    show_default=_FIRST_INSTALLED,
    help="Compute with this port; vae backends lists them.",
)
device = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Compute on this device; auto takes a GPU if there is one.",
)
data_dir = click.option("--data-dir", type=PATH, help="Read the data set's files from this folder.")
weights = click.option(
    "--weights", type=PATH, required=True, help="Take the weights of this run's folder or .safetensors file."
)
block_size = click.option(
    "--block-size",
    type=WHOLE,
    default=500,
    show_default=True,
    help="Code N images together; damage to one loses them all.",
)
lanes = click.option(
    "--lanes",
    type=WHOLE,
    default=64,
    show_default=True,
    help="Code N blocks at a time, for speed; the result is the same.",
)
force = click.option("--force", is_flag=True, help="Replace --out if it exists.")
draw_seed = click.option(
    "--draw-seed", type=SEED, default=0, show_default=True, help="Seed the drawing of --binarise drawn with this."
)
out_json = "Write the results to this .json file."
data_of_run = "Take these images instead; see vae train."


def default_backend() -> str:
    """The first backend whose framework is installed."""
    return installed()[0]
