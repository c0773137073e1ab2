"""`vae generate`."""

from typing import Any

import click

from vae_rosetta.applications.commands import options


@click.command()
@options.weights
@click.option(
    "--kind",
    type=click.Choice(["samples", "reconstructions", "interpolation", "traversal", "manifold", "class-means"]),
    default="samples",
    show_default=True,
    help="What to decode, see above.",
)
@click.option(
    "--n",
    type=options.WHOLE,
    show_default="64 samples, 10 reconstructions, 10 steps between two images, 13 of each latent, 20 x 20 places",
    help="Number of images or steps.",
)
@click.option(
    "--seed", type=options.SEED, default=0, show_default=True, help="Of the latents, the same for every backend."
)
@click.option("--data", show_default="the run's own", help="As for vae train: images to start from.")
@options.data_dir
@click.option("--between", type=int, nargs=2, metavar="I J", help="Rows of the held-out images to interpolate between.")
@click.option("--image", type=int, metavar="I", help="Row of the held-out image to traverse around, instead of 0.")
@click.option("--dimensions", metavar="I,J,...", help="Latents to traverse, instead of all.")
@click.option("--out", type=options.PATH, default="samples.png", show_default=True, help="A .png or .npy file.")
@options.backend
@options.device
@click.option(
    "--image-shape", type=options.WHOLE, nargs=2, metavar="H W", help="Where it is neither in config.json nor square."
)
@options.force
def generate(backend: str | None, dimensions: str | None, **settings: Any) -> None:
    """Decode points of the latent space, with any backend.

    The weights may come from any backend; equal options give equal images. A .png is a picture, and an .npy holds the
    probabilities that the pixels are 1, float32, in the shape that is given here:

    \b
    samples          draws of the prior                        (n, pixels)
    reconstructions  held-out images, their reconstructions    (2, n, pixels)
    interpolation    image I, n steps in the latents, image J  (n + 2, pixels)
    traversal        a row per latent, moved from -3 to 3      (latents, n, pixels)
    manifold         the prior of two latents, as a map        (n, n, pixels)
    class-means      the mean latents of each class            (classes, pixels)

    The rows of a traversal are ordered by what the latents tell about the data (their KL), if those are known.
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
