"""What the tests of compression share: a tiny network, images, and a small file."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vae_rosetta.applications import runs
from vae_rosetta.applications.compression import work
from vae_rosetta.applications.compression.quantisation import IntegerNetwork, quantise
from vae_rosetta.applications.compression.work import Prepared
from vae_rosetta.shared import parameters
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes


@pytest.fixture(scope="session")
def params() -> dict[str, Array]:
    """Weights of 12 pixels, 8 hidden units, 3 latents, four times as wide as initial ones: pixels depend on latents."""
    return {name: 4 * value for name, value in parameters.initial(3, Sizes(12, 8, 3)).items()}


@pytest.fixture(scope="session")
def network(params: dict[str, Array]) -> IntegerNetwork:
    return quantise(params)


@pytest.fixture(scope="session")
def prepared(network: IntegerNetwork) -> Prepared:
    """The network in the oracle."""
    return work.prepare(network, "oracle")


@pytest.fixture(scope="session")
def x() -> npt.NDArray[np.uint8]:
    """57 images (57, 12) of 0 and 1."""
    random = np.random.default_rng(0)
    prototypes = random.integers(0, 2, (4, 12))
    noisy = prototypes[random.integers(0, 4, 57)] ^ (random.random((57, 12)) < 0.1)
    return np.asarray(noisy, dtype=np.uint8)


@pytest.fixture(scope="session")
def data(x: npt.NDArray[Any], prepared: Prepared) -> bytes:
    """A .vaez file of six blocks, the last one short."""
    return work.compress(x, prepared, block_size=10)


@pytest.fixture
def weights(tmp_path: Path, params: dict[str, Array]) -> Path:
    """The weights in a run's folder."""
    folder = tmp_path / "run"
    folder.mkdir()
    parameters.save(folder / runs.WEIGHTS, params)
    return folder
