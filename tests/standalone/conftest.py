"""The part of each backend that stands alone, in the framework's terms: `pytest tests/standalone --framework torch`."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from vae_rosetta.shared.contract import Array


class Framework(NamedTuple):
    """A backend's own classes, and the few words in which the frameworks differ."""

    name: str
    module: Any
    tensor: Callable[[Array], Any]
    model: Callable[..., Any]
    optimizer: Callable[[Any], Any]  # Adam for a model
    seed: Callable[[int], object]  # of initial weights and noise, for the model made next


def _torch() -> Framework:
    import torch

    module: Any = importlib.import_module("vae_rosetta.implementations.torch_vae")
    adam = lambda model: torch.optim.Adam(model.parameters(), lr=1e-3)  # noqa: E731 -- one word of a table
    return Framework("torch", module, torch.tensor, module.VAE, adam, torch.manual_seed)


def _tensorflow() -> Framework:
    import tensorflow as tf

    module: Any = importlib.import_module("vae_rosetta.implementations.tensorflow_vae")
    seed = importlib.import_module("keras").utils.set_random_seed
    return Framework("tensorflow", module, tf.constant, module.VAE, lambda model: module.Adam(1e-3), seed)


def _jax() -> Framework:
    import jax.numpy as jnp
    from flax import nnx

    module: Any = importlib.import_module("vae_rosetta.implementations.jax_vae")
    adam = lambda model: nnx.Optimizer(model, module.adam(1e-3), wrt=nnx.Param)  # noqa: E731 -- one word of a table
    return Framework("jax", module, jnp.asarray, module.VAE, adam, lambda _: None)  # its models start from Rngs(0)


FRAMEWORKS = {"torch": _torch, "tensorflow": _tensorflow, "jax": _jax}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--framework", choices=list(FRAMEWORKS), required=True, help="the backend whose own classes are tested"
    )


@pytest.fixture(scope="session")
def framework(request: pytest.FixtureRequest) -> Framework:
    """The backend named on the command line."""
    return FRAMEWORKS[request.config.getoption("--framework")]()


@pytest.fixture
def images() -> Array:
    """x (50, 12): a few grey images with structure to learn."""
    random = np.random.default_rng(0)
    prototypes = random.integers(0, 2, (3, 12))
    x: Array = np.clip(prototypes[random.integers(0, 3, 50)] * 0.9 + 0.05, 0, 1).astype(np.float32)
    return x
