"""Points of the latent space: where they are, to the last digits."""

from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from vae_rosetta.applications.generation import points
from vae_rosetta.shared import passes
from vae_rosetta.shared.contract import FullModel


def test_posterior_means_are_the_encoders(
    run: Path, images: dict[str, Any], model_of: Callable[[Path], FullModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, model = images["x_test"].reshape(30, 12), model_of(run)
    monkeypatch.setattr(passes, "ROWS", 7)  # encoded in several calls
    np.testing.assert_allclose(points.posterior_means(model, x), model.encode(x)[0], rtol=1e-6, strict=True)


def test_kl_is_that_of_each_latent(
    run: Path, images: dict[str, Any], model_of: Callable[[Path], FullModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, model = images["x_test"].reshape(30, 12), model_of(run)
    mu, logvar = (part.astype(np.float64) for part in model.encode(x))
    monkeypatch.setattr(passes, "ROWS", 7)
    got = passes.posterior(model, x).kl_of_latents()
    np.testing.assert_allclose(got, 0.5 * np.mean(mu**2 + np.exp(logvar) - 1 - logvar, axis=0), rtol=1e-6, strict=True)
    assert got.sum() == pytest.approx(model.losses(x, np.zeros_like(mu, dtype=np.float32)).kl.mean(), rel=1e-5)


def test_latents_come_by_what_they_tell_and_idle_ones_by_number() -> None:
    assert points.most_informative_first(np.array([3e-5, 1.0, 1e-5, 2.5, 2e-5])) == [3, 1, 0, 2, 4]


def test_arc_turns_and_grows_evenly() -> None:
    start, end = np.array([2.0, 0.0, 0.0]), np.array([0.0, 0.0, 6.0])
    got = points.arc(start, end, 5)
    angles = np.array([0, 22.5, 45, 67.5, 90]) * np.pi / 180
    expected = np.array([2, 3, 4, 5, 6])[:, None] * np.stack([np.cos(angles), 0 * angles, np.sin(angles)], axis=1)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert got.dtype == np.float32


def test_arc_has_its_ends() -> None:
    start, end = np.random.default_rng(0).standard_normal((2, 20)).astype(np.float32)
    got = points.arc(start, end, 7)
    np.testing.assert_allclose(got[[0, -1]], [start, end], rtol=1e-5, atol=1e-7)
    lengths = np.linalg.norm(got, axis=1)
    np.testing.assert_allclose(np.diff(lengths), (lengths[-1] - lengths[0]) / 6, atol=1e-6)


@pytest.mark.parametrize(
    ("start", "end"), [((1, 2), (-2, -4)), ((1, 2), (2, 4)), ((0, 0), (1, 2)), ((1, 2), (0, 0)), ((1, 2), (1, 2))]
)
def test_arc_is_straight_where_there_is_no_turn(start: tuple[int, int], end: tuple[int, int]) -> None:
    first, last = np.array(start, dtype=np.float32), np.array(end, dtype=np.float32)
    got = points.arc(first, last, 3)
    np.testing.assert_allclose(got, np.stack([first, (first + last) / 2, last]), atol=1e-6)


def test_traversal_moves_one_latent_from_minus_three_to_three() -> None:
    centre = np.array([0.5, -1.0, 2.0], dtype=np.float32)
    got = points.traversal(centre, [2, 0], 5)
    assert got.dtype == np.float32
    expected = np.tile(centre, (2, 5, 1))
    expected[0, :, 2] = expected[1, :, 0] = [-3, -1.5, 0, 1.5, 3]
    assert np.array_equal(got, expected)
    assert centre.tolist() == [0.5, -1.0, 2.0]


def test_manifold_parts_the_prior_equally_and_reads_as_a_map() -> None:
    z = points.manifold(4)
    shares = np.vectorize(NormalDist().cdf)(z.astype(np.float64))
    across = np.array([0.125, 0.375, 0.625, 0.875])
    np.testing.assert_allclose(shares[..., 0], np.tile(across, (4, 1)), atol=1e-6)
    np.testing.assert_allclose(shares[..., 1], np.tile(across[::-1, None], (1, 4)), atol=1e-6)


def test_class_means_come_by_label() -> None:
    means = np.array([[1.0, 0.0], [5.0, 5.0], [3.0, 2.0]], dtype=np.float32)
    classes, got = points.class_means(means, np.array([7, -1, 7]))
    assert classes == [-1, 7]
    assert got.tolist() == [[5.0, 5.0], [2.0, 1.0]]


@pytest.mark.parametrize("n", [0, 1])
def test_a_line_has_two_ends(n: int) -> None:
    with pytest.raises(ValueError, match=f"n: got {n}; expected at least 2 steps"):
        points.arc(np.zeros(2), np.ones(2), n)
    with pytest.raises(ValueError, match=f"n: got {n}; expected at least 2 steps"):
        points.steps(n)


@pytest.mark.parametrize("latent", [-1, 3])
def test_traversal_refuses_a_latent_that_is_not_there(latent: int) -> None:
    with pytest.raises(ValueError, match=f"dimensions: got {latent}; expected latents of the model, 0 to 2"):
        points.traversal(np.zeros(3), [0, latent], 2)
