"""The scores are what their definitions say, and depend on weights, seed and row number alone."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import bernoulli, norm

from vae_rosetta.applications.detection import scores
from vae_rosetta.shared import oracle, passes, stream
from vae_rosetta.shared.contract import Array, Losses
from vae_rosetta.shared.oracle import Oracle
from vae_rosetta.shared.stream import Purpose

Params = dict[str, Array]
SAMPLES = 5


def noise(rows: int, sample: int) -> Array:
    return stream.normal(7, Purpose.EVALUATION, sample, (rows, 3)).astype(np.float64)


@pytest.fixture(scope="module")
def black_and_white(images: Array) -> Array:
    return np.rint(images[:40])


@pytest.fixture(scope="module")
def log_densities(params: Params, black_and_white: Array) -> dict[str, Array]:
    """log p(x|z), log p(z) and log q(z|x) by SciPy, (L, B) each, and log p(x|mu) (B,)."""
    exact = {name: value.astype(np.float64) for name, value in params.items()}
    x = black_and_white.astype(np.float64)
    _, mu, logvar = oracle.encode(exact, x)
    std = np.exp(logvar / 2)
    found: dict[str, list[Array]] = {"x": [], "prior": [], "posterior": []}
    for sample in range(SAMPLES):
        z = mu + std * noise(len(x), sample)
        probabilities = oracle.sigmoid(oracle.decode(exact, z)[1])
        found["x"].append(bernoulli.logpmf(x, probabilities).sum(axis=1))
        found["prior"].append(norm.logpdf(z).sum(axis=1))
        found["posterior"].append(norm.logpdf(z, mu, std).sum(axis=1))
    at_mean = bernoulli.logpmf(x, oracle.sigmoid(oracle.decode(exact, mu)[1])).sum(axis=1)
    kl = 0.5 * np.sum(mu**2 + std**2 - 1 - logvar, axis=1)
    return {**{name: np.array(values) for name, values in found.items()}, "at-mean": at_mean, "kl": kl}


@pytest.mark.parametrize("name", scores.NAMES)
def test_each_score_is_its_definition(
    name: str, model: Oracle, black_and_white: Array, log_densities: dict[str, Array]
) -> None:
    p, prior, posterior = (log_densities[part] for part in ("x", "prior", "posterior"))
    expected = {
        "reconstruction-at-mean": -log_densities["at-mean"],
        "elbo": -p.mean(axis=0) + log_densities["kl"],
        "elbo-deviance": -p.mean(axis=0) + log_densities["kl"],  # black and white pixels have no entropy
        "reconstruction-log-prob": -p.mean(axis=0),
        "reconstruction-log-mean-prob": -np.log(np.exp(p).mean(axis=0)),
        "iwae-k": np.log(SAMPLES) - logsumexp(p + prior - posterior, axis=0),
    }[name]
    found = scores.score(model, black_and_white, name, samples=SAMPLES, seed=7)
    np.testing.assert_allclose(found, expected, rtol=2e-6)  # float32 in what the model returns


def test_deviance_leaves_out_what_no_decoder_can_save(model: Oracle, images: Array) -> None:
    """The entropy of grey pixels is the cross-entropy of a decoder that returns the image itself."""
    x = images.astype(np.float64)
    inside = np.clip(x, 1e-16, 1 - 1e-16)  # the logits of black and white are infinite
    floor = oracle.cross_entropy(np.log(inside) - np.log1p(-inside), x).sum(axis=1)
    found = scores.scores(model, images, ("elbo", "elbo-deviance"), samples=3)
    np.testing.assert_allclose(found["elbo"] - found["elbo-deviance"], floor, rtol=1e-9)
    assert (found["elbo-deviance"] > 0).all()


def test_one_pass_gives_the_same_as_one_by_one(model: Oracle, images: Array) -> None:
    together = scores.scores(model, images, samples=3)
    assert tuple(together) == scores.NAMES
    for name, values in together.items():
        np.testing.assert_array_equal(values, scores.score(model, images, name, samples=3))


def test_the_two_averages_differ_and_are_ordered(model: Oracle, images: Array) -> None:
    found = scores.scores(model, images)
    logs, probabilities = found["reconstruction-log-prob"], found["reconstruction-log-mean-prob"]
    assert (probabilities < logs).all()  # Jensen


def test_importance_weights_undo_the_posterior_where_the_decoder_ignores_z(params: Params, images: Array) -> None:
    ignoring = {name: np.zeros_like(value) if "logvar" in name else value for name, value in params.items()}
    ignoring["encoder.fc2_logvar.bias"] += np.float32(np.log(2))  # wider than the prior: no weight is large
    ignoring["encoder.fc2_mu.weight"] = ignoring["encoder.fc2_mu.weight"] / 10
    ignoring["decoder.fc3.weight"] = np.zeros_like(params["decoder.fc3.weight"])
    x = images[:20]
    found = scores.scores(oracle.load(ignoring), x, samples=1000)
    at_mean = found["reconstruction-at-mean"]  # then -log p(x) itself
    np.testing.assert_allclose(found["iwae-k"], at_mean, atol=0.15)
    np.testing.assert_allclose(found["reconstruction-log-prob"], at_mean, rtol=1e-6)
    np.testing.assert_allclose(found["reconstruction-log-mean-prob"], at_mean, rtol=1e-6)
    assert (found["elbo"] > at_mean + 0.4).all()  # by kl


@pytest.mark.parametrize("name", ["elbo", "iwae-k"])
def test_a_score_belongs_to_its_row_however_the_file_is_cut(
    name: str, model: Oracle, images: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = scores.score(model, images, name)
    parts = [scores.score(model, images[i : i + 77], name, start=i) for i in range(0, len(images), 77)]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-6)
    np.testing.assert_allclose(scores.score(model, images[:10], name), whole[:10], rtol=1e-6)
    assert not np.allclose(scores.score(model, images[:10], name, start=1), whole[:10], rtol=1e-4)
    monkeypatch.setattr(passes, "SCORED_ROWS", 50)
    np.testing.assert_allclose(scores.score(model, images, name), whole, rtol=1e-6)
    parts = [scores.score(model, images[i : i + 100], name, start=i) for i in range(0, len(images), 100)]
    np.testing.assert_array_equal(np.concatenate(parts), scores.score(model, images, name))  # the same calls


def test_seed_and_draw_change_the_samples(model: Oracle, images: Array) -> None:
    first = scores.score(model, images, samples=2)
    assert not np.allclose(first, scores.score(model, images, samples=2, seed=1), rtol=1e-3)
    assert not np.allclose(first, scores.score(model, images, samples=2, draw=2), rtol=1e-3)
    both = scores.score(model, images, samples=4)
    np.testing.assert_allclose((first + scores.score(model, images, samples=2, draw=2)) / 2, both, rtol=1e-6)


def test_the_score_at_the_mean_needs_no_noise(model: Oracle, images: Array) -> None:
    name = "reconstruction-at-mean"
    np.testing.assert_array_equal(scores.score(model, images, name), scores.score(model, images, name, seed=9, start=0))


class _Broken(Oracle):
    def losses(self, x: Array, noise: Array) -> Losses:
        reconstruction, kl = super().losses(x, noise)
        reconstruction[3] = np.nan
        return Losses(reconstruction, kl)


def test_a_score_that_is_not_finite_is_an_error(params: Params, images: Array) -> None:
    with pytest.raises(FloatingPointError, match=r"^row 103: the score elbo is nan; expected a finite number$"):
        scores.score(_Broken(params, "float32"), images, start=100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "loss"}, r"^score: got 'loss'; expected one of reconstruction-at-mean, elbo"),
        ({"samples": 0}, "^samples: got 0; expected a whole number, 1 or more"),
        ({"start": -1}, "^start: got -1"),
        ({"seed": -1}, "^seed: got -1"),
    ],
)
def test_bad_arguments_are_told(arguments: dict[str, object], message: str, model: Oracle, images: Array) -> None:
    with pytest.raises(ValueError, match=message):
        scores.score(model, images, **arguments)  # type: ignore[arg-type]
