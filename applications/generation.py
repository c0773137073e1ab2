"""`vae generate`: images decoded from draws of the prior that are the same for every backend."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
import numpy as np
import numpy.typing as npt

from applications import outputs, pictures
from applications.weights import load as load_weights
from applications.weights import read as read_weights
from shared import files, stream
from shared.contract import Array, Model
from shared.oracle import sigmoid
from shared.stream import Purpose

_ROWS: Final = 1000  # images decoded in one call: large enough to be fast, small enough for any memory
_MOST_IN_A_PICTURE: Final = 10_000


def latents(seed: int, n: int, latent_dim: int) -> npt.NDArray[np.float32]:
    """Draws of the prior, (n, L), from stream (seed, LATENT, 0): the first ones do not depend on n."""
    return stream.normal(seed, Purpose.LATENT, 0, (n, latent_dim))


def probabilities(model: Model, z: Array) -> npt.NDArray[np.float32]:
    """Latents z (n, L) -> probabilities of the pixels (n, D)."""
    parts = [sigmoid(model.decode(z[i : i + _ROWS]).astype(np.float64)) for i in range(0, len(z), _ROWS)]
    return np.concatenate([part.astype(np.float32) for part in parts])


def generate(
    *,
    weights: Path,
    out: Path,
    n: int,
    seed: int,
    backend: str,
    device: str = "auto",
    image_shape: Sequence[int] | None = None,
    force: bool = False,
) -> None:
    """Decodes `latents(seed, n, L)` and writes a grid (.png) or the probabilities, float32 (n, D) (.npy).

    Args:
        weights: a run's folder, or a file such as its `weights.safetensors`.
        image_shape: height and width; default those in `config.json` beside the weights, else square.
        force: replace `out` if it exists.

    Raises:
        FileNotFoundError: there are no such weights.
        ModuleNotFoundError: the backend's framework is not installed.
        OSError: `out` cannot be written.
        TypeError, ValueError: a bad argument or file; the message names it.
    """
    ending = outputs.check(out, endings=(".png", ".npy"), force=force)
    if ending == ".png" and n > _MOST_IN_A_PICTURE:
        raise ValueError(f"n: got {n}; expected at most {_MOST_IN_A_PICTURE} in a .png (an .npy takes any number)")
    stored = read_weights(weights)
    shape = stored.image_shape(image_shape) if ending == ".png" else None
    loaded = load_weights(stored, backend, device=device)
    decoded = probabilities(loaded.model, latents(seed, n, stored.sizes.latent_dim))
    if shape is not None:
        pictures.save_png(out, pictures.grid(pictures.as_images(decoded, shape)))
    else:
        with files.replacing(out) as temporary, temporary.open("wb") as opened:
            np.save(opened, decoded)
    click.echo(
        f"{out}: {n} images of {stored.sizes.input_dim} pixels, seed {seed}, {stored.file} decoded by {loaded.by}"
    )
