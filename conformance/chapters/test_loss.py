"""Chapter loss: reconstruction and KL, per sample."""

import numpy as np
import pytest

from vae_rosetta.conformance.grader import Grader
from vae_rosetta.shared.vectors import Vector

pytestmark = pytest.mark.clause("loss.bce.logits", "loss.kl")


@pytest.mark.chapter("loss")
def test_vector(grader: Grader, vector: Vector) -> None:
    if vector.operation == "loss_on_probabilities":
        grader.require(vector.operation)
    grader.check(vector)


def test_kl_is_never_negative(grader: Grader) -> None:
    """KL is a divergence: at worst it rounds to nothing, by half a unit in the last place of each term near 1."""
    random = np.random.default_rng(1)
    x = random.random((10_000, 12)).astype(np.float32)
    kl = grader.untouched().losses(x, np.zeros((10_000, 3), np.float32)).kl
    assert kl.min() >= -3 * grader.eps


def test_losses_are_per_sample_sums(grader: Grader) -> None:
    """The same image twice has the same loss twice, and a larger batch does not dilute it."""
    model = grader.untouched()
    x = np.random.default_rng(2).random((3, 12)).astype(np.float32)
    noise = np.random.default_rng(3).standard_normal((3, 3)).astype(np.float32)
    once, twice = model.losses(x, noise), model.losses(np.tile(x, (2, 1)), np.tile(noise, (2, 1)))
    for short, long in zip(once, twice, strict=True):
        np.testing.assert_allclose(long, np.tile(short, 2), rtol=20 * grader.eps)  # 12 + 3 rounded terms


def test_losses_follow_their_rows(grader: Grader) -> None:
    """Rows in another order have their losses in that order: no row's loss depends on where it stands."""
    model = grader.untouched()
    x = np.random.default_rng(4).random((128, 12)).astype(np.float32)
    noise = np.random.default_rng(5).standard_normal((128, 3)).astype(np.float32)
    shuffled = np.random.default_rng(6).permutation(128)
    for here, there in zip(model.losses(x, noise), model.losses(x[shuffled], noise[shuffled]), strict=True):
        # 12 + 3 rounded terms; a KL near 0 is what is left of terms near 1, four to a latent
        np.testing.assert_allclose(there, here[shuffled], rtol=20 * grader.eps, atol=12 * grader.eps)


@pytest.mark.clause("loss.probabilities")
@pytest.mark.ability("loss_on_probabilities")
def test_loss_on_probabilities_is_the_loss_away_from_saturation(grader: Grader) -> None:
    """On the sigmoid of a model's own logits the published loss is its objective."""
    model = grader.untouched()
    x = np.random.default_rng(7).random((6, 12)).astype(np.float32)
    noise = np.random.default_rng(8).standard_normal((6, 3)).astype(np.float32)
    mu, logvar = model.encode(x)
    recon_x = 1.0 / (1.0 + np.exp(-model.decode(model.reparameterize(mu, logvar, noise))))
    total = model.loss_on_probabilities(recon_x.astype(grader.dtype), x, mu, logvar)
    assert (total.shape, total.dtype) == ((), np.dtype(grader.dtype))
    # 90 terms near 1, each rounded a few times on either way
    np.testing.assert_allclose(total, np.sum(model.losses(x, noise)), rtol=40 * grader.eps)
