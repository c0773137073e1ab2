"""`vae generate`."""

from typing import Any

import click

from applications.commands import options


@click.command()
@options.weights
@click.option("--n", type=options.WHOLE, default=64, show_default=True, help="Number of images.")
@click.option(
    "--seed", type=options.SEED, default=0, show_default=True, help="Of the latents, the same for every backend."
)
@click.option("--out", type=options.PATH, default="samples.png", show_default=True, help="A .png or .npy file.")
@options.backend
@options.device
@click.option(
    "--image-shape", type=options.WHOLE, nargs=2, metavar="H W", help="Where it is neither in config.json nor square."
)
@options.force
def generate(backend: str | None, **settings: Any) -> None:
    """Decode draws of the prior, with any backend.

    The weights may come from any backend; equal seeds give equal images.
    A .png is a grid of the images; an .npy holds the probabilities, float32 of shape (n, pixels).
    """
    from applications import generation

    generation.generate(backend=backend or options.default_backend(), **settings)
