"""The judge: what it learns, what it sees, and that it is always the same one; and the ceilings beside it."""

import copy
from typing import Any

import numpy as np
import pytest

from vae_rosetta.applications.generation import anchors, judge


@pytest.fixture(scope="module")
def x(images: dict[str, Any]) -> Any:
    return images["x_train"].reshape(90, 12)


@pytest.fixture(scope="module")
def trained(images: dict[str, Any], x: Any) -> judge.Judge:
    return judge.train(x, images["y_train"], steps=100)


def test_judge_tells_classes_apart(trained: judge.Judge, images: dict[str, Any]) -> None:
    test = images["x_test"].reshape(30, 12)
    assert trained.accuracy(test, images["y_test"]) == 1.0
    assert trained.accuracy(test, (images["y_test"] + 1) % 3) == 0.0
    verdict = trained.verdict(test)
    assert verdict.labels.tolist() == images["y_test"].tolist()
    assert (verdict.confidence > 0.5).all()
    assert (verdict.confidence <= 1.0).all()
    assert trained.verdict(np.full((1, 12), 0.4, dtype=np.float32)).confidence < verdict.confidence.min()


def test_features_are_standard_on_the_training_images(trained: judge.Judge, x: Any) -> None:
    seen = trained.features(x)
    assert seen.shape == (90, judge.HIDDEN - trained.idle)
    np.testing.assert_allclose(seen.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(seen.std(axis=0), 1.0, rtol=1e-9)


def test_features_are_the_hidden_layer_of_the_library(trained: judge.Judge, x: Any) -> None:
    classifier = trained._classifier
    hidden = np.maximum(x.astype(np.float64) @ classifier.coefs_[0] + classifier.intercepts_[0], 0.0)
    hidden = hidden[:, hidden.std(axis=0) > 0]
    np.testing.assert_allclose(trained.features(x), (hidden - hidden.mean(axis=0)) / hidden.std(axis=0), atol=1e-6)
    logits = np.maximum(x @ classifier.coefs_[0] + classifier.intercepts_[0], 0.0) @ classifier.coefs_[1]
    shares = np.exp(logits + classifier.intercepts_[1])
    expected = (shares / shares.sum(axis=1, keepdims=True)).max(axis=1)
    np.testing.assert_allclose(trained.verdict(x).confidence, expected, rtol=1e-5)


@pytest.mark.parametrize(("active", "kept"), [(0, False), (1, False), (4, False), (5, True)])
def test_idle_units_are_no_features(active: int, kept: bool, x: Any, trained: judge.Judge) -> None:
    """A unit counts if at least 1 % of the training images, 5 of 450 here, switch it on."""
    some = np.tile(x, (5, 1)) + np.random.default_rng(0).normal(0, 1e-3, (450, 12)).astype(np.float32)
    classifier = copy.deepcopy(trained._classifier)
    usual = judge.Judge(classifier, some)
    unit = int(np.argmax((some @ classifier.coefs_[0] + classifier.intercepts_[0] > 0).mean(axis=0)))
    inputs = np.sort(some.astype(np.float64) @ classifier.coefs_[0][:, unit])[::-1]
    classifier.intercepts_[0][unit] = -(inputs[active] + inputs[max(active - 1, 0)]) / 2 - (1.0 if not active else 0.0)
    seen = judge.Judge(classifier, some)
    assert seen.idle == usual.idle + (not kept)
    assert seen.features(some).shape == (450, judge.HIDDEN - seen.idle)
    assert np.isfinite(seen.features(some)).all()


def test_judge_is_always_the_same(images: dict[str, Any], x: Any) -> None:
    y = images["y_train"]
    epochs: list[int] = []
    one, two = judge.train(x, y, steps=5, progress=epochs.append), judge.train(x, y, steps=5)
    assert one.sha256() == two.sha256()
    assert np.array_equal(one.features(x), two.features(x))
    assert judge.train(x, y, steps=6).sha256() != one.sha256()
    assert epochs == [1] * 5  # of one step each


def test_judge_needs_classes(x: Any) -> None:
    with pytest.raises(ValueError, match="labels: got 4 for every image; expected at least two classes"):
        judge.train(x, np.full(90, 4))


def test_gaussian_has_the_first_components_and_no_other() -> None:
    generator = np.random.default_rng(0)
    scales = np.r_[np.full(20, 0.03), np.full(10, 0.001)]
    axes = np.linalg.qr(generator.standard_normal((30, 30)))[0]
    x = (0.5 + (generator.standard_normal((4000, 30)) * scales) @ axes.T).astype(np.float32)
    made = anchors.pca_gaussian(x, 4000, seed=3)
    assert made.dtype == np.float32
    along = (made - x.mean(axis=0)) @ axes
    np.testing.assert_allclose(along[:, :20].std(axis=0), 0.03, rtol=0.06)
    assert along[:, 20:].std(axis=0).max() < 2e-4
    assert np.abs(np.corrcoef(along[:, :20].T) - np.eye(20)).max() < 0.1
    np.testing.assert_allclose(anchors.pca_gaussian(x, 7, seed=3), made[:7], atol=1e-6)
    assert not np.allclose(anchors.pca_gaussian(x, 7, seed=4), made[:7])


def test_gaussian_stays_among_pixels_and_takes_what_there_is() -> None:
    x = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], dtype=np.float32)
    made = anchors.pca_gaussian(x, 50, seed=0)
    assert made.shape == (50, 3)
    assert made.min() == 0.0
    assert made.max() == 1.0


def test_noise_has_every_pixels_own_values_and_no_connection() -> None:
    bits = (np.random.default_rng(0).random((500, 1)) < [[0.2, 0.2, 0.7]]).astype(np.float32)
    x = np.where([[True, True, False]], bits[:, :1], bits)  # the first two pixels are always equal
    made = anchors.pixel_noise(x, 20_000, seed=0)
    np.testing.assert_allclose(made.mean(axis=0), x.mean(axis=0), atol=0.015)
    assert np.abs(np.corrcoef(made.T) - np.eye(3)).max() < 0.03
    assert set(np.unique(made)) == {0.0, 1.0}
    assert np.array_equal(anchors.pixel_noise(x, 5, seed=0), made[:5])
