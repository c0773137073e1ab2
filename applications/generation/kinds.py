"""The kinds of pictures: for each, an array for programs and the same images as labelled rows for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vae_rosetta.applications.generation import points
from vae_rosetta.applications.generation.decoding import Draw, probabilities
from vae_rosetta.shared import passes, stream
from vae_rosetta.shared.contract import Array, Model
from vae_rosetta.shared.datasets import Dataset
from vae_rosetta.shared.stream import Purpose

_ACROSS: Final = 16  # images of one row of reconstructions in a picture

Pixels = npt.NDArray[np.float32]


class Row(NamedTuple):
    """Images beside one another."""

    label: str
    images: Pixels  # (n, D)


@dataclass(frozen=True)
class Drawing:
    """What a kind has made."""

    array: Pixels  # what an .npy holds; its shape is in the function that made it
    rows: Sequence[Row]
    columns: Sequence[str]  # a label for each column, or none
    title: str
    about: str  # what the line on stdout says of it


def reconstructions(model: Model, data: Dataset, n: int) -> Drawing:
    """(2, n, D): n held-out images, evenly from all over the data, and what is decoded from their posterior means.

    Raises:
        ValueError: fewer images are held out.
    """
    if n > len(data.test):
        raise ValueError(f"n: got {n}; expected at most {len(data.test)}, the images held out in {data.name}")
    originals = data.test[np.linspace(0, len(data.test) - 1, n).round().astype(int)]  # (n, D)
    decoded = probabilities(model, points.posterior_means(model, originals))
    rows = [
        Row(label, images[first : first + _ACROSS])
        for first in range(0, n, _ACROSS)
        for label, images in (("image", originals), ("reconstruction", decoded))
    ]
    title = f"{data.name}: held-out images, and reconstructions at the posterior mean"
    return Drawing(np.stack([originals, decoded]), rows, (), title, f"{n} images above their reconstructions")


def interpolation(model: Model, data: Dataset, n: int, *, between: tuple[int, int] | None, seed: int) -> Drawing:
    """(n + 2, D): held-out image I; n images on the arc between both posterior means, ends included; image J.

    Args:
        between: I and J, rows of the held-out images; default: `pair`.

    Raises:
        ValueError: a row that is not held out, or n below two.
    """
    rows = between or pair(data, seed)
    images = np.stack([_held_out(data, row, "between") for row in rows])  # (2, D)
    start, end = points.posterior_means(model, images)
    decoded = probabilities(model, points.arc(start, end, n))
    array = np.concatenate([images[:1], decoded, images[1:]])
    columns = ["image", *(f"{share:.2f}" for share in np.linspace(0.0, 1.0, n)), "image"]
    first, second = rows
    title = f"{data.name}: from held-out image {first} to {second}, on the arc between their posterior means"
    return Drawing(
        array, [Row("", array)], columns, title, f"{n} steps between the held-out images {first} and {second}"
    )


def pair(data: Dataset, seed: int) -> tuple[int, int]:
    """Two held-out rows picked by stream (seed, LATENT, 1), of different classes if there are labels.

    Raises:
        ValueError: there is only one image.
    """
    if len(data.test) < 2:
        raise ValueError(f"data: got {data.name} with one image held out; expected two to interpolate between")
    order = stream.permutation(seed, Purpose.LATENT, Draw.PAIR, len(data.test))
    labels = data.test_labels if data.test_labels is not None else np.arange(len(order))
    others = order[labels[order] != labels[order[0]]]
    return int(order[0]), int(others[0] if len(others) else order[1])


def traversal(
    model: Model, latent_dim: int, n: int, *, data: Dataset | None, image: int | None, dimensions: Sequence[int] | None
) -> Drawing:
    """(K, n, D): a row for each of K latents, moved in n steps from -3 to 3 standard deviations of the prior.

    The other latents stay where the posterior mean of held-out image `image` has them, or at 0 if that is None. The
    latents are `dimensions`, or all: the most informative first if there are data to tell (their KL over the images
    held out), else by number.

    Raises:
        ValueError: no such image or latent, n below two, or `image` without data.
    """
    centre = np.zeros(latent_dim, dtype=np.float32)
    if image is not None:
        if data is None:
            raise ValueError(f"image: got {image} without data; give --data")
        centre = points.posterior_means(model, _held_out(data, image, "image")[None])[0]
    kl = passes.posterior(model, data.test).kl_of_latents() if data is not None else None
    if dimensions is None:
        dimensions = range(latent_dim) if kl is None else points.most_informative_first(kl)
    z = points.traversal(centre, dimensions, n)  # (K, n, L)
    array = probabilities(model, z.reshape(-1, latent_dim)).reshape(*z.shape[:2], -1)
    labels = [f"latent {latent}" + ("" if kl is None else f": {kl[latent]:.2f} nats") for latent in dimensions]
    around = "0" if image is None else f"held-out image {image}"
    order = ", ".join(map(str, dimensions))
    return Drawing(
        array,
        [Row(label, images) for label, images in zip(labels, array, strict=True)],
        [f"{step:+.3g}" if step else "0" for step in points.steps(n)],
        f"Around {around}: one latent at a time, in standard deviations of the prior",
        f"{n} steps for each of the latents {order} around {around}",
    )


def manifold(model: Model, latent_dim: int, n: int) -> Drawing:
    """(n, n, D): the prior of a model of two latents as a map, latent 0 rising to the right and latent 1 upwards.

    Raises:
        ValueError: the model has not two latents.
    """
    if latent_dim != 2:
        raise ValueError(
            f"kind: got manifold for a model of {latent_dim} latents; expected 2 (vae train --latent-dim 2)"
        )
    z = points.manifold(n)
    array = probabilities(model, z.reshape(-1, 2)).reshape(n, n, -1)
    quantiles = [f"{value:.2f}" for value in points.quantiles(n)]
    return Drawing(
        array,
        [Row(label, images) for label, images in zip(reversed(quantiles), array, strict=True)],
        quantiles,
        "Latent 0 to the right, latent 1 upwards, at quantiles of the prior",
        f"{n} x {n} quantiles of the prior",
    )


def class_means(model: Model, data: Dataset) -> Drawing:
    """(C, D): for each class, rising, the decoded mean of the posterior means of its training images.

    Raises:
        ValueError: the data have no labels.
    """
    if data.train_labels is None:
        raise ValueError(f"kind: got class-means for {data.name}, which has no labels; expected data with y_train")
    classes, means = points.class_means(points.posterior_means(model, data.train), data.train_labels)
    array = probabilities(model, means)
    across = [slice(first, first + _ACROSS) for first in range(0, len(array), _ACROSS)]
    one_row = len(across) == 1
    return Drawing(
        array,
        [Row("" if one_row else f"{classes[at][0]} to {classes[at][-1]}", array[at]) for at in across],
        [str(label) for label in classes] if one_row else (),
        f"{data.name}: the mean of the posterior means of each class, decoded",
        f"the means of the classes {', '.join(map(str, classes))}",
    )


def _held_out(data: Dataset, row: int, argument: str) -> Array:
    """Held-out image `row`, (D,)."""
    if not 0 <= row < len(data.test):
        raise ValueError(f"{argument}: got {row}; expected rows of the images held out, 0 to {len(data.test) - 1}")
    image: Array = data.test[row]
    return image
