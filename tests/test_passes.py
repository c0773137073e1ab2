"""The estimators, against models whose likelihood is known exactly; bounds are derived, not chosen.

With relative weights w = p(z|x) / q(z|x), the estimate from k samples errs by -chi2 / (2 k) on average and has variance
chi2 / k, to leading order, where chi2 = E_q[w^2] - 1.
"""

import itertools
from typing import Any

import numpy as np
import pytest

from vae_rosetta.shared import binarisation, oracle, parameters, passes, recipe, stream
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.oracle import Oracle
from vae_rosetta.shared.passes import importance_weighted, negative_elbo
from vae_rosetta.shared.spec import Sizes
from vae_rosetta.shared.stream import Purpose

SIGMAS = 5.0  # a fixed seed that is right passes; a wrong one would have to be very lucky


class LinearGaussian:
    """x = W z + b + noise, with orthogonal columns in W, so that the posterior of z is diagonal (probabilistic PCA,
    Tipping & Bishop 1999); q is off it by a shift and a factor in variance."""

    noise, shift, widening = 0.5, 0.3, 1.4

    def __init__(self) -> None:
        self.w = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 3)))[0] * [2.0, 1.0, 0.5]
        self.b = np.linspace(-1, 1, 5)
        self.scales = np.sum(self.w**2, axis=0) + self.noise  # (L,)
        self.variance = self.noise / self.scales  # of the posterior, (L,)

    def posterior_mean(self, x: Array) -> Array:
        return np.asarray((x - self.b) @ self.w / self.scales)

    def encode(self, x: Array) -> tuple[Array, Array]:
        mu = self.posterior_mean(x) + self.shift * np.sqrt(self.variance)
        return mu, np.broadcast_to(np.log(self.widening * self.variance), mu.shape)

    def reparameterize(self, mu: Array, logvar: Array, noise: Array) -> Array:
        return np.asarray(mu + np.exp(logvar / 2) * noise)

    def decode(self, z: Array) -> Array:
        return np.asarray(z @ self.w.T + self.b)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} of a model is not needed for its likelihood")

    def reconstruction(self, x: Array, mean: Array) -> Array:
        """-log N(x; mean, noise)."""
        return np.asarray(0.5 * np.sum((x - mean) ** 2 / self.noise + np.log(2 * np.pi * self.noise), axis=-1))

    def log_likelihood(self, x: Array) -> Array:
        covariance = self.w @ self.w.T + self.noise * np.eye(5)
        distance = np.einsum("ni,ij,nj->n", x - self.b, np.linalg.inv(covariance), x - self.b)
        return np.asarray(-0.5 * (distance + np.linalg.slogdet(2 * np.pi * covariance)[1]))

    def gap(self) -> float:
        """KL(q(z|x) || p(z|x)), the same for every x: what the ELBO is below the likelihood."""
        return 1.5 * float(self.widening - 1 - np.log(self.widening) + self.shift**2)

    def chi2(self) -> float:
        """Of two normals for each of three latents."""
        tail = 2 * self.widening - 1
        return float((self.widening / np.sqrt(tail) * np.exp(self.shift**2 / tail)) ** 3 - 1)


@pytest.fixture
def linear() -> LinearGaussian:
    return LinearGaussian()


@pytest.fixture
def x(linear: LinearGaussian) -> Array:
    """2,000 draws of the linear model, of which the last 500 fit it badly."""
    random = np.random.default_rng(1)
    x: Array = linear.decode(random.standard_normal((2000, 3)))
    x += np.sqrt(linear.noise) * random.standard_normal((2000, 5))
    x[1500:] *= 3
    return x


def test_the_negative_elbo_of_a_linear_model_is_the_known_one(linear: LinearGaussian, x: Array) -> None:
    found = negative_elbo(linear, x, samples=50, reconstruction=linear.reconstruction)
    error = found.objective - (linear.gap() - linear.log_likelihood(x))
    standard_error = error.std(ddof=1) / np.sqrt(len(error))
    assert abs(error.mean()) < SIGMAS * standard_error
    assert standard_error < 0.01
    mu, logvar = linear.encode(x)
    np.testing.assert_allclose(found.kl, 0.5 * np.sum(mu**2 + np.exp(logvar) - 1 - logvar, axis=1), rtol=1e-12)


def test_importance_weighting_reaches_the_known_likelihood_from_below(linear: LinearGaussian, x: Array) -> None:
    ks = [1, 4, 16, 64, 256, 1024]
    found = importance_weighted(linear, x, ks=ks, reconstruction=linear.reconstruction)
    error = found - linear.log_likelihood(x)
    means = error.mean(axis=1)
    noise = error.std(axis=1, ddof=1) / np.sqrt(len(x))
    assert abs(means[0] + linear.gap()) < SIGMAS * noise[0]  # at k = 1 it is the ELBO
    rises = np.diff(error, axis=0)
    assert (rises.mean(axis=1) > -SIGMAS * rises.std(axis=1, ddof=1) / np.sqrt(len(x))).all()
    assert (np.diff(means)[:4] > 0).all()
    assert (means < SIGMAS * noise).all()
    for k, mean in list(zip(ks, means, strict=True))[-2:]:
        expected = -linear.chi2() / (2 * k)
        assert abs(mean - expected) < SIGMAS * np.sqrt(linear.chi2() / k / len(x))


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_importance_weighting_sums_up_a_bernoulli_model(latent_dim: int) -> None:
    """All 64 images of six pixels; p(x) by quadrature over a grid of z, which must add up to 1."""
    images = np.array(list(itertools.product([0.0, 1.0], repeat=6)))
    model = oracle.load(_params(latent_dim), dtype="float64")
    points = np.linspace(-9, 9, 2001 if latent_dim == 1 else 151)
    z = np.stack(np.meshgrid(*[points] * latent_dim), axis=-1).reshape(-1, latent_dim)
    cell = (points[1] - points[0]) ** latent_dim
    prior = np.exp(-0.5 * np.sum(z**2, axis=1)) / (2 * np.pi) ** (latent_dim / 2) * cell
    logits = model.decode(z)
    joint = np.exp(-oracle.cross_entropy(logits[:, None], images[None]).sum(axis=-1)) * prior[:, None]  # (Z, 64)
    likelihoods = joint.sum(axis=0)
    assert likelihoods.sum() == pytest.approx(1.0, abs=1e-9)
    mu, logvar = model.encode(images)
    distance = np.sum((z[:, None] - mu) ** 2 / np.exp(logvar), axis=-1)
    q = np.exp(-0.5 * (distance + np.sum(logvar, axis=1))) / (2 * np.pi) ** (latent_dim / 2) * cell
    chi2 = np.sum(joint**2 / q, axis=0) / likelihoods**2 - 1
    assert 0.1 < chi2.mean() < 10

    k = 2000
    found = importance_weighted(model, images, ks=[1, k])
    error = found[1] - np.log(likelihoods)
    assert (np.abs(error + chi2 / (2 * k)) < SIGMAS * np.sqrt(chi2 / k)).all()
    elbos = -negative_elbo(model, images, samples=k).objective
    assert (elbos < np.log(likelihoods)).all()
    assert abs(np.mean(found[0] - elbos)) < SIGMAS * np.std(found[0] - elbos) / 8


def _params(latent_dim: int) -> dict[str, Array]:
    """Weights large enough that p(x) differs between images, and a q whose tails are wider than the posterior's."""
    params = {name: 2 * value for name, value in parameters.initial(5, Sizes(6, 8, latent_dim)).items()}
    params["encoder.fc2_logvar.weight"][...] = 0.0
    params["encoder.fc2_logvar.bias"] = np.full(latent_dim, 0.3, dtype=np.float32)
    return params


@pytest.fixture
def bits() -> Array:
    grey = np.random.default_rng(3).random((23, 12)).astype(np.float32)
    return binarisation.rounded(grey)


@pytest.fixture
def model() -> Oracle:
    return oracle.load(parameters.initial(2, Sizes(12, 8, 3)), dtype="float64")


def test_one_sample_is_what_training_reports(model: Oracle) -> None:
    grey = np.random.default_rng(3).random((23, 12)).astype(np.float32)
    found, reported = negative_elbo(model, grey, seed=7), recipe.evaluate(model, grey, seed=7)
    means = [float(np.mean(values)) for values in (found.objective, found.reconstruction, found.kl)]
    assert means == pytest.approx(list(reported), rel=1e-6)
    assert negative_elbo(model, grey, seed=8).objective.mean() != pytest.approx(reported.objective, rel=1e-6)


def test_sample_s_takes_draw_s_of_the_evaluation_stream(model: Oracle, bits: Array) -> None:
    noise = [stream.normal(7, Purpose.EVALUATION, s, (23, 3)) for s in range(4)]
    losses = [model.losses(bits, n) for n in noise]
    found = negative_elbo(model, bits, samples=4, seed=7)
    np.testing.assert_allclose(found.reconstruction, np.mean([loss.reconstruction for loss in losses], axis=0))
    mu, logvar = model.encode(bits)
    zs = [model.reparameterize(mu, logvar, n) for n in noise]
    weights = [
        0.5 * np.sum(n.astype(np.float64) ** 2 + logvar - z**2, axis=1) - loss.reconstruction
        for n, z, loss in zip(noise, zs, losses, strict=True)
    ]
    for k, log_likelihood in zip((1, 3, 4), importance_weighted(model, bits, ks=[1, 3, 4], seed=7), strict=True):
        np.testing.assert_allclose(log_likelihood, np.logaddexp.reduce(weights[:k]) - np.log(k), rtol=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 7, 23, 50, 2000])
def test_the_result_does_not_depend_on_how_the_work_is_cut(
    rows: int, model: Oracle, bits: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is more decoded at a time than was to be, and what is done is counted."""
    elbo, weighted = negative_elbo(model, bits, samples=9), importance_weighted(model, bits, ks=[1, 5, 9])
    decode = Oracle.decode
    sizes: list[int] = []

    def watching(self: Oracle, z: Array) -> Array:
        sizes.append(len(z))
        return decode(self, z)

    monkeypatch.setattr(Oracle, "decode", watching)
    monkeypatch.setattr(passes, "SAMPLED_ROWS", rows)
    done: list[int] = []
    cut = negative_elbo(model, bits, samples=9, progress=done.append)
    np.testing.assert_allclose(cut.reconstruction, elbo.reconstruction, rtol=1e-12)
    np.testing.assert_allclose(cut.kl, elbo.kl, rtol=1e-12)
    again = importance_weighted(model, bits, ks=[1, 5, 9], progress=done.append)
    np.testing.assert_allclose(again, weighted, rtol=1e-12)
    assert sum(done) == 2 * 9 * 23
    assert max(sizes) <= rows


def test_fewer_images_or_samples_are_the_first_ones(model: Oracle, bits: Array) -> None:
    whole = importance_weighted(model, bits, ks=[2, 20, 30])
    np.testing.assert_allclose(importance_weighted(model, bits[:5], ks=[2, 20]), whole[:2, :5], rtol=1e-12)
    np.testing.assert_allclose(importance_weighted(model, bits, ks=[20]), whole[1:2], rtol=1e-12)


def test_a_part_of_a_data_set_has_its_own_noise(model: Oracle, bits: Array) -> None:
    for start in (0, 5, 22):
        part = importance_weighted(model, bits[start:], ks=[3], first_image=start)
        np.testing.assert_allclose(part, importance_weighted(model, bits, ks=[3])[:, start:], rtol=1e-12)
        part = negative_elbo(model, bits[start:], samples=3, first_image=start).reconstruction
        np.testing.assert_allclose(part, negative_elbo(model, bits, samples=3).reconstruction[start:], rtol=1e-12)


@pytest.mark.parametrize(
    "x", [np.zeros((0, 12)), np.zeros(12), np.zeros((2, 12), np.uint8)], ids=["none", "row", "bytes"]
)
def test_what_is_no_array_of_images_is_named(x: Array, model: Oracle) -> None:
    for function, samples in ((negative_elbo, {"samples": 1}), (importance_weighted, {"ks": [1]})):
        with pytest.raises((TypeError, ValueError), match=r"^x: got"):
            function(model, x, **samples)


def test_weights_far_apart_neither_overflow_nor_vanish(linear: LinearGaussian, x: Array) -> None:
    """Log weights of a million, where exp is 0 or infinite."""
    kept: list[Array] = []

    def reconstruction(x: Array, mean: Array) -> Array:
        found = 1e6 * linear.reconstruction(x, mean) - 5e6
        kept.append(found)
        return found

    found = importance_weighted(linear, x[:50], ks=[300], reconstruction=reconstruction)
    nats = np.concatenate(kept)  # (300, 50)
    assert (nats.max() > 1e6, nats.min() < -1e6) == (True, True)
    assert np.abs(found[0] + nats.min(axis=0)).max() < 30  # the best sample outweighs all others


def test_grey_pixels_are_no_likelihood(model: Oracle) -> None:
    with pytest.raises(ValueError, match=r"^x: got grey pixels; expected 0 and 1: .* is no likelihood$"):
        importance_weighted(model, np.full((2, 12), 0.5, np.float32), ks=[1])


@pytest.mark.parametrize(("ks", "samples"), [([], 0), ([0], -1), ([5, 1], 1.5), ([3, 3], True), ([1.5], "2")], ids=str)
def test_bad_numbers_of_samples_are_named(ks: list[Any], samples: Any, model: Oracle, bits: Array) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^ks: got"):
        importance_weighted(model, bits, ks=ks)
    with pytest.raises((TypeError, ValueError), match=r"^samples: got"):
        negative_elbo(model, bits, samples=samples)


def test_losses_that_are_not_finite_are_told(model: Oracle, bits: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Oracle, "decode", lambda _, z: np.full((len(z), 12), np.nan))
    with pytest.raises(FloatingPointError, match="not finite"):
        negative_elbo(model, bits)
    with pytest.raises(FloatingPointError, match="not finite"):
        importance_weighted(model, bits, ks=[2])


def test_losses_and_posteriors_do_not_depend_on_how_they_are_cut(
    model: Oracle, bits: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = passes.noise(7, 2, 23, 3)
    expected, (mu, logvar) = model.losses(bits, noise), model.encode(bits)
    for rows in (1, 7, 23, 50):
        monkeypatch.setattr(passes, "ROWS", rows)
        found, posterior = passes.losses(model, bits, noise), passes.posterior(model, bits)
        np.testing.assert_allclose(found.reconstruction, expected.reconstruction, rtol=1e-12)
        np.testing.assert_allclose(found.kl, expected.kl, rtol=1e-12)
        np.testing.assert_allclose(found.objective, expected.reconstruction + expected.kl, rtol=1e-12)
        np.testing.assert_allclose(posterior.mu, mu, rtol=1e-12)
        np.testing.assert_allclose(posterior.logvar, logvar, rtol=1e-12)
        kl = 0.5 * np.mean(mu**2 + np.exp(logvar) - 1 - logvar, axis=0)
        np.testing.assert_allclose(posterior.kl_of_latents(), kl, rtol=1e-9)
        assert [len(part) for part in np.array_split(bits, range(rows, 23, rows))] == [
            each.stop - each.start for each in passes.batches(23)
        ]


def test_noise_goes_by_the_number_of_the_image() -> None:
    whole = stream.normal(7, Purpose.EVALUATION, 2, (23, 3))
    np.testing.assert_array_equal(passes.noise(7, 2, 4, 3, first=19), whole[19:], strict=True)


def test_the_log_of_a_mean_takes_terms_in_any_portions() -> None:
    terms = np.random.default_rng(0).normal([-1e6, 0, 1e6, 5], 50, size=(9, 4))
    expected = np.logaddexp.reduce(terms) - np.log(9)
    np.testing.assert_allclose(passes.log_mean_exp(terms), expected, rtol=1e-14)
    mean = passes.LogMeanExp(4)
    for part in np.array_split(terms, [1, 5]):
        mean.add(part)
    np.testing.assert_allclose(mean.value(), expected, rtol=1e-14)
