"""Trained weights, from wherever `--weights` points, in a model of any backend."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vae_rosetta.applications import runs, startup
from vae_rosetta.applications.runs import Run
from vae_rosetta.shared import datasets, parameters
from vae_rosetta.shared.binarisation import GREY, Protocol
from vae_rosetta.shared.contract import FullModel, Tensors
from vae_rosetta.shared.datasets import Dataset
from vae_rosetta.shared.spec import Sizes


@dataclass(frozen=True)
class Weights:
    """Parameters, and the run that they come from: a run's `weights.safetensors` has one, any other file has none."""

    file: Path
    params: Tensors
    sizes: Sizes
    run: Run | None = None

    @property
    def tested_on(self) -> Protocol:
        """What their run was tested on; grey pixels where no run is known."""
        return Protocol(GREY) if self.run is None else self.run.tested_on

    def image_shape(self, given: Sequence[int] | None = None) -> tuple[int, int]:
        """Height and width of the images: as given, else as the run tells, else square.

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
        if self.run is not None and self.run.config.dataset.image_shape is not None:
            return self.run.config.dataset.image_shape
        side = round(pixels**0.5)
        if side * side != pixels:
            raise ValueError(
                f"image-shape: {self.file} has {pixels} pixels, which is no square, and {runs.CONFIG} tells no shape; "
                "give --image-shape H W"
            )
        return side, side

    def data(self, name: str | None = None, data_dir: Path | None = None) -> Dataset:
        """The data called `name`, by default the run's own, grey whatever the run made of them.

        Raises:
            FileNotFoundError: they are gone.
            ModuleNotFoundError: a package is needed to read them.
            ValueError: nothing tells which; they are no longer what the run had; or not images of the model's size.
        """
        if name is not None:
            data = datasets.load(name, data_dir=data_dir)
        elif self.run is not None:
            data = self.run.data(data_dir)
        else:
            raise ValueError(f"data: no {runs.CONFIG} beside {self.file} names its data; give --data")
        width, expected = data.test.shape[1], self.sizes.input_dim
        if width != expected:
            raise ValueError(f"data: got {data.name} with {width} pixels; expected {expected}, as {self.file} has")
        return data

    def as_seen(self, data: Dataset) -> Dataset:
        """`data` as the run saw them: see `Run.as_seen`."""
        return data if self.run is None else self.run.as_seen(data)

    def load(self, backend: str, *, device: str = "auto", dtype: str = "float32") -> "Loaded":
        """The weights in a model of `backend`.

        Raises:
            ModuleNotFoundError: the backend's framework is not installed.
            ValueError: unknown backend, device or dtype.
        """
        return Loaded(self, *startup.load(backend, self.params, device=device, dtype=dtype))


class Loaded(NamedTuple):
    """Weights in a model of a backend."""

    weights: Weights
    model: FullModel
    by: str  # framework and version, for a report


def read(path: Path) -> Weights:
    """The weights that `path` names: a run's folder, or a file such as its `weights.safetensors`.

    Raises:
        FileNotFoundError: there are no such weights.
        TypeError, ValueError: the file, or its run's `config.json`, is damaged, or they do not fit one another; the
            message names it.
    """
    file = path / runs.WEIGHTS if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"weights: got {path}; expected a run's folder or a .safetensors file")
    run = None
    if file.name == runs.WEIGHTS and (file.parent / runs.CONFIG).is_file():
        run = runs.read(file.parent)
    params = parameters.read_params(file, None if run is None else run.sizes)
    return Weights(file, params, parameters.sizes_of(params), run)
