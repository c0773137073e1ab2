"""The part of each port that stands alone, in the framework's terms: `pytest tests/standalone --framework torch`.

`with_<word>.py` has the words in which a framework differs from the others.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vae_rosetta.shared.contract import Array

HERE = Path(__file__).parent
FRAMEWORKS = sorted(path.stem.removeprefix("with_") for path in HERE.glob("with_*.py"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--framework", choices=FRAMEWORKS, required=True, help="the port whose own classes are tested")


@pytest.fixture(scope="session")
def framework(request: pytest.FixtureRequest) -> Any:
    """The words of the framework that the command line names; `module` is its port."""
    sys.path.insert(0, str(HERE))
    return importlib.import_module(f"with_{request.config.getoption('--framework')}")


@pytest.fixture
def images() -> Array:
    """x (50, 12): a few grey images with structure to learn."""
    random = np.random.default_rng(0)
    prototypes = random.integers(0, 2, (3, 12))
    x: Array = np.clip(prototypes[random.integers(0, 3, 50)] * 0.9 + 0.05, 0, 1).astype(np.float32)
    return x
