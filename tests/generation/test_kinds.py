"""`vae generate --kind`: the arrays are what they say, the pictures show them, and what does not fit is told."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from vae_rosetta.applications import pictures
from vae_rosetta.applications.commands.generate import generate as generate_command
from vae_rosetta.applications.generation import command, points
from vae_rosetta.shared import binarisation, passes
from vae_rosetta.shared.contract import Array, FullModel

Command = Callable[..., Result]
ModelOf = Callable[[Path], FullModel]


def decoded(model: FullModel, z: Array) -> Array:
    """The probabilities of z (..., L), (..., D)."""
    logits = model.decode(z.reshape(-1, z.shape[-1]).astype(np.float32)).astype(np.float64)
    return (1.0 / (1.0 + np.exp(-logits))).reshape(*z.shape[:-1], -1).astype(np.float32)


@pytest.fixture
def made(vae_command: Command, tmp_path: Path) -> Callable[..., tuple[Array, str]]:
    """Calls `vae generate` for an array, and returns what is in the file and on stdout."""

    def call(weights: Path, kind: str, *arguments: object) -> tuple[Array, str]:
        out = tmp_path / "x.npy"
        result = vae_command("generate", "--weights", weights, "--kind", kind, "--out", out, "--force", *arguments)
        assert result.exit_code == 0, result.output
        array = np.load(out)
        assert array.dtype == np.float32
        return array, result.stdout

    return call


Made = Callable[..., tuple[Array, str]]


@pytest.fixture
def held_out(images: dict[str, Any]) -> Any:
    return images["x_test"].reshape(30, 12)


def test_reconstructions_are_below_their_images(made: Made, run: Path, model_of: ModelOf, held_out: Any) -> None:
    got, told = made(run, "reconstructions", "--n", 4)
    originals = held_out[[0, 10, 19, 29]]  # from all over
    model = model_of(run)
    np.testing.assert_allclose(got, [originals, decoded(model, model.encode(originals)[0])], rtol=1e-5)
    assert "4 images above their reconstructions" in told


def test_interpolation_has_the_images_at_its_ends(made: Made, run: Path, model_of: ModelOf, held_out: Any) -> None:
    got, told = made(run, "interpolation", "--between", 3, 29, "--n", 5)
    model = model_of(run)
    mu = model.encode(held_out[[3, 29]])[0]
    assert got.shape == (7, 12)
    assert np.array_equal(got[[0, -1]], held_out[[3, 29]])
    np.testing.assert_allclose(got[1:-1], decoded(model, points.arc(mu[0], mu[1], 5)), rtol=1e-5)
    np.testing.assert_allclose(got[[1, -2]], decoded(model, mu), rtol=1e-5)
    assert "5 steps between the held-out images 3 and 29" in told


def test_interpolation_picks_two_classes_by_the_seed(made: Made, run: Path, images: dict[str, Any]) -> None:
    pairs = set()
    for seed in range(8):
        _, told = made(run, "interpolation", "--seed", seed)
        assert made(run, "interpolation", "--seed", seed)[1] == told
        words = told.split("held-out images ")[1].split(",")[0].split(" and ")
        pairs.add((int(words[0]), int(words[1])))
    assert len(pairs) == 8
    assert all(images["y_test"][i] != images["y_test"][j] for i, j in pairs)


def test_interpolation_without_labels_picks_two_images(made: Made, run: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npz.npy", np.random.default_rng(0).random((20, 12)))  # two are held out
    got, told = made(run, "interpolation", "--data", tmp_path / "x.npz.npy")
    assert got.shape == (12, 12)
    assert "0 and 1," in told or "1 and 0," in told


def test_traversal_moves_each_latent_the_most_informative_first(
    made: Made, run: Path, model_of: ModelOf, held_out: Any
) -> None:
    got, told = made(run, "traversal", "--n", 5)
    model = model_of(run)
    kl = passes.posterior(model, held_out).kl_of_latents()
    order = sorted(range(3), key=lambda latent: -kl[latent])
    assert order != [0, 1, 2], "a test that could not tell the order"
    z = np.zeros((3, 5, 3))
    for row, latent in zip(z, order, strict=True):
        row[:, latent] = [-3, -1.5, 0, 1.5, 3]
    np.testing.assert_allclose(got, decoded(model, z), rtol=1e-5)
    assert f"5 steps for each of the latents {', '.join(map(str, order))} around 0" in told


def test_traversal_goes_around_an_image(made: Made, run: Path, model_of: ModelOf, held_out: Any) -> None:
    got, told = made(run, "traversal", "--image", 7, "--dimensions", "2,0", "--n", 2)
    model = model_of(run)
    mu = model.encode(held_out[7:8])[0][0]
    z = np.tile(mu, (2, 2, 1))
    z[0, :, 2] = z[1, :, 0] = [-3, 3]
    np.testing.assert_allclose(got, decoded(model, z), rtol=1e-5)
    assert "the latents 2, 0 around held-out image 7" in told


@pytest.mark.parametrize("alone", [True, False], ids=["no run beside the weights", "latents are named"])
def test_traversal_needs_no_data(alone: bool, made: Made, make_run: Callable[..., Path]) -> None:
    run = make_run(data="gone.npz")
    if alone:
        (run / "config.json").unlink()
    got, told = made(run, "traversal", *(() if alone else ("--dimensions", "0,1,2")))
    assert got.shape == (3, 13, 12)
    assert "latents 0, 1, 2 around 0" in told


def test_manifold_is_a_map_of_the_prior(made: Made, make_run: Callable[..., Path], model_of: ModelOf) -> None:
    run = make_run(2)
    got, _ = made(run, "manifold", "--n", 3)
    third = 0.967421566  # of the normal distribution, 1/6 lies beyond it
    across, up = np.meshgrid([-third, 0, third], [third, 0, -third])
    np.testing.assert_allclose(got, decoded(model_of(run), np.stack([across, up], axis=-1)), rtol=1e-5)


def test_class_means_are_those_of_the_training_images(
    made: Made, run: Path, model_of: ModelOf, images: dict[str, Any]
) -> None:
    got, told = made(run, "class-means")
    model = model_of(run)
    mu = model.encode(images["x_train"].reshape(90, 12))[0].astype(np.float64)
    means = np.stack([mu[images["y_train"] == label].mean(axis=0) for label in range(3)])
    np.testing.assert_allclose(got, decoded(model, means), rtol=1e-5)
    assert "the means of the classes 0, 1, 2," in told


def test_a_run_on_bits_is_shown_bits(made: Made, make_run: Callable[..., Path], held_out: Any) -> None:
    got, _ = made(make_run(binarise="dynamic"), "reconstructions", "--n", 30)
    assert np.array_equal(got[0], binarisation.drawn(held_out, 4))  # the run's own seed
    assert set(np.unique(got[0])) == {0.0, 1.0}


def test_class_means_of_a_run_on_bits_are_of_bits(
    made: Made, make_run: Callable[..., Path], model_of: ModelOf, images: dict[str, Any]
) -> None:
    run = make_run(binarise="dynamic")
    mu = model_of(run).encode(binarisation.dynamic(images["x_train"].reshape(90, 12), 4, 0))[0]
    means = np.stack([mu[images["y_train"] == label].mean(axis=0) for label in range(3)])
    np.testing.assert_allclose(made(run, "class-means")[0], decoded(model_of(run), means), rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("reconstructions", (20, 10)),
        ("interpolation", (12, 12)),
        ("traversal", (39, 13)),
        ("manifold", (400, 20)),
        ("class-means", (3, 3)),
    ],
)
def test_a_picture_shows_the_array(
    kind: str, shape: tuple[int, int], make_run: Callable[..., Path], made: Made, vae_command: Command, tmp_path: Path
) -> None:
    run, count = make_run(2 if kind == "manifold" else 3), shape[0]
    array, told = made(run, kind)
    out = tmp_path / "x.png"
    result = vae_command("generate", "--weights", run, "--kind", kind, "--out", out)
    assert result.stdout == told.replace("x.npy", "x.png")
    with Image.open(out) as picture:
        pixels = np.asarray(picture)
    grid = pictures.grid(array.reshape(count, 4, 3), columns=shape[1])
    top, left = pixels.shape[0] - grid.shape[0], pixels.shape[1] - grid.shape[1]
    if left and not np.array_equal(pixels[top:, left:], grid):  # a title that is wider than the images
        left = next(at for at in range(left) if np.array_equal(pixels[top:, at : at + grid.shape[1]], grid))
    assert np.array_equal(pixels[top:, left : left + grid.shape[1]], grid)
    assert (pixels[:top] < 128).any(), "no title"
    again = tmp_path / "again.png"
    vae_command("generate", "--weights", run, "--kind", kind, "--out", again)
    assert again.read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("manifold", (), "kind: got manifold for a model of 3 latents; expected 2 (vae train --latent-dim 2)"),
        ("reconstructions", ("--n", 31), "n: got 31; expected at most 30, the images held out in"),
        ("interpolation", ("--between", 0, 30), "between: got 30; expected rows of the images held out, 0 to 29"),
        ("interpolation", ("--between", -1, 3), "between: got -1; expected rows of the images held out, 0 to 29"),
        ("interpolation", ("--n", 1), "n: got 1; expected at least 2 steps"),
        ("interpolation", ("--image", 1), "image: got 1 for interpolation; expected it for traversal only"),
        ("traversal", ("--image", 30), "image: got 30; expected rows of the images held out, 0 to 29"),
        ("traversal", ("--dimensions", "0,3"), "dimensions: got 3; expected latents of the model, 0 to 2"),
        ("traversal", ("--dimensions", "0;3"), "got '0;3'; expected whole numbers such as 0,3,7"),
        ("traversal", ("--n", 1), "n: got 1; expected at least 2 steps"),
        ("class-means", ("--n", 3), "n: got 3 for class-means; expected it for samples, reconstructions"),
        ("samples", ("--data", "mnist"), "data: got mnist for samples; expected it for reconstructions, interpolation"),
        ("samples", ("--between", 0, 1), "between: got (0, 1) for samples; expected it for interpolation only"),
        ("digits", (), "'digits' is not one of 'samples', 'reconstructions', 'interpolation'"),
        ("reconstructions", ("--data", "none.npy"), "data: got 'none.npy'; there is no such file"),
    ],
)
def test_bad_input_is_told(
    kind: str, arguments: tuple[object, ...], message: str, run: Path, vae_command: Command, tmp_path: Path
) -> None:
    out = tmp_path / "y.npy"
    result = vae_command("generate", "--weights", run, "--kind", kind, "--out", out, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("Error") == 1
    assert not out.exists()


@pytest.mark.parametrize("kind", ["traversal", "manifold", "interpolation"])
def test_a_picture_has_an_end(kind: str, run: Path, vae_command: Command, tmp_path: Path) -> None:
    result = vae_command("generate", "--weights", run, "--kind", kind, "--n", 101, "--out", tmp_path / "x.png")
    assert result.stderr == "Error: n: got 101; expected at most 100 in a .png (an .npy takes any number)\n"


def test_class_means_need_labels(run: Path, vae_command: Command, tmp_path: Path) -> None:
    np.save(tmp_path / "bare.npy", np.random.default_rng(0).random((20, 12)))
    arguments = ("--kind", "class-means", "--data", tmp_path / "bare.npy", "--out", tmp_path / "x.npy")
    result = vae_command("generate", "--weights", run, *arguments)
    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: kind: got class-means for {tmp_path / 'bare.npy'}, which has no labels; expected data with y_train\n",
    )


def test_data_must_be_known_and_fit(run: Path, vae_command: Command, tmp_path: Path) -> None:
    arguments = ("generate", "--weights", run, "--kind", "reconstructions", "--out", tmp_path / "x.npy")
    np.save(tmp_path / "large.npy", np.zeros((20, 16)))
    result = vae_command(*arguments, "--data", tmp_path / "large.npy")
    assert result.exit_code == 2
    assert result.stderr.endswith(f"large.npy with 16 pixels; expected 12, as {run / 'weights.safetensors'} has\n")
    (run / "config.json").unlink()
    result = vae_command(*arguments)
    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: data: no config.json beside {run / 'weights.safetensors'} names its data; give --data\n",
    )


def test_the_options_name_every_kind() -> None:
    (kind,) = (option for option in generate_command.params if option.name == "kind")
    assert list(getattr(kind.type, "choices", ())) == list(command.KINDS)
    given = {name for taken in command.KINDS.values() for name in taken.options}
    assert given == set(command.Choices.__dataclass_fields__)
    assert re.findall(r"^ *([a-z-]+)  +", str(generate_command.help), flags=re.MULTILINE) == list(command.KINDS)
