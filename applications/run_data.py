"""The data behind trained weights: those that are named, or the ones that the run was trained on."""

from pathlib import Path

from vae_rosetta.applications import runs
from vae_rosetta.applications.weights import Weights
from vae_rosetta.shared import datasets
from vae_rosetta.shared.datasets import Dataset


def load(stored: Weights, name: str | None = None, data_dir: Path | None = None) -> Dataset:
    """The data called `name`, by default the run's own, grey whatever the run made of them.

    Raises:
        FileNotFoundError: they are gone.
        ModuleNotFoundError: a package is needed to read them.
        ValueError: nothing tells which; they are no longer what the run had; or not images of the model's size.
    """
    data = _own(stored, data_dir) if name is None else datasets.load(name, data_dir=data_dir)
    width, expected = data.test.shape[1], stored.sizes.input_dim
    if width != expected:
        raise ValueError(f"data: got {data.name} with {width} pixels; expected {expected}, as {stored.file} has")
    return data


def known(stored: Weights) -> bool:
    """Whether the run tells which data it was trained on."""
    return "data" in (stored.config or {})


def _own(stored: Weights, data_dir: Path | None) -> Dataset:
    config = stored.config or {}
    if "data" not in config:
        raise ValueError(f"data: no {runs.CONFIG} beside {stored.file} names its data; give --data")
    name, sha256 = config["data"], config.get("dataset", {}).get("sha256")
    data = datasets.load(name, data_dir=data_dir or config.get("data_dir"))
    if sha256 not in (None, data.sha256):
        raise ValueError(
            f"data: got {name} (SHA-256 {data.sha256}); expected {sha256}, as the run had; --data {name} takes it as "
            "it is"
        )
    return data
