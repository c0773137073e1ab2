"""`vae generate`: the images of a seed, as a picture or as numbers, and what it refuses."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import click.testing
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from vae_rosetta.applications import pictures, runs
from vae_rosetta.applications.cli import vae
from vae_rosetta.applications.settings import Config
from vae_rosetta.shared import oracle, parameters, passes, stream
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes

Params = dict[str, Array]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights of 12 pixels, which is no square, in a folder of their own."""
    folder = tmp_path / "run"
    folder.mkdir()
    parameters.save(folder / runs.WEIGHTS, parameters.initial(3, Sizes(12, 8, 3)))
    return folder / runs.WEIGHTS


def generate(weights: Path, out: Path, *arguments: object) -> click.testing.Result:
    options = ["--weights", weights, "--out", out, "--backend", "oracle", *arguments]
    return CliRunner().invoke(vae, ["generate", *map(str, options)])


def test_numbers_are_the_probabilities_of_the_portable_latents(weights: Path, tmp_path: Path) -> None:
    result = generate(weights, tmp_path / "x.npy", "--n", 5, "--seed", 9)
    assert result.exit_code == 0, result.output
    z = stream.normal(9, stream.Purpose.LATENT, 0, (5, 3))
    logits = oracle.load(parameters.read_params(weights)).decode(z).astype(np.float64)
    expected = (1 / (1 + np.exp(-logits))).astype(np.float32)
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), expected, rtol=1e-6, strict=True)
    assert result.stdout == (
        f"{tmp_path / 'x.npy'}: 5 images of 12 pixels, seed 9, {weights} decoded by numpy {np.__version__}\n"
    )


def test_more_images_begin_with_the_same_ones(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "ROWS", 2)  # decoded in several calls
    generate(weights, tmp_path / "few.npy", "--n", 3)
    generate(weights, tmp_path / "many.npy", "--n", 7)
    generate(weights, tmp_path / "other.npy", "--n", 7, "--seed", 1)
    few, many, other = (np.load(tmp_path / f"{name}.npy") for name in ("few", "many", "other"))
    np.testing.assert_allclose(few, many[:3], rtol=1e-6)
    assert many.shape == other.shape == (7, 12)
    assert not np.allclose(many, other)


@pytest.mark.parametrize("told_by", ["option", "config"])
def test_a_picture_shows_the_same_images(
    told_by: str, weights: Path, config_of: Callable[..., Config], tmp_path: Path
) -> None:
    generate(weights, tmp_path / "x.npy", "--n", 10)
    if told_by == "config":
        np.save(tmp_path / "data.npy", np.zeros((20, 4, 3), dtype=np.float32))
        config_of(str(tmp_path / "data.npy")).write(weights.parent / runs.CONFIG)
        result = generate(weights.parent, tmp_path / "x.png", "--n", 10)
    else:
        result = generate(weights, tmp_path / "x.png", "--n", 10, "--image-shape", 4, 3)
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "x.png") as picture:
        assert np.array_equal(np.asarray(picture), pictures.grid(np.load(tmp_path / "x.npy").reshape(10, 4, 3)))


@pytest.mark.parametrize("config", [None, '{"model_type": "vae"}'], ids=["no config", "of no run"])
def test_square_images_need_no_shape(config: str | None, tmp_path: Path) -> None:
    parameters.save(tmp_path / "w.safetensors", parameters.initial(0, Sizes(9, 4, 2)))
    if config is not None:
        (tmp_path / runs.CONFIG).write_text(config)
    assert generate(tmp_path / "w.safetensors", tmp_path / "x.PNG", "--n", 1).exit_code == 0
    with Image.open(tmp_path / "x.PNG") as picture:
        assert (picture.mode, picture.size) == ("L", (61, 61))  # 3 x 3, magnified 19 times, between gutters of 2


def test_float64_weights_can_be_decoded(weights: Path, tmp_path: Path) -> None:
    params = {name: value.astype(np.float64) for name, value in parameters.read_params(weights).items()}
    parameters.save(weights, params)
    assert generate(weights, tmp_path / "x.npy").exit_code == 0
    assert np.load(tmp_path / "x.npy").dtype == np.float32


def test_the_backend_has_a_default(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)  # no framework is installed
    command = ["generate", "--weights", str(weights), "--out", str(tmp_path / "x.npy")]
    result = CliRunner().invoke(vae, command)
    assert result.exit_code == 0
    assert "decoded by numpy" in result.stdout


def test_an_existing_file_is_kept_unless_forced(weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.npy"
    out.write_text("mine")
    refused = generate(weights, out)
    assert (refused.exit_code, refused.stderr) == (2, f"Error: out: got {out}, which exists; --force replaces it\n")
    assert out.read_text() == "mine"
    assert generate(weights, out, "--force").exit_code == 0
    assert np.load(out).shape == (64, 12)


@pytest.mark.parametrize(
    ("out", "arguments", "message"),
    [
        ("x.jpg", (), "expected a name that ends in .png or .npy"),
        ("none/x.npy", (), "expected a folder that exists"),
        ("x.png", ("--image-shape", "3", "3"), "image-shape: got 3 x 3; expected 12 pixels, as the model has"),
        (
            "x.png",
            (),
            "has 12 pixels, which is no square, and config.json tells no shape; give --image-shape H W",
        ),
        ("x.png", ("--n", "10001"), "n: got 10001; expected at most 10000 in a .png"),
        ("x.npy", ("--n", "0"), "0 is not in the range x>=1"),
        ("x.npy", ("--seed", str(2**64)), f"seed: got {2**64}; expected a whole number"),
        ("x.npy", ("--backend", "mxnet"), "'mxnet' is not one of 'torch', 'tensorflow', 'jax', 'oracle'"),
    ],
)
def test_bad_input_is_told(out: str, arguments: tuple[str, ...], message: str, weights: Path, tmp_path: Path) -> None:
    result = generate(weights, tmp_path / out, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / out).exists()


def _without(name: str) -> Callable[[Params], Params]:
    return lambda params: {key: value for key, value in params.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without("decoder.fc4.bias"), "params: missing decoder.fc4.bias; expected 10 tensors"),
        (lambda params: {**params, "extra": np.zeros(1)}, "params: unknown extra; expected 10 tensors"),
        (
            lambda params: {**params, "decoder.fc4.bias": np.zeros(11)},
            "params['decoder.fc4.bias']: got shape (11,); expected a float32 or float64 array of shape (12,)",
        ),
        (
            lambda params: {**params, "decoder.fc4.bias": np.full(12, np.nan)},
            "params['decoder.fc4.bias']: got nan at [0]; expected finite numbers",
        ),
        (
            lambda params: {**params, "decoder.fc4.bias": np.zeros(12, dtype=np.int64)},
            "params['decoder.fc4.bias']: got dtype int64",
        ),
    ],
    ids=["missing", "extra", "misshapen", "not finite", "integers"],
)
def test_unfit_weights_are_told_with_their_file(
    change: Callable[[Params], Params], message: str, weights: Path, tmp_path: Path
) -> None:
    parameters.save(weights, change(parameters.read_params(weights)))
    result = generate(weights.parent, tmp_path / "x.npy")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {weights}: {message}")
    assert not (tmp_path / "x.npy").exists()


def test_unreadable_weights_are_told(weights: Path, tmp_path: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:100])
    result = generate(weights, tmp_path / "x.npy")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {weights}: not a readable safetensors file")
    weights.unlink()
    result = generate(weights, tmp_path / "x.npy")
    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: weights: got {weights}; expected a run's folder or a .safetensors file\n",
    )


def test_a_damaged_config_is_told(weights: Path, tmp_path: Path) -> None:
    (weights.parent / runs.CONFIG).write_text("{")
    result = generate(weights, tmp_path / "x.png")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {weights.parent / runs.CONFIG}: damaged")
