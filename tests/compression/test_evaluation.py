"""`vae evaluate compression`: honest rates, the same numbers by other means, and a file for programs."""

import bz2
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from vae_rosetta.applications.cli import vae
from vae_rosetta.applications.compression import codec, container, evaluation, generic, published
from vae_rosetta.applications.compression.quantisation import IntegerNetwork, quantise
from vae_rosetta.applications.compression.work import Prepared
from vae_rosetta.applications.settings import Config
from vae_rosetta.shared import binarisation, oracle, parameters, recipe
from vae_rosetta.shared.contract import Array

Bits = npt.NDArray[np.uint8]


def evaluate(*options: object) -> Result:
    return CliRunner().invoke(vae, ["evaluate", "compression", *map(str, options), "--backend", "oracle"])


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    """Ten images held out of a hundred, 4 x 3."""
    path = tmp_path / "grey.npy"
    np.save(path, np.random.default_rng(0).random((100, 4, 3), dtype=np.float32))
    return path


def test_rates_count_what_they_say(prepared: Prepared, x: Bits) -> None:
    rates = evaluation.measure(x, prepared, block_size=10)
    blocks = container.unpack(rates.file).blocks
    words = [len(block.words) for block in blocks if block.words is not None]
    assert rates.net == 32 * (sum(words) - 6 * codec.seed_words(3)) / 684
    assert rates.gross == 8 * (140 + 6 * 12 + 4 + 4 * sum(words)) / 684
    assert min(rates.compress, rates.decompress) > 0


def test_the_float_networks_elbo_is_the_recipes(params: dict[str, Array], x: Bits) -> None:
    model = oracle.load(params)
    expected = recipe.evaluate(model, x.astype(np.float32), seed=7).objective
    assert evaluation.negative_elbo(model, x, 7).mean() == pytest.approx(expected, rel=1e-6)


def test_the_integer_networks_elbo_is_near_the_float_ones(params: dict[str, Array], x: Bits) -> None:
    tame = {name: value / 4 for name, value in params.items()}
    plain = evaluation.negative_elbo(oracle.load(tame, dtype="float64"), x, 7)
    whole = evaluation.integer_negative_elbo(quantise(tame), x, 7)
    assert np.abs(whole - plain).max() < 0.05  # nats of about 9: a grid step is 1/64 and a step of the logits too
    assert whole.mean() == pytest.approx(plain.mean(), rel=0.002)


def test_coarser_weights_have_a_worse_elbo(params: dict[str, Array], network: IntegerNetwork, x: Bits) -> None:
    """So that the figure would show a bad network."""
    plain = evaluation.integer_negative_elbo(network, x, 7)
    coarse = evaluation.integer_negative_elbo(quantise({**params, "decoder.fc4.bias": np.zeros(12)}, 8), x, 7)
    assert abs(coarse.mean() / plain.mean() - 1) > 0.01


def test_generic_compressors_get_the_same_bits(x: Bits) -> None:
    told: list[int] = []
    found = generic.sizes(x, (4, 3), told.append)
    assert sum(told) == 57
    assert list(found) == list(generic.NAMES)
    assert found["bz2"] == len(bz2.compress(np.packbits(x).tobytes()))
    png = 0
    for image in x.reshape(57, 4, 3):
        buffer = io.BytesIO()
        Image.fromarray(image.astype(bool)).save(buffer, "PNG", optimize=True)
        png += len(buffer.getvalue())
    assert found["PNG"] == png
    assert found["PNG, image data alone"] == png - 57 * 57  # signature 8, IHDR 25, IDAT's frame 12, IEND 12


def test_the_file_for_programs(grey: Path, weights: Path) -> None:
    result = evaluate("--weights", weights, "--data", grey, "--block-size", 4, "--draw-seed", 3)
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads((weights / "compression.json").read_text())
    assert document["format"] == "vae-rosetta/compression/1"
    assert (document["images"], document["pixels"], document["draw_seed"]) == (10, 12, 3)
    assert document["protocol"] == "dynamic-binarised (one draw, seed 3)"
    assert document["published"] == []
    rates, elbo = document["bits_per_pixel"], document["negative_elbo_bits_per_pixel"]
    assert rates["net"] < rates["gross"] < rates["with_weights"]
    assert rates["gross"] == 8 * document["bytes"]["file"] / 120
    assert document["net_over_negative_elbo"] == rates["net"] / elbo["float"]
    assert set(document["others_bits_per_pixel"]) == set(generic.NAMES)
    assert f"{rates['net']:.4f}" in result.stdout
    x = binarisation.drawn(np.load(grey)[9::10].reshape(10, 12), 3)
    expected = recipe.evaluate(oracle.load(parameters.read_params(weights / "weights.safetensors")), x, seed=0)
    assert elbo["float"] == pytest.approx(expected.objective / 12 / np.log(2), rel=1e-6)
    again = evaluate("--weights", weights, "--data", grey)
    assert (again.exit_code, again.stderr) == (
        2,
        f"Error: out: got {weights / 'compression.json'}, which exists; --force replaces it\n",
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "names its data; give --data"),
        (("--data", "GREY", "--images", 11), "images: got 11; expected at most 10, which"),
        (("--data", "mnist-5k"), "data: got mnist-5k with 784 pixels; expected 12, as "),
        (("--data", "GREY", "--out", "x.txt"), "out: got x.txt; expected a name that ends in .json"),
        (("--data", "GREY", "--seed", 2**64), f"seed: got {2**64}; expected a whole number"),
    ],
)
def test_bad_input_is_told(options: tuple[object, ...], message: str, grey: Path, weights: Path) -> None:
    given = [grey if option == "GREY" else option for option in options]
    result = evaluate("--weights", weights, *given)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (weights / "compression.json").exists()


def test_the_runs_own_data_are_the_default(grey: Path, weights: Path, config_of: Callable[..., Config]) -> None:
    config_of(str(grey)).write(weights / "config.json")
    result = evaluate("--weights", weights, "--binarise", "rounded")
    assert result.exit_code == 0, result.output
    assert json.loads((weights / "compression.json").read_text())["protocol"] == "rounded"


def test_published_figures_stand_beside_their_own_protocol_only() -> None:
    drawn = "dynamic-binarised (one draw, seed 0)"
    assert published.comparable("mnist", drawn, 10_000) == published.FIGURES
    assert not published.comparable("mnist", "rounded", 10_000)
    assert not published.comparable("mnist", drawn, 100)
    assert not published.comparable("mnist-5k", drawn, 10_000)
    assert {figure.name for figure in published.FIGURES} - {"bits-back"} <= set(generic.NAMES)
