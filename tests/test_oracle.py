"""The oracle, against finite differences and against arithmetic of 50 digits."""

from typing import Any

import mpmath
import numpy as np
import pytest

from vae_rosetta.shared import oracle, parameters, spec, vectors
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.oracle import Oracle
from vae_rosetta.shared.spec import Sizes

SIZES = Sizes(12, 8, 3)
Matrix = list[list[Any]]  # of mpmath numbers


@pytest.fixture
def batch() -> tuple[dict[str, Array], Array, Array]:
    """Parameters, x (5, 12) and noise (5, 3), all float64 and exact."""
    inputs = vectors.load()["gradients/tiny"].inputs
    params = {name.removeprefix("param."): v.astype(np.float64) for name, v in inputs.items() if "param." in name}
    return params, inputs["x"].astype(np.float64), inputs["noise"].astype(np.float64)


def _exactly(array: Array) -> Matrix:
    return [[mpmath.mpf(float(value)) for value in row] for row in np.atleast_2d(array)]


def _linear(params: dict[str, Matrix], layer: str, x: Matrix) -> Matrix:
    weight, bias = params[f"{layer}.weight"], params[f"{layer}.bias"][0]
    return [[mpmath.fdot(row, w) + b for w, b in zip(weight, bias, strict=True)] for row in x]


def _relu(x: Matrix) -> Matrix:
    return [[max(value, mpmath.mpf(0)) for value in row] for row in x]


def _losses(params: dict[str, Matrix], x: Matrix, noise: Matrix) -> tuple[list[Any], list[Any]]:
    """The text of the specification, line by line, in 50 digits."""
    hidden = _relu(_linear(params, "encoder.fc1", x))
    mu, logvar = _linear(params, "encoder.fc2_mu", hidden), _linear(params, "encoder.fc2_logvar", hidden)
    z = [
        [m + mpmath.exp(v / 2) * n for m, v, n in zip(*rows, strict=True)]
        for rows in zip(mu, logvar, noise, strict=True)
    ]
    logits = _linear(params, "decoder.fc4", _relu(_linear(params, "decoder.fc3", z)))
    reconstruction = [
        mpmath.fsum(mpmath.log(1 + mpmath.exp(logit)) - pixel * logit for logit, pixel in zip(*rows, strict=True))
        for rows in zip(logits, x, strict=True)
    ]
    kl = [
        mpmath.fsum(m**2 + mpmath.exp(v) - 1 - v for m, v in zip(*rows, strict=True)) / 2
        for rows in zip(mu, logvar, strict=True)
    ]
    return reconstruction, kl


def test_losses_to_50_digits(batch: tuple[dict[str, Array], Array, Array]) -> None:
    params, x, noise = batch
    with mpmath.workdps(50):
        exact = _losses({name: _exactly(value) for name, value in params.items()}, _exactly(x), _exactly(noise))
    found = oracle.load(params, dtype="float64").losses(x, noise)
    for values, wanted in zip(found, exact, strict=True):
        np.testing.assert_allclose(values, [float(value) for value in wanted], rtol=1e-14)


@pytest.mark.parametrize("logit", [0.0, 1e-9, 15.0, -20.0, 40.0, -87.0, 120.0, 700.0, -1e4])
@pytest.mark.parametrize("target", [0.0, 1.0, 0.3])
def test_cross_entropy_and_its_gradient_to_50_digits(logit: float, target: float) -> None:
    with mpmath.workdps(5000 if abs(logit) > 1000 else 400):
        exact = float(mpmath.log(1 + mpmath.exp(logit)) - mpmath.mpf(target) * logit)
        slope = float(1 / (1 + mpmath.exp(-mpmath.mpf(logit))) - target)
    logits, x = np.array([[logit]]), np.array([[target]])
    assert oracle.cross_entropy(logits, x)[0, 0] == pytest.approx(exact, rel=1e-14, abs=1e-300)
    assert oracle.cross_entropy_slope(logits, x)[0, 0] == pytest.approx(slope, rel=1e-14, abs=1e-300)


@pytest.mark.parametrize("name", spec.PARAMETER_NAMES)
def test_gradients_are_finite_differences(name: str, batch: tuple[dict[str, Array], Array, Array]) -> None:
    """Central differences in 50 digits, two elements of each tensor: no step size to trade off."""
    params, x, noise = batch
    gradient = oracle.load(params, dtype="float64").gradients(x, noise)[name]
    with mpmath.workdps(50):
        exact = {key: _exactly(value) for key, value in params.items()}
        step = mpmath.mpf(10) ** -20
        for index in (0, gradient.size - 1):
            row, column = divmod(index, exact[name][0].__len__())
            ends = []
            for sign in (1, -1):
                moved = {**exact, name: [list(values) for values in exact[name]]}
                moved[name][row][column] += sign * step
                reconstruction, kl = _losses(moved, _exactly(x), _exactly(noise))
                ends.append(mpmath.fsum(reconstruction) + mpmath.fsum(kl))
            slope = float((ends[0] - ends[1]) / (2 * step))
            assert gradient.ravel()[index] == pytest.approx(slope, rel=1e-12, abs=1e-13)


def test_adam_to_50_digits() -> None:
    """Algorithm 1 of Kingma & Ba, over gradients of every size and a change of sign."""
    gradients = [1e-3, -1e-6, 1e-7, 1e-8, 0.0, -3e-9, 5.0, 1e-8] * 3
    with mpmath.workdps(50):
        theta = m = v = mpmath.mpf(0)
        beta1, beta2 = mpmath.mpf(spec.BETA1), mpmath.mpf(spec.BETA2)
        wanted = []
        for t, g in enumerate(map(mpmath.mpf, gradients), start=1):
            m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
            theta -= spec.LEARNING_RATE * (m / (1 - beta1**t)) / (mpmath.sqrt(v / (1 - beta2**t)) + spec.EPSILON)
            wanted.append(float(theta))
    param = moment1 = moment2 = np.zeros(1)
    found = []
    for t, g in enumerate(gradients, start=1):
        param, moment1, moment2 = oracle.adam_step(param, moment1, moment2, np.array([g]), t)
        found.append(param.item())
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_zero_gradient_moves_nothing() -> None:
    param, m, v = oracle.adam_step(np.array([0.5]), np.zeros(1), np.zeros(1), np.zeros(1), 1)
    assert (param.item(), m.item(), v.item()) == (0.5, 0.0, 0.0)


@pytest.mark.parametrize(
    ("recon_x", "x", "nats"),
    [
        (0.5, 1.0, np.log(2)),
        (0.0, 1.0, 100.0),
        (1.0, 0.0, 100.0),
        (1.0, 1.0, 0.0),
        (0.25, 0.3, -np.log(0.25**0.3 * 0.75**0.7)),
    ],
)
def test_loss_on_probabilities_clamps_each_log(recon_x: float, x: float, nats: float) -> None:
    zero = np.zeros((1, 2))
    assert oracle.loss_on_probabilities(np.array([[recon_x]]), np.array([[x]]), zero, zero) == pytest.approx(nats)


def test_loss_on_probabilities_is_the_loss_away_from_saturation(batch: tuple[dict[str, Array], Array, Array]) -> None:
    params, x, noise = batch
    step = oracle.forward(params, x, noise)
    on_logits = np.sum(oracle.losses(step, x))
    on_probabilities = oracle.loss_on_probabilities(oracle.sigmoid(step.logits), x, step.mu, step.logvar)
    assert on_probabilities == pytest.approx(on_logits, rel=1e-12)


def test_float32_stores_float32_and_resumes_exactly() -> None:
    whole = oracle.load(parameters.initial(0, SIZES), dtype="float32")
    x = np.random.default_rng(0).random((8, 12)).astype(np.float32)
    order, noise = np.arange(8).reshape(2, 4), np.zeros((2, 4, 3), np.float32)
    whole.train(x, order, noise)
    resumed = Oracle(parameters.initial(1, SIZES), "float32")
    resumed.load_state(whole.state())
    np.testing.assert_array_equal(whole.train(x, order, noise), resumed.train(x, order, noise), strict=True)
