"""Trained weights, from wherever `--weights` points, in a model of any backend."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vae_rosetta.applications import runs
from vae_rosetta.applications.runs import Json
from vae_rosetta.applications.startup import load_backend, load_model
from vae_rosetta.shared import parameters
from vae_rosetta.shared.contract import Array, FullModel
from vae_rosetta.shared.spec import Sizes


class Weights(NamedTuple):
    """Parameters and what is known of them."""

    file: Path
    params: dict[str, Array]
    sizes: Sizes
    config: Json | None  # of the run they come from, if it lies beside them

    def image_shape(self, given: Sequence[int] | None = None) -> tuple[int, int]:
        """Height and width of the images: as given, else as `config.json` tells, else square.

        Raises:
            ValueError: the given ones do not have the model's number of pixels, or nothing tells them.
        """
        pixels = self.sizes.input_dim
        if given is not None:
            if given[0] * given[1] != pixels:
                raise ValueError(
                    f"image-shape: got {given[0]} x {given[1]}; expected {pixels} pixels, as the model has"
                )
            return given[0], given[1]
        known: Sequence[int] | None = (self.config or {}).get("dataset", {}).get("image_shape")
        if known and known[0] * known[1] == pixels:
            return known[0], known[1]
        side = round(pixels**0.5)
        if side * side != pixels:
            raise ValueError(
                f"image-shape: {self.file} has {pixels} pixels, which is no square, and {runs.CONFIG} tells no shape; "
                "give --image-shape H W"
            )
        return side, side


class Loaded(NamedTuple):
    """Weights in a model of a backend."""

    weights: Weights
    model: FullModel
    by: str  # framework and version, for a report


def read(path: Path) -> Weights:
    """The weights that `path` names: a run's folder, or a file such as its `weights.safetensors`.

    Raises:
        FileNotFoundError: there are no such weights.
        TypeError, ValueError: the file, or the `config.json` beside it, is damaged; the message names it.
    """
    file = path / runs.WEIGHTS if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"weights: got {path}; expected a run's folder or a .safetensors file")
    params = parameters.read_params(file)
    config = runs.read_config(file.parent) if (file.parent / runs.CONFIG).is_file() else None
    return Weights(file, params, parameters.sizes_of(params), config)


def load(weights: Weights, backend: str, *, device: str = "auto", dtype: str = "float32") -> Loaded:
    """The weights in a model of `backend`.

    Raises:
        ModuleNotFoundError: the backend's framework is not installed.
        ValueError: unknown backend, device or dtype.
    """
    module = load_backend(backend)
    model = load_model(module, weights.params, device=device, dtype=dtype)
    about = module.describe()
    return Loaded(weights, model, f"{about['framework']} {about['version']}")
