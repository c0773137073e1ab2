"""What the tests of `vae train` share: tiny images, a finished run, and how two runs are compared."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from vae_rosetta.applications import runs
from vae_rosetta.applications.cli import vae
from vae_rosetta.shared.spec import Sizes

EXACT_FILES = (runs.WEIGHTS, runs.STATE, runs.SAMPLES, runs.RECONSTRUCTIONS)


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the checkout."""
    return Path(__file__).parents[2]


@pytest.fixture(scope="session")
def sizes() -> Sizes:
    """The sizes of every model here: the pixels of `data`, and the layers as `options` names them."""
    return Sizes(12, 8, 3)


@pytest.fixture(scope="session")
def options() -> tuple[str, ...]:
    """The options of every run but those for data, folder and epochs."""
    return ("--backend", "oracle", "--batch-size", "16", "--hidden-dim", "8", "--latent-dim", "3")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """60 images of 4 x 3 pixels: 54 to train on, in 4 steps of which the last is short, and 6 to test on."""
    path = tmp_path / "tiny.npy"
    np.save(path, np.random.default_rng(0).random((60, 4, 3), dtype=np.float32))
    return path


@pytest.fixture(scope="session")
def train() -> Callable[..., Result]:
    """Calls `vae train`."""

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(vae, ["train", *map(str, arguments)])

    return call


@pytest.fixture(scope="session")
def run(train: Callable[..., Result], options: tuple[str, ...]) -> Callable[..., Path]:
    """Makes a finished run."""

    def call(data: Path, out: Path, epochs: int, *more: object) -> Path:
        result = train(*options, "--data", data, "--out", out, "--epochs", epochs, *more)
        assert result.exit_code == 0, result.output
        return out

    return call


@pytest.fixture(scope="session")
def template(run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs, trained once."""
    folder = tmp_path_factory.mktemp("template")
    np.save(folder / "tiny.npy", np.random.default_rng(0).random((60, 4, 3), dtype=np.float32))
    return run(folder / "tiny.npy", folder / "run", 2)


@pytest.fixture
def finished(template: Path, tmp_path: Path) -> Path:
    """A finished run of two epochs, for this test alone."""
    return shutil.copytree(template, tmp_path / "finished")


def _losses(folder: Path) -> list[dict[str, Any]]:
    """The metrics without the times."""
    return [{**line, "seconds": 0, "images_per_second": 0} for line in runs.read(folder).metrics()]


@pytest.fixture
def assert_same_run() -> Callable[[Path, Path], None]:
    """Compares all that two runs computed."""

    def check(got: Path, expected: Path) -> None:
        for name in EXACT_FILES:
            assert (got / name).read_bytes() == (expected / name).read_bytes(), name
        assert _losses(got) == _losses(expected)

    return check
