"""What the tests of the benchmark share: modules to measure, images of few pixels, and the schema of the results."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vae_rosetta
from vae_rosetta.shared.datasets import Dataset

PORT = """
import os, time
from vae_rosetta.shared import oracle
from vae_rosetta.shared.oracle import describe

print("a port may print what it likes")

def load(params, *, dtype="float32", device="auto"):
    return Port(oracle.load(params, dtype=dtype, device=device))

class Port:
    def __init__(self, model):
        self._model = model

    def __getattr__(self, name):
        if name in ABSENT:
            raise AttributeError(name)
        return getattr(self._model, name)

ABSENT = set()
"""
IDLE = """
    def train(self, x, order, noise):
        return order[:, 0] * noise[0, 0, 0]
"""


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads on a busy machine wait for each other: not what is tested here."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder that holds the packages."""
    return Path(vae_rosetta.__file__).parents[1]


@pytest.fixture(scope="session")
def schema(root: Path) -> dict[str, Any]:
    """The JSON schema of the results."""
    found: dict[str, Any] = json.loads((root / "benchmarks/schema.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="session")
def port() -> Callable[..., str]:
    """Writes the text of a module: the oracle with some methods of its own, and without those that are absent."""

    def write(methods: str = "", absent: str = "set()") -> str:
        return PORT.replace("\nABSENT = set()", f"{methods}\nABSENT = {absent}")

    return write


@pytest.fixture(scope="session")
def idle() -> str:
    """The method of a port that returns objectives and trains nothing."""
    return IDLE


@pytest.fixture
def ports(root: Path, port: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Writes a module that workers and the suite can import: the oracle with some methods of its own."""
    monkeypatch.setenv("PYTHONPATH", f"{root}{os.pathsep}{tmp_path}")

    def write(name: str, methods: str = "", absent: str = "set()") -> str:
        (tmp_path / f"{name}.py").write_text(port(methods, absent), encoding="utf-8")
        return name

    return write


@pytest.fixture
def tiny() -> Dataset:
    """300 random images of 16 pixels."""
    x = np.random.default_rng(0).random((300, 16), dtype=np.float32)
    return Dataset("tiny", x, x[:10], None, None, (4, 4), "0" * 64)
