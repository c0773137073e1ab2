"""The part of each backend that stands alone, in the framework's terms: `pytest tests/listing --listing torch`."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from shared.contract import Array


class Listing(NamedTuple):
    """A backend's own classes, and the few words in which the frameworks differ."""

    name: str
    module: Any
    tensor: Callable[[Array], Any]
    model: Callable[..., Any]
    optimizer: Callable[[Any], Any]  # Adam for a model


def _torch() -> Listing:
    import torch

    module: Any = importlib.import_module("implementations.torch_vae")
    adam = lambda model: torch.optim.Adam(model.parameters(), lr=1e-3)  # noqa: E731 -- one word of a table
    return Listing("torch", module, torch.tensor, module.VAE, adam)


def _tensorflow() -> Listing:
    import tensorflow as tf

    module: Any = importlib.import_module("implementations.tensorflow_vae")
    return Listing("tensorflow", module, tf.constant, module.VAE, lambda model: module.Adam(1e-3))


def _jax() -> Listing:
    import jax.numpy as jnp
    from flax import nnx

    module: Any = importlib.import_module("implementations.jax_vae")
    adam = lambda model: nnx.Optimizer(model, module.adam(1e-3), wrt=nnx.Param)  # noqa: E731 -- one word of a table
    return Listing("jax", module, jnp.asarray, module.VAE, adam)


LISTINGS = {"torch": _torch, "tensorflow": _tensorflow, "jax": _jax}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--listing", choices=list(LISTINGS), required=True, help="the backend whose own classes are tested"
    )


@pytest.fixture(scope="session")
def listing(request: pytest.FixtureRequest) -> Listing:
    """The backend named on the command line."""
    return LISTINGS[request.config.getoption("--listing")]()


@pytest.fixture
def images() -> Array:
    """x (50, 12): a few grey images with structure to learn."""
    random = np.random.default_rng(0)
    prototypes = random.integers(0, 2, (3, 12))
    x: Array = np.clip(prototypes[random.integers(0, 3, 50)] * 0.9 + 0.05, 0, 1).astype(np.float32)
    return x
