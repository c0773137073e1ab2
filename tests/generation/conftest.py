"""What the tests of generation share: a tiny model in a run's folder, and labelled images that fit it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click.testing
import numpy as np
import pytest
from click.testing import CliRunner

from vae_rosetta.applications import runs
from vae_rosetta.applications.cli import vae
from vae_rosetta.applications.settings import Config
from vae_rosetta.shared import oracle, parameters
from vae_rosetta.shared.contract import FullModel
from vae_rosetta.shared.spec import Sizes


@pytest.fixture(scope="session")
def images() -> dict[str, Any]:
    """The arrays of a data set: three classes of 4 x 3 pixels, each bright where the others are dark."""
    generator = np.random.default_rng(0)

    def half(count: int) -> tuple[Any, Any]:
        labels = np.arange(count) % 3
        bright = np.arange(12) // 4 == labels[:, None]
        return (0.6 * bright + 0.4 * generator.random((count, 12))).astype(np.float32).reshape(-1, 4, 3), labels

    (x_train, y_train), (x_test, y_test) = half(90), half(30)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


@pytest.fixture
def data(images: dict[str, Any], tmp_path: Path) -> Path:
    """`images` in a file."""
    np.savez(tmp_path / "blocks.npz", **images)
    return tmp_path / "blocks.npz"


@pytest.fixture
def make_run(data: Path, config_of: Callable[..., Config], tmp_path: Path) -> Callable[..., Path]:
    """Makes a run's folder, of a model of 12 pixels, that knows `data`; others of its settings by name."""

    def call(latent_dim: int = 3, **settings: Any) -> Path:
        folder = tmp_path / f"run{latent_dim}"
        folder.mkdir()
        params = parameters.initial(1, Sizes(12, 8, latent_dim))
        params = {name: value * (6 if "weight" in name else 1) for name, value in params.items()}  # far from all grey
        parameters.save(folder / runs.WEIGHTS, params)
        known = config_of(str(data), latent_dim=latent_dim, seed=4)
        replace(known, settings=replace(known.settings, **settings)).write(folder / runs.CONFIG)
        return folder

    return call


@pytest.fixture
def run(make_run: Callable[..., Path]) -> Path:
    """The folder of a run of three latents."""
    return make_run()


@pytest.fixture(scope="session")
def model_of() -> Callable[[Path], FullModel]:
    """The model of a run, by the oracle."""
    return lambda folder: oracle.load(parameters.read_params(folder / runs.WEIGHTS))


@pytest.fixture(scope="session")
def vae_command() -> Callable[..., click.testing.Result]:
    """Calls `vae` with the oracle as backend."""

    def call(*arguments: object) -> click.testing.Result:
        return CliRunner().invoke(vae, [*map(str, arguments), "--backend", "oracle"])

    return call
