"""Chapter gradients: of the summed objective, tensor by tensor."""

import numpy as np
import pytest

from vae_rosetta.conformance.grader import Grader
from vae_rosetta.shared.vectors import Vector

pytestmark = [pytest.mark.clause("loss.objective", "arch.relu"), pytest.mark.ability("gradients")]


@pytest.mark.chapter("gradients")
def test_vector(grader: Grader, vector: Vector) -> None:
    grader.check(vector)


def test_model_is_left_as_it_was(grader: Grader) -> None:
    model = grader.untouched()
    x = np.random.default_rng(0).random((4, 12)).astype(np.float32)
    noise = np.zeros((4, 3), np.float32)
    everything = getattr(model, "state", model.params)  # of a model that cannot train, params are all there is
    before = everything()
    first, second = model.gradients(x, noise), model.gradients(x, noise)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=f"{name}: gradients add up", strict=True)
    for name, tensor in everything().items():
        np.testing.assert_array_equal(tensor, before[name], err_msg=name, strict=True)


def test_order_of_the_batch_is_only_an_order_of_summation(grader: Grader) -> None:
    """A batch in another order: sums of 128 terms, rounded otherwise."""
    model = grader.untouched()
    x = np.random.default_rng(4).random((128, 12)).astype(np.float32)
    noise = np.random.default_rng(5).standard_normal((128, 3)).astype(np.float32)
    shuffled = np.random.default_rng(6).permutation(128)
    here, there = model.gradients(x, noise), model.gradients(x[shuffled], noise[shuffled])
    for name, gradient in here.items():
        # 128 partial sums, each rounded by half a unit, none taken to be above twice the largest gradient.
        room = 128 * grader.eps * max(1.0, float(np.abs(gradient).max()))
        np.testing.assert_allclose(there[name], gradient, rtol=0.0, atol=room, err_msg=name)
