"""Chapter checkpoint: a state that is stored and loaded resumes exactly, in this backend or another."""

from pathlib import Path

import numpy as np
import pytest

from vae_rosetta.conformance.grader import Grader
from vae_rosetta.shared import oracle, parameters
from vae_rosetta.shared.contract import Array, Tensors
from vae_rosetta.shared.spec import Sizes

pytestmark = [pytest.mark.clause("state"), pytest.mark.ability("train")]


def _steps(seed: int) -> tuple[Array, Array, Array]:
    """Three steps of four: x (20, 12), order (3, 4), noise (3, 4, 3)."""
    random = np.random.default_rng(seed)
    x = random.random((20, 12)).astype(np.float32)
    return x, random.integers(0, 20, (3, 4)), random.standard_normal((3, 4, 3)).astype(np.float32)


def test_state_is_named_and_shaped_and_survives_a_file(grader: Grader, params: Tensors, tmp_path: Path) -> None:
    model = grader.load(params)
    fresh = model.state()
    assert {name: tensor.shape for name, tensor in fresh.items()} == parameters.state_shapes(Sizes(12, 8, 3))
    assert fresh["adam.step"].dtype == np.int64
    assert not any(tensor.any() for name, tensor in fresh.items() if name.startswith("adam."))
    model.train(*_steps(0))
    assert int(model.state()["adam.step"]) == 3
    parameters.save(tmp_path / "state.safetensors", model.state())
    read = parameters.read(tmp_path / "state.safetensors")
    for name, tensor in model.state().items():
        np.testing.assert_array_equal(read[name], tensor, err_msg=name, strict=True)


def test_resumed_run_equals_the_uninterrupted_one(grader: Grader, params: Tensors) -> None:
    whole = grader.load(params)
    whole.train(*_steps(0))
    resumed = grader.load({name: np.zeros_like(tensor) for name, tensor in params.items()})
    resumed.load_state(whole.state())
    np.testing.assert_array_equal(whole.train(*_steps(1)), resumed.train(*_steps(1)), strict=True)
    for name, tensor in resumed.state().items():
        np.testing.assert_array_equal(tensor, whole.state()[name], err_msg=name, strict=True)


def test_a_long_run_counts_on(grader: Grader, params: Tensors) -> None:
    """Steps beyond 2^24, which float32 cannot count one by one."""
    model = grader.load(params)
    steps = 2**24 + 1
    model.load_state({**model.state(), "adam.step": np.array(steps, dtype=np.int64)})
    assert int(model.state()["adam.step"]) == steps
    model.train(*_steps(0))
    assert int(model.state()["adam.step"]) == steps + 3


def test_states_belong_to_the_caller(grader: Grader, params: Tensors) -> None:
    model = grader.load(params)
    model.train(*_steps(0))
    before = {name: tensor.copy() for name, tensor in model.state().items()}  # a state may itself be shared
    handed_over = model.state()
    model.load_state(handed_over)
    for tensor in handed_over.values():
        tensor.fill(0)
    for tensor in model.state().values():
        tensor.fill(0)
    for name, tensor in model.state().items():
        np.testing.assert_array_equal(tensor, before[name], err_msg=name, strict=True)


def test_weights_of_the_oracle_load_and_answer_alike(grader: Grader, params: Tensors, tmp_path: Path) -> None:
    """Trained by the oracle, stored in a file, loaded here: the same losses."""
    teacher = oracle.load(params, dtype="float32")
    teacher.train(*_steps(2))
    parameters.save(tmp_path / "weights.safetensors", teacher.params())
    student = grader.load(parameters.read_params(tmp_path / "weights.safetensors"))
    x, _, noise = _steps(3)
    expected = oracle.load(teacher.params(), dtype="float64").losses(x[:4], noise[0])
    for found, wanted in zip(student.losses(x[:4], noise[0]), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=60 * grader.eps)  # 60 rounded terms
