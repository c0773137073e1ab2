"""`vae generate`: images decoded from points of the latent space, the same for every backend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import numpy as np
import numpy.typing as npt

from vae_rosetta.applications import outputs, pictures
from vae_rosetta.applications import weights as trained
from vae_rosetta.applications.generation import kinds
from vae_rosetta.applications.generation.decoding import latents, probabilities
from vae_rosetta.applications.generation.kinds import Drawing
from vae_rosetta.applications.weights import Loaded, Weights
from vae_rosetta.shared import checks, files
from vae_rosetta.shared.datasets import Dataset


class _Kind(NamedTuple):
    """What a kind of picture takes."""

    n: int | None  # images or steps, unless `--n` says how many
    most: int  # that a picture shows
    options: tuple[str, ...]  # of those that only some kinds have


_DATA: Final = ("data", "data_dir")
KINDS: Final[Mapping[str, _Kind]] = {
    "samples": _Kind(64, 10_000, ("n",)),
    "reconstructions": _Kind(10, 10_000, ("n", *_DATA)),
    "interpolation": _Kind(10, 100, ("n", *_DATA, "between")),
    "traversal": _Kind(13, 100, ("n", *_DATA, "image", "dimensions")),
    "manifold": _Kind(20, 100, ("n",)),
    "class-means": _Kind(None, 0, _DATA),
}


@dataclass(frozen=True)
class Choices:
    """The options that only some kinds have; None: not given."""

    n: int | None = None
    data: str | None = None
    data_dir: Path | None = None
    between: tuple[int, int] | None = None
    image: int | None = None
    dimensions: Sequence[int] | None = None


def generate(
    *,
    weights: Path,
    out: Path,
    seed: int,
    backend: str,
    kind: str = "samples",
    device: str = "auto",
    image_shape: Sequence[int] | None = None,
    force: bool = False,
    **choices: Any,
) -> None:
    """Decodes what `kind` asks for and writes a picture (.png), or the probabilities as float32 (.npy).

    Samples are `latents(seed, n, L)` decoded, (n, D), in a grid; the other kinds and their shapes are in `kinds`.

    Args:
        weights: a run's folder, or a file such as its `weights.safetensors`.
        seed: of the latents that are drawn, and of the choice of images to interpolate between.
        image_shape: height and width; default those in `config.json` beside the weights, else square.
        force: replace `out` if it exists.
        choices: see `Choices`.

    Raises:
        FileNotFoundError: there are no such weights or data.
        ModuleNotFoundError: the backend's framework is not installed.
        OSError: `out` cannot be written.
        TypeError, ValueError: a bad argument or file; the message names it.
    """
    _check(kind, choices)
    chosen = Choices(**choices)
    n = chosen.n or KINDS[kind].n or 0
    ending = outputs.check(out, endings=(".png", ".npy"), force=force)
    if ending == ".png" and n > KINDS[kind].most:
        raise ValueError(f"n: got {n}; expected at most {KINDS[kind].most} in a .png (an .npy takes any number)")
    stored = trained.read(weights)
    shape = stored.image_shape(image_shape) if ending == ".png" else None
    if kind == "samples":
        loaded = stored.load(backend, device=device)
        decoded = probabilities(loaded.model, latents(seed, n, stored.sizes.latent_dim))
        if shape is not None:
            pictures.save_png(out, pictures.grid(pictures.as_images(decoded, shape)))
        else:
            _save(out, decoded)
        about = f"{n} images of {stored.sizes.input_dim} pixels, seed {seed}"
    else:
        data = _data(stored, kind, chosen)
        loaded = stored.load(backend, device=device)
        drawing = _draw(loaded, kind, n, data, chosen, seed)
        if shape is not None:
            rows = [(label, pictures.as_images(images, shape)) for label, images in drawing.rows]
            pictures.save_table(out, rows, columns=drawing.columns, title=drawing.title)
        else:
            _save(out, drawing.array)
        about = drawing.about
    click.echo(f"{out}: {about}, {stored.file} decoded by {loaded.by}")


def _check(kind: str, choices: Mapping[str, Any]) -> None:
    """That nothing is given that `kind` would leave unheard."""
    checks.one_of("kind", kind, KINDS)
    for name, value in choices.items():
        if value is not None and name not in KINDS[kind].options:
            others = ", ".join(other for other, takes in KINDS.items() if name in takes.options)
            raise ValueError(f"{name.replace('_', '-')}: got {value} for {kind}; expected it for {others} only")


def _data(stored: Weights, kind: str, chosen: Choices) -> Dataset | None:
    """The data set that the kind needs, or that it can use: a traversal is ordered by it."""
    optional = kind == "traversal" and chosen.image is None and chosen.data is None
    if kind == "manifold" or (optional and (chosen.dimensions is not None or stored.run is None)):
        return None
    return stored.as_seen(stored.data(chosen.data, chosen.data_dir))


def _draw(loaded: Loaded, kind: str, n: int, data: Dataset | None, chosen: Choices, seed: int) -> Drawing:
    model, latent_dim = loaded.model, loaded.weights.sizes.latent_dim
    if kind == "traversal":
        return kinds.traversal(model, latent_dim, n, data=data, image=chosen.image, dimensions=chosen.dimensions)
    if data is None:
        return kinds.manifold(model, latent_dim, n)
    if kind == "interpolation":
        return kinds.interpolation(model, data, n, between=chosen.between, seed=seed)
    return kinds.reconstructions(model, data, n) if kind == "reconstructions" else kinds.class_means(model, data)


def _save(out: Path, array: npt.NDArray[np.float32]) -> None:
    with files.replacing(out) as temporary, temporary.open("wb") as opened:
        np.save(opened, array)
