"""The portable stream's numbers have the distributions that the recipe needs: false alarms once in a million a test."""

import math

import numpy as np

from vae_rosetta.conformance import statistics
from vae_rosetta.shared import parameters, recipe, spec
from vae_rosetta.shared.stream import Purpose, normal


def _alarms(outcomes: list[statistics.Outcome]) -> list[str]:
    return [str(outcome) for outcome in outcomes if outcome.alarm]


def test_noise_of_epochs_and_of_seeds() -> None:
    """(50,000, 20) standard normals an epoch; the next epoch's, another seed's and another purpose's are others."""
    noise = recipe.epoch_noise(0, 0, 50_000, spec.LATENT_DIM)
    for again in (
        recipe.epoch_noise(0, 1, 50_000, spec.LATENT_DIM),
        recipe.epoch_noise(1, 0, 50_000, spec.LATENT_DIM),
        normal(0, Purpose.EVALUATION, 0, (50_000, spec.LATENT_DIM)),
    ):
        assert not _alarms(statistics.standard_normals(noise, again))


def test_noise_of_steps() -> None:
    """The noise of one batch has nothing to do with that of the next."""
    steps = recipe.epoch_noise(7, 3, 128 * 800, spec.LATENT_DIM).reshape(400, 2, -1)  # (pairs, 2, B L)
    assert not _alarms(statistics.standard_normals(steps[:, 0].reshape(-1, 20), steps[:, 1].reshape(-1, 20)))


def test_initial_weights() -> None:
    """Every weight and bias uniform in +-1/sqrt(fan_in); tensor by tensor where there are enough to tell."""
    params = parameters.initial(0)
    for name, tensor in params.items():
        fan_in = params[name.replace(".bias", ".weight")].shape[1]
        unit = (tensor.astype(np.float64).ravel() * math.sqrt(fan_in) + 1) / 2
        assert not _alarms(statistics.uniforms(unit)), name
    layers = np.concatenate([params[f"{layer}.weight"].ravel() for layer in ("encoder.fc2_mu", "encoder.fc2_logvar")])
    assert len(np.unique(layers)) > 0.99 * layers.size  # two layers of one shape do not start alike


def test_orders_of_epochs() -> None:
    """Every image at every position equally often, none lost, none twice."""
    orders = np.stack([recipe.epoch_order(5, epoch, 30) for epoch in range(20_000)])
    assert not _alarms(statistics.permutations(orders))
    first = np.stack([recipe.epoch_order(seed, 0, 30) for seed in range(20_000)])
    assert not _alarms(statistics.permutations(first))
