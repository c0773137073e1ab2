"""Weights and compressed files go from every port to every other: `nox -s exchange`.

Each port works in a process of its own, as two people on two machines would.
"""

import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from vae_rosetta.implementations.ports import PORTS
from vae_rosetta.shared import parameters
from vae_rosetta.shared.contract import Array

HERE: Final = Path(__file__).parent
WORDS: Final = [word for word in PORTS if word != "oracle"]
OPTIONS: Final = ("--epochs", "2", "--batch-size", "20", "--seed", "5", "--binarise", "dynamic")


def _run(*words: object) -> None:
    done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def _vae(*words: object) -> None:
    _run("-m", "vae_rosetta.applications", *words)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, grey and black and white, and a run of each port on the grey ones."""
    folder = tmp_path_factory.mktemp("exchange")
    random = np.random.default_rng(0)
    np.save(folder / "grey.npy", random.random((60, 6, 6), dtype=np.float32))
    np.save(folder / "bits.npy", random.integers(0, 2, (60, 6, 6)).astype(np.float32))
    for word in (*WORDS, "oracle"):
        _vae("train", "--backend", word, "--data", folder / "grey.npy", *OPTIONS, "--out", folder / word)
    return folder


@pytest.fixture(scope="module")
def logits(folder: Path) -> dict[tuple[str, str], Array]:
    """By reader and writer: what the reader decodes with the writer's weights, (16, D)."""
    found: dict[tuple[str, str], Array] = {}
    code = (HERE / "decode.py").read_text(encoding="utf-8")  # run from here, where a checkout need not be installed
    for reader in (*WORDS, "oracle"):
        out = folder / f"{reader}.safetensors"
        _run("-c", code, reader, out, *(f"{word}={folder / word}/weights.safetensors" for word in WORDS))
        found |= {(reader, writer): answer for writer, answer in parameters.read(out).items()}
    return found


@pytest.fixture(scope="module")
def compressed(folder: Path) -> dict[str, Path]:
    """By port, the oracle too: what it makes of the same bits, with weights that another has trained."""
    files = {word: folder / f"{word}.vaez" for word in (*WORDS, "oracle")}
    for word, file in files.items():
        _vae("compress", folder / "bits.npy", file, "--weights", folder / WORDS[0], "--backend", word)
    return files


def _agree(logits: Array, expected: Array) -> bool:
    """As far as float32 goes: logits of about 1 are sums of 400 products, each rounded by 6e-8 of itself."""
    return bool(np.allclose(logits, expected, rtol=1e-5, atol=1e-5))


@pytest.mark.parametrize(("writer", "reader"), list(product(WORDS, WORDS)))
def test_reader_decodes_with_the_writers_weights(
    logits: dict[tuple[str, str], Array], writer: str, reader: str
) -> None:
    assert _agree(logits[reader, writer], logits["oracle", writer])


def test_other_logits_would_be_noticed(logits: dict[tuple[str, str], Array]) -> None:
    for writer in WORDS:
        assert not _agree(logits["oracle", writer][::-1], logits["oracle", writer])


def test_all_train_the_same_model(logits: dict[tuple[str, str], Array]) -> None:
    """Up to what six steps of Adam in float32 may part them: the demonstration's limit for its first 32."""
    for writer in WORDS:
        np.testing.assert_allclose(logits["oracle", writer], logits["oracle", WORDS[0]], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("word", WORDS)
def test_compressed_file_is_the_same_to_the_byte(compressed: dict[str, Path], word: str) -> None:
    assert compressed[word].read_bytes() == compressed["oracle"].read_bytes()


@pytest.mark.parametrize("word", WORDS)
def test_compressed_file_is_read_by_all(folder: Path, compressed: dict[str, Path], word: str) -> None:
    out = folder / f"{word}-back.npy"
    _vae("decompress", compressed[WORDS[-1]], out, "--weights", folder / WORDS[0], "--backend", word)
    np.testing.assert_array_equal(np.load(out), np.load(folder / "bits.npy"))
