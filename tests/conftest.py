"""What every test relies on."""

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from vae_rosetta.applications.settings import Config, Pixels, Settings, TrainedOn
from vae_rosetta.shared import datasets


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_works() -> Iterator[None]:
    """Also where the tests run in the background of a shell, which has SIGINT ignored, by children too."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    if former is not None:
        signal.signal(signal.SIGINT, former)


@pytest.fixture(scope="session")
def config_of() -> Callable[..., Config]:
    """Makes what a run of the oracle on a data set is told by; other settings by name."""

    def call(data: str, *, hidden_dim: int = 8, latent_dim: int = 3, **others: Any) -> Config:
        settings: dict[str, Any] = {
            "backend": "oracle",
            "data": data,
            "data_dir": None,
            "binarise": "none",
            "epochs": 2,
            "batch_size": 128,
            "seed": 0,
            "latent_dim": latent_dim,
            "hidden_dim": hidden_dim,
            "device": "auto",
            "dtype": "float32",
        }
        dataset = TrainedOn.of(datasets.load(data))
        chosen = Settings(**settings | others)
        return Config(chosen, "1.0", dataset, chosen.epochs, {"framework": "numpy"}, {}, (), Pixels("grey", "grey"))

    return call
