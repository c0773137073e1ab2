"""`vae compress` and `vae decompress`: there and back, and what they refuse."""

import errno
import os
from pathlib import Path
from typing import Any

import click.testing
import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

from vae_rosetta.applications.cli import vae
from vae_rosetta.applications.commands import compress as compress_command
from vae_rosetta.applications.compression import codec
from vae_rosetta.shared import binarisation, parameters
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes


def run(command: str, source: Path, out: Path, weights: Path, *options: object) -> click.testing.Result:
    arguments = [command, source, out, "--weights", weights, "--backend", "oracle", *options]
    return CliRunner().invoke(vae, [str(argument) for argument in arguments])


@pytest.fixture
def source(tmp_path: Path, x: npt.NDArray[Any]) -> Path:
    path = tmp_path / "x.npy"
    np.save(path, x.reshape(57, 4, 3).astype(bool))
    return path


def test_there_and_back(source: Path, weights: Path, tmp_path: Path) -> None:
    packed, back = tmp_path / "x.vaez", tmp_path / "y.npy"
    there = run("compress", source, packed, weights, "--block-size", 20)
    assert there.exit_code == 0, there.output
    size = packed.stat().st_size
    assert there.stdout == (
        f"{packed}: 57 images of 12 pixels, {size:,} bytes, {8 * size / 684:.4f} bit per pixel; "
        f"{weights / 'weights.safetensors'} in numpy {np.__version__}\n"
    )
    assert run("decompress", packed, back, weights / "weights.safetensors").exit_code == 0
    np.testing.assert_array_equal(np.load(back), np.load(source), strict=True)
    again = tmp_path / "again.vaez"
    run("compress", back, again, weights, "--block-size", 20, "--lanes", 1)
    assert again.read_bytes() == packed.read_bytes()


@pytest.mark.parametrize("key", ["x", "images"])
def test_an_npz_will_do(key: str, source: Path, weights: Path, tmp_path: Path) -> None:
    arrays = {key: np.load(source), **({"labels": np.zeros(57)} if key == "x" else {})}
    np.savez(tmp_path / "x.npz", **arrays)
    assert run("compress", tmp_path / "x.npz", tmp_path / "a.vaez", weights).exit_code == 0
    assert run("compress", source, tmp_path / "b.vaez", weights).exit_code == 0
    assert (tmp_path / "a.vaez").read_bytes() == (tmp_path / "b.vaez").read_bytes()


@pytest.mark.parametrize("how", ["drawn", "rounded"])
@pytest.mark.parametrize("dtype", ["float64", "uint8"])
def test_grey_images_are_binarised_on_request(how: str, dtype: str, weights: Path, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (20, 12)).astype(dtype)
    np.save(tmp_path / "grey.npy", values if dtype == "uint8" else values / 255)
    result = run("compress", tmp_path / "grey.npy", tmp_path / "g.vaez", weights, "--binarise", how, "--seed", 5)
    assert result.exit_code == 0, result.output
    assert f"20 images of 12 pixels, {how} from grey," in result.stdout
    assert run("decompress", tmp_path / "g.vaez", tmp_path / "y.npy", weights).exit_code == 0
    grey = values.astype("float32") / np.float32(255) if dtype == "uint8" else values / 255
    expected: Array = binarisation.drawn(grey, 5) if how == "drawn" else binarisation.rounded(grey)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected.astype(dtype), strict=True)


def test_binarising_leaves_black_and_white_as_it_is(weights: Path, tmp_path: Path, x: npt.NDArray[Any]) -> None:
    np.save(tmp_path / "x.npy", x)  # uint8: a 1 is white here, not 1/255
    assert run("compress", tmp_path / "x.npy", tmp_path / "x.vaez", weights, "--binarise", "rounded").exit_code == 0
    assert run("decompress", tmp_path / "x.vaez", tmp_path / "y.npy", weights).exit_code == 0
    assert np.array_equal(np.load(tmp_path / "y.npy"), x)


def test_salvage_tells_what_is_lost(source: Path, weights: Path, tmp_path: Path, x: npt.NDArray[Any]) -> None:
    packed, back = tmp_path / "x.vaez", tmp_path / "y.npy"
    run("compress", source, packed, weights, "--block-size", 20)
    packed.write_bytes(packed.read_bytes()[:-1])
    refused = run("decompress", packed, back, weights)
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"Error: {packed}: truncated: got ")
    assert not back.exists()
    salvaged = run("decompress", packed, back, weights, "--salvage")
    assert salvaged.exit_code == 0
    assert f"{packed}: lost block 2 (images 40 to 56); left out of {back}\n" in salvaged.stderr
    assert np.array_equal(np.load(back).reshape(-1, 12), x[:40])
    packed.write_bytes(packed.read_bytes()[:200])
    nothing = run("decompress", packed, tmp_path / "z.npy", weights, "--salvage")
    assert (nothing.exit_code, nothing.stderr) == (2, f"Error: {packed}: no block is whole; nothing was written\n")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.full((3, 12), 84, np.uint8),
            "got a pixel of 84; expected 0 and 1 alone (--binarise rounded or drawn makes",
        ),
        (np.full((3, 12), 0.5), "got a pixel of 0.5; expected 0 and 1 alone"),
        (np.full((3, 12), np.nan), "got a pixel of nan; expected 0 and 1 alone"),
        (np.zeros((3, 13)), "got 13 pixels each; expected 12, as the model has"),
        (np.zeros((3, 5, 2)), "got 10 pixels each; expected 12, as the model has"),
        (np.zeros(12), "got shape (12,); expected 0 and 1, as bool, integers or floats, of shape (N, D) or (N, h, w)"),
        (np.zeros((0, 12)), "got shape (0, 12); expected 0 and 1"),
        (np.zeros((3, 12), np.complex64), "got dtype complex64; expected 0 and 1"),
        (np.full((3, 12), "0"), "got dtype <U1; expected 0 and 1"),
    ],
)
def test_images_that_will_not_do_are_told(array: Any, message: str, weights: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", array)
    result = run("compress", tmp_path / "x.npy", tmp_path / "x.vaez", weights)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {tmp_path / 'x.npy'}: {message}")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "x.vaez").exists()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((3, 12), 2), "got dtype int64; expected uint8 or floats to binarise"),
        (np.full((3, 12), 1.5), "got values from 1.5 to 1.5; expected floats in [0, 1] to binarise"),
        (np.full((3, 12), np.nan), "got values from nan to nan; expected floats in [0, 1] to binarise"),
    ],
)
def test_images_that_cannot_be_binarised_are_told(array: Any, message: str, weights: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", array)
    result = run("compress", tmp_path / "x.npy", tmp_path / "x.vaez", weights, "--binarise", "drawn")
    assert (result.exit_code, result.stderr) == (2, f"Error: {tmp_path / 'x.npy'}: {message}\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        (b"", "got an empty file; expected the .npy or .npz format"),
        (b"GIF89a....", "got a file that starts with b'GIF89a'; expected the .npy or .npz format"),
        (b"\x93NUMPY\x01\x00", "got an unreadable file"),
        (b"PK\x03\x04....", "got an unreadable file"),
    ],
)
def test_files_that_are_no_array_are_told(content: bytes | None, message: str, weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "in.npy"
    if content is not None:
        path.write_bytes(content)
    result = run("compress", path, tmp_path / "x.vaez", weights)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {path}: {message}")


def test_several_arrays_are_told(weights: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.zeros(2), b=np.zeros(2))
    result = run("compress", tmp_path / "x.npz", tmp_path / "x.vaez", weights)
    expected = f"Error: {tmp_path / 'x.npz'}: got the arrays a, b; expected x, or one array alone\n"
    assert (result.exit_code, result.stderr) == (2, expected)


@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_outputs_that_will_not_do_are_told(command: str, source: Path, weights: Path, tmp_path: Path) -> None:
    ending = {"compress": ".vaez", "decompress": ".npy"}[command]
    wrong = run(command, source, tmp_path / "out.txt", weights)
    assert (wrong.exit_code, wrong.stderr) == (
        2,
        f"Error: out: got {tmp_path / 'out.txt'}; expected a name that ends in {ending}\n",
    )
    taken = tmp_path / f"out{ending}"
    taken.write_text("mine")
    refused = run(command, source, taken, weights)
    assert (refused.exit_code, refused.stderr) == (
        2,
        f"Error: out: got {taken}, which exists; --force replaces it\n",
    )
    assert taken.read_text() == "mine"
    run("compress", source, tmp_path / "x.vaez", weights)
    whole = source if command == "compress" else tmp_path / "x.vaez"
    assert run(command, whole, taken, weights, "--force").exit_code == 0
    assert taken.read_bytes() != b"mine"


@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_a_full_disk_leaves_no_file(
    command: str, source: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("compress", source, tmp_path / "x.vaez", weights)
    before = sorted(path.name for path in tmp_path.iterdir())

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    whole, out = (source, "y.vaez") if command == "compress" else (tmp_path / "x.vaez", "y.npy")
    result = run(command, whole, tmp_path / out, weights)
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_other_weights_are_told_by_their_file(source: Path, weights: Path, tmp_path: Path) -> None:
    run("compress", source, tmp_path / "x.vaez", weights)
    parameters.save(tmp_path / "other.safetensors", parameters.initial(9, Sizes(12, 8, 3)))
    result = run("decompress", tmp_path / "x.vaez", tmp_path / "y.npy", tmp_path / "other.safetensors")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {tmp_path / 'x.vaez'}: made with other weights (a weights file of SHA-256")
    missing = run("decompress", tmp_path / "none.vaez", tmp_path / "y.npy", weights)
    assert (missing.exit_code, missing.stderr) == (2, f"Error: {tmp_path / 'none.vaez'}: there is no such file\n")


def test_defaults_are_the_codecs() -> None:
    """The options' module may not import NumPy, so it repeats them."""
    defaults = {option.name: option.default for option in compress_command.compress.params}
    assert (defaults["block_size"], defaults["lanes"]) == (codec.BLOCK_SIZE, codec.LANES)
