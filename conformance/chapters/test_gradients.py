"""Chapter gradients: of the summed objective, tensor by tensor."""

import numpy as np
import pytest

from conformance.plugin import Grader
from shared.vectors import Vector

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
