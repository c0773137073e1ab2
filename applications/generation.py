"""`vae generate`: images decoded from draws of the prior that are the same for every backend."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
import numpy as np
import numpy.typing as npt

from applications import pictures, runs
from applications.startup import load_backend, load_model
from shared import files, parameters, stream
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
    if (ending := out.suffix.lower()) not in (".png", ".npy"):
        raise ValueError(f"out: got {out}; expected a name that ends in .png or .npy")
    if not out.parent.is_dir():
        raise ValueError(f"out: got {out}; expected a folder that exists, and there is no {out.parent}")
    if out.exists() and not force:
        raise ValueError(f"out: got {out}, which exists; --force replaces it")
    if ending == ".png" and n > _MOST_IN_A_PICTURE:
        raise ValueError(f"n: got {n}; expected at most {_MOST_IN_A_PICTURE} in a .png (an .npy takes any number)")
    file = weights / runs.WEIGHTS if weights.is_dir() else weights
    if not file.is_file():
        raise FileNotFoundError(f"weights: got {weights}; expected a run's folder or a .safetensors file")
    params = parameters.read_params(file)
    sizes = parameters.sizes_of(params)
    shape = _image_shape(file, sizes.input_dim, image_shape) if ending == ".png" else None
    module = load_backend(backend)
    model = load_model(module, params, device=device)
    decoded = probabilities(model, latents(seed, n, sizes.latent_dim))
    if shape is not None:
        pictures.save_png(out, pictures.grid(pictures.as_images(decoded, shape)))
    else:
        with files.replacing(out) as temporary, temporary.open("wb") as opened:
            np.save(opened, decoded)
    about = module.describe()
    click.echo(
        f"{out}: {n} images of {sizes.input_dim} pixels, seed {seed}, "
        f"{file} decoded by {about['framework']} {about['version']}"
    )


def _image_shape(weights: Path, pixels: int, given: Sequence[int] | None) -> Sequence[int]:
    if given is not None:
        if given[0] * given[1] != pixels:
            raise ValueError(f"image-shape: got {given[0]} x {given[1]}; expected {pixels} pixels, as the model has")
        return given
    if (weights.parent / runs.CONFIG).is_file():
        config = runs.read_config(weights.parent)
        known: Sequence[int] | None = config.get("dataset", {}).get("image_shape")
        if known and known[0] * known[1] == pixels:
            return known
    side = round(pixels**0.5)
    if side * side != pixels:
        raise ValueError(
            f"image-shape: {weights} has {pixels} pixels, which is no square, and {runs.CONFIG} tells no shape; "
            "give --image-shape H W"
        )
    return side, side
