"""Chapter errors: bad input gets a TypeError or ValueError that names the argument, and changes nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vae_rosetta.conformance.grader import Grader
from vae_rosetta.shared import recipe
from vae_rosetta.shared.contract import Array, FullModel, Tensors

pytestmark = pytest.mark.clause("input")

X = np.full((4, 12), 0.5, np.float32)
NOISE = np.zeros((4, 3), np.float32)
ORDER = np.zeros((2, 4), np.int64)
STEP_NOISE = np.zeros((2, 4, 3), np.float32)


def _with(array: Array, value: float) -> Array:
    changed = array.copy()
    changed[-1, -1] = value
    return changed


BAD_IMAGES = {
    "wrong D": X[:, :11],
    "one dimension": X[0],
    "empty batch": X[:0],
    "NaN": _with(X, np.nan),
    "infinity": _with(X, np.inf),
    "above 1": _with(X, 1.01),
    "below 0": _with(X, -0.01),
    "8-bit pixels": X.astype(np.uint8),
    "integers": X.astype(np.int64),
    "half precision": X.astype(np.float16),
    "a list": X.tolist(),
}
BAD_LATENTS = {
    "wrong L": NOISE[:, :2],
    "wrong B": NOISE[:3],
    "NaN": _with(NOISE, np.nan),
    "integers": NOISE.astype(np.int64),
}
BAD_ORDERS = {
    "row out of range": ORDER + 4,
    "negative row": ORDER - 1,
    "floats": ORDER.astype(np.float32),
    "one dimension": ORDER[0],
    "no steps": ORDER[:0],
}


def _refuses(argument: str, call: Callable[[], Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"\b{argument}\b"):
        call()


@pytest.mark.parametrize("x", BAD_IMAGES.values(), ids=BAD_IMAGES.keys())
def test_images(grader: Grader, x: Array) -> None:
    model = grader.untouched()
    _refuses("x", lambda: model.encode(x))
    _refuses("x", lambda: model.losses(x, NOISE))


@pytest.mark.parametrize("noise", BAD_LATENTS.values(), ids=BAD_LATENTS.keys())
def test_noise(grader: Grader, noise: Array) -> None:
    model = grader.untouched()
    _refuses("noise", lambda: model.losses(X, noise))
    _refuses("noise", lambda: model.reparameterize(NOISE, NOISE, noise))
    if noise.shape[1:] == (3,) and len(noise) == 3:
        return  # any number of rows is a batch of z
    _refuses("z", lambda: model.decode(noise))


@pytest.mark.ability("train")
@pytest.mark.parametrize("x", BAD_IMAGES.values(), ids=BAD_IMAGES.keys())
def test_training_images_leave_the_model_alone(grader: Grader, x: Array) -> None:
    model = grader.untouched()
    before = model.state()
    _refuses("x", lambda: model.train(x, ORDER, STEP_NOISE))
    _refuses("x", lambda: model.train(recipe.held(model, x), ORDER, STEP_NOISE))
    _refuses("x", lambda: model.gradients(x, NOISE))
    for name, tensor in model.state().items():
        np.testing.assert_array_equal(tensor, before[name], err_msg=name, strict=True)


@pytest.mark.ability("loss_on_probabilities")
@pytest.mark.parametrize("recon_x", BAD_IMAGES.values(), ids=BAD_IMAGES.keys())
def test_probabilities(grader: Grader, recon_x: Array) -> None:
    _refuses("recon_x", lambda: grader.untouched().loss_on_probabilities(recon_x, X, NOISE, NOISE))


@pytest.mark.ability("loss_on_probabilities")
def test_posterior_of_probabilities(grader: Grader) -> None:
    loss = grader.untouched().loss_on_probabilities
    _refuses("x", lambda: loss(X, _with(X, 1.01), NOISE, NOISE))
    _refuses("mu", lambda: loss(X, X, NOISE[:3], NOISE))
    _refuses("logvar", lambda: loss(X, X, NOISE, _with(NOISE, np.nan)))


@pytest.mark.ability("train")
@pytest.mark.parametrize("order", BAD_ORDERS.values(), ids=BAD_ORDERS.keys())
def test_order(grader: Grader, order: Array) -> None:
    model = grader.untouched()
    _refuses("order", lambda: model.train(X, order, STEP_NOISE))
    held = recipe.held(model, X)  # X itself if the model offers no `hold`
    _refuses("order", lambda: model.train(held, order, STEP_NOISE))


@pytest.mark.ability("train")
def test_training_noise(grader: Grader) -> None:
    model = grader.untouched()
    _refuses("noise", lambda: model.train(X, ORDER, STEP_NOISE[:1]))
    _refuses("noise", lambda: model.train(X, ORDER, np.full_like(STEP_NOISE, np.nan)))


def _bad_params(params: Tensors) -> dict[str, dict[str, Array]]:
    nan, name = dict(params), "decoder.fc4.weight"
    nan[name] = _with(params[name], np.nan)
    return {
        "missing": {k: v for k, v in params.items() if k != name},
        "extra": {**params, "decoder.fc5.weight": params[name]},
        "misshapen": {**params, name: params[name].T},
        "not finite": nan,
        "integers": {**params, name: params[name].astype(np.int64)},
    }


@pytest.mark.parametrize("fault", ["missing", "extra", "misshapen", "not finite", "integers"])
def test_params(grader: Grader, params: Tensors, fault: str) -> None:
    bad = _bad_params(params)[fault]
    _refuses("decoder.fc5.weight" if fault == "extra" else "decoder.fc4.weight", lambda: grader.load(bad))


@pytest.mark.parametrize(("argument", "value"), [("dtype", "float16"), ("dtype", "bfloat16"), ("device", "gpu7")])
def test_load_options(grader: Grader, params: Tensors, argument: str, value: str) -> None:
    _refuses(argument, lambda: grader.backend.load(params, **{argument: value}))


@pytest.mark.ability("train")
def test_state(grader: Grader) -> None:
    model: FullModel = grader.untouched()
    state = model.state()
    _refuses("adam.step", lambda: model.load_state({k: v for k, v in state.items() if k != "adam.step"}))
    _refuses("adam.step", lambda: model.load_state({**state, "adam.step": np.array(-1)}))
    moment = "adam.v.encoder.fc1.weight"
    _refuses(moment, lambda: model.load_state({**state, moment: state[moment][:1]}))
    for name, tensor in model.state().items():
        np.testing.assert_array_equal(tensor, state[name], err_msg=name, strict=True)


@pytest.mark.ability("sample")
@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, True], ids=str)
def test_seed(grader: Grader, seed: int) -> None:
    model = grader.untouched()
    _refuses("seed", lambda: model.sample(X, seed))
    _refuses("seed", lambda: model.generate(1, seed))


@pytest.mark.ability("sample")
@pytest.mark.parametrize("n", [0, -3, 2.5], ids=str)
def test_n(grader: Grader, n: int) -> None:
    model = grader.untouched()
    _refuses("n", lambda: model.generate(n, 0))
