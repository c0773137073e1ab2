"""What the tests of detection share: a tiny model, its run's folder, images, and the command."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from vae_rosetta.applications import runs
from vae_rosetta.applications.cli import vae
from vae_rosetta.applications.settings import Config
from vae_rosetta.shared import oracle, parameters
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes

SIZES = Sizes(12, 8, 3)


@pytest.fixture(scope="session")
def params() -> dict[str, Array]:
    """Parameters of 12 pixels, 8 hidden units, 3 latents; wider than initial ones, so that scores differ."""
    return {name: 3.0 * value for name, value in parameters.initial(3, SIZES).items()}


@pytest.fixture(scope="session")
def model(params: dict[str, Array]) -> oracle.Oracle:
    """The oracle with those parameters."""
    return oracle.load(params)


@pytest.fixture(scope="session")
def images() -> Array:
    """300 images of 12 pixels, multiples of 1/255, and so exact as uint8 too."""
    return (np.random.default_rng(0).integers(0, 256, (300, 12)) / np.float32(255)).astype(np.float32)


@pytest.fixture
def run_folder(params: dict[str, Array], config_of: Callable[..., Config], tmp_path: Path) -> Path:
    """A run's folder whose own data are 200 held-out images of 4 x 3 pixels."""
    folder = tmp_path / "run"
    folder.mkdir()
    parameters.save(folder / runs.WEIGHTS, params)
    data = folder / "data.npz"
    rows = np.random.default_rng(1).random((210, 4, 3), dtype=np.float32)
    np.savez(data, train=rows[:10], test=rows[10:], y_train=np.arange(10), y_test=np.arange(200) % 10)
    config_of(str(data)).write(folder / runs.CONFIG)
    return folder


@pytest.fixture
def npy(images: Array, tmp_path: Path) -> Path:
    """The images as 4 x 3 uint8."""
    path = tmp_path / "images.npy"
    np.save(path, np.rint(images * 255).astype(np.uint8).reshape(-1, 4, 3))
    return path


@pytest.fixture(scope="session")
def score() -> Callable[..., Result]:
    """Calls `vae score` with the oracle."""

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(vae, ["score", "--backend", "oracle", *map(str, arguments)])

    return call
