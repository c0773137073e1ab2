"""Averages and their units; and which latents are used: those whose mean differs from image to image."""

import numpy as np
import pytest

from vae_rosetta.applications.evaluation import measures
from vae_rosetta.applications.evaluation.measures import latents
from vae_rosetta.shared import oracle, parameters, passes
from vae_rosetta.shared.spec import Sizes


def test_a_latent_is_active_where_its_mean_varies(monkeypatch: pytest.MonkeyPatch) -> None:
    params = parameters.initial(0, Sizes(12, 8, 4))
    params["encoder.fc2_mu.weight"][0] = 0.0  # the same for every image, however far from the prior
    params["encoder.fc2_mu.bias"][0] = 3.0
    params["encoder.fc2_mu.weight"][1:] *= 20
    model = oracle.load(params, dtype="float64")
    x = np.random.default_rng(0).random((50, 12))
    found = latents(model, x)
    mu, logvar = model.encode(x)
    np.testing.assert_allclose(found.variance_of_mean, mu.var(axis=0))
    assert found.active.tolist() == [False, True, True, True]
    np.testing.assert_allclose(found.kl, 0.5 * np.mean(mu**2 + np.exp(logvar) - 1 - logvar, axis=0))
    assert found.kl[0] > 4
    assert found.kl.sum() == pytest.approx(passes.negative_elbo(model, x).kl.mean())
    monkeypatch.setattr(passes, "ROWS", 7)
    np.testing.assert_allclose(latents(model, x).kl, found.kl)


def test_the_threshold_is_a_hundredth() -> None:
    params = parameters.initial(0, Sizes(1, 1, 2))
    for name in params:
        params[name][...] = 0.0
    params["encoder.fc1.weight"][...] = 1.0
    x = np.linspace(0, 1, 101)[:, None]
    deviation = x.std()
    params["encoder.fc2_mu.weight"][:, 0] = np.array([0.099, 0.101]) / deviation
    assert latents(oracle.load(params, dtype="float64"), x).active.tolist() == [False, True]


def test_estimates_and_units() -> None:
    values = np.array([1.0, 2.0, 3.0, 6.0])
    mean, error = measures.estimate(values)
    assert mean == 3.0
    assert error == pytest.approx(np.sqrt(14 / 3 / 4))
    assert np.isnan(measures.estimate(values[:1]).standard_error)
    assert measures.bits_per_pixel(105.56, 784) == pytest.approx(0.1942, abs=5e-5)
