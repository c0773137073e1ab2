"""`vae generate`."""

from typing import Any

import click

from vae_rosetta.applications.commands import options
from vae_rosetta.shared.command_line import SEED, WHOLE, Command


@click.command(
    cls=Command,
    examples=(
        "vae generate --weights runs/first --out samples.png",
        "vae generate --weights runs/first --kind traversal --out traversal.png",
        "vae generate --weights runs/first --kind interpolation --between 3 8",
    ),
)
@options.weights
@click.option(
    "--kind",
    type=click.Choice(["samples", "reconstructions", "interpolation", "traversal", "manifold", "class-means"]),
    default="samples",
    show_default=True,
    help="Decode this; the kinds are listed above.",
)
@click.option(
    "--n",
    type=WHOLE,
    show_default="64 samples, 10 reconstructions, 10 steps between two images, 13 of each latent, 20 x 20 places",
    help="Make N images or steps.",
)
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Draw the latents from this seed; every port draws the same.",
)
@click.option("--data", show_default="the run's own", help="Start from these images instead; see vae train.")
@options.data_dir
@click.option(
    "--between", type=int, nargs=2, metavar="I J", help="Interpolate between these rows of the held-out images."
)
@click.option(
    "--image", type=int, metavar="I", help="Traverse around this row of the held-out images, instead of around 0."
)
@click.option("--dimensions", metavar="I,J,...", help="Traverse these latents, instead of all.")
@click.option(
    "--out", type=options.PATH, default="samples.png", show_default=True, help="Write to this .png or .npy file."
)
@options.backend
@options.device
@click.option(
    "--image-shape",
    type=WHOLE,
    nargs=2,
    metavar="H W",
    help="Draw images of this shape; needed if it is neither in config.json nor square.",
)
@options.force
def generate(backend: str | None, dimensions: str | None, **settings: Any) -> None:
    """Generate images from a trained model.

    Any port decodes the weights of any other. Equal options give equal images, up to rounding. A .png is a picture. An
    .npy holds the probability that each pixel is 1, in float32, in the shape listed here:

    \b
    samples          draws of the prior                        (n, pixels)
    reconstructions  held-out images, their reconstructions    (2, n, pixels)
    interpolation    image I, n steps in the latents, image J  (n + 2, pixels)
    traversal        a row per latent, moved from -3 to 3      (latents, n, pixels)
    manifold         the prior of two latents, as a map        (n, n, pixels)
    class-means      the mean latents of each class            (classes, pixels)

    The rows of a traversal are in the order of the latents' KL on the data, if that is known.
    """
    from vae_rosetta.applications.generation import command

    command.generate(backend=backend or options.default_backend(), dimensions=_whole_numbers(dimensions), **settings)


def _whole_numbers(text: str | None) -> list[int] | None:
    """The numbers in "0,3,7".

    Raises:
        click.BadParameter: it is no such list.
    """
    if text is None:
        return None
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise click.BadParameter(
            f"got {text!r}; expected whole numbers such as 0,3,7", param_hint="--dimensions"
        ) from None
