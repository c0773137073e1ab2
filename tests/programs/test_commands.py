"""A port in another language as `--backend`: its program in the commands of `vae`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest
from click.testing import CliRunner

from vae_rosetta.applications import runs
from vae_rosetta.applications.cli import vae
from vae_rosetta.implementations import programs
from vae_rosetta.implementations.ports import Port


@pytest.fixture(scope="module")
def folder(port: Port, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey and black-and-white images, and a run on them by the oracle and by the port, from one seed."""
    folder = tmp_path_factory.mktemp("runs")
    random = np.random.default_rng(0)
    np.save(folder / "grey.npy", random.random((60, 4, 4), dtype=np.float32))
    np.save(folder / "bits.npy", random.integers(0, 2, (60, 4, 4)).astype(np.float32))
    for backend in ("oracle", port.word):
        train = [
            "train",
            "--data",
            str(folder / "grey.npy"),
            "--epochs",
            "2",
            "--batch-size",
            "20",
            "--binarise",
            "dynamic",
        ]
        _vae(*train, "--backend", backend, "--dtype", "float64", "--out", str(folder / backend))
    return folder


def _vae(*arguments: str) -> None:
    result = CliRunner().invoke(vae, arguments)
    assert result.exit_code == 0, result.output


def test_training_is_the_oracles(folder: Path, port: Port) -> None:
    theirs, mine = (runs.read(folder / backend).metrics() for backend in ("oracle", port.word))
    for a, b in zip(theirs, mine, strict=True):
        np.testing.assert_allclose(b["step_objectives"], a["step_objectives"], rtol=1e-12)
        assert b["test"]["objective"] == pytest.approx(a["test"]["objective"], rel=1e-12)


def test_a_run_of_the_oracle_is_scored_alike(folder: Path, port: Port) -> None:
    weights = ["--weights", str(folder / "oracle")]
    scores = []
    for backend in ("oracle", port.word):
        out = folder / f"{backend}-scores.csv"
        _vae("score", str(folder / "grey.npy"), *weights, "--backend", backend, "--no-threshold",
             "--out", str(out))  # fmt: skip
        scores.append(pandas.read_csv(out)["score"])
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-5)  # float32


def test_a_run_of_the_oracle_is_compressed_to_the_same_bytes(folder: Path, port: Port) -> None:
    weights = ["--weights", str(folder / "oracle")]
    for backend in ("oracle", port.word):
        _vae("compress", str(folder / "bits.npy"), str(folder / f"{backend}.vaez"), *weights, "--backend", backend)
    assert (folder / f"{port.word}.vaez").read_bytes() == (folder / "oracle.vaez").read_bytes()
    _vae("decompress", str(folder / "oracle.vaez"), str(folder / "back.npy"), *weights, "--backend", port.word)
    np.testing.assert_array_equal(np.load(folder / "back.npy"), np.load(folder / "bits.npy"))


def test_a_run_is_evaluated_and_decoded_alike(folder: Path, port: Port) -> None:
    images = []
    for backend in ("oracle", port.word):
        out = folder / f"{backend}.npy"
        weights = ["--weights", str(folder / "oracle"), "--backend", backend]
        _vae("generate", *weights, "--n", "3", "--seed", "1", "--out", str(out))
        images.append(np.load(out))
    np.testing.assert_allclose(images[1], images[0], rtol=1e-5)
    _vae("evaluate", "--weights", str(folder / port.word), "--backend", port.word, "--samples", "2")


def test_what_the_program_refuses_is_one_line(folder: Path, port: Port) -> None:
    train = ["train", "--backend", port.word, "--data", str(folder / "grey.npy"), "--device", "cuda"]
    result = CliRunner().invoke(vae, [*train, "--out", str(folder / "cuda")])
    assert (result.exit_code, result.stderr) == (2, "Error: device: got 'cuda'; expected auto or cpu\n")


def test_program_that_ends_is_one_line(
    folder: Path, port: Port, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho out of ideas >&2\nexit 3\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setattr(programs, "command", lambda _: [str(broken)])
    monkeypatch.delitem(sys.modules, port.module)
    generate = ["generate", "--weights", str(folder / "oracle"), "--backend", port.word, "--n", "1"]
    result = CliRunner().invoke(vae, [*generate, "--out", str(folder / "none.npy")])
    last = "Error: describe: the command ended with exit code 3; last line of its stderr: out of ideas\n"
    assert (result.exit_code, result.stderr) == (1, last)


def test_build_is_shown_and_happens_once(port: Port, folder: Path, tmp_path: Path) -> None:
    """In a process of its own, since a program that has been started is not built again."""
    words = ["generate", "--weights", str(folder / "oracle"), "--backend", port.word, "--n", "1", "--force"]
    command = [sys.executable, "-m", "vae_rosetta.applications", *words, "--out", str(tmp_path / "one.npy")]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    shown = []
    for _ in range(2):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        shown.append(done.stderr.splitlines())
    assert re.match(rf"{port.word}: building the port with \S+, once for these sources$", shown[0][0])
    assert re.match(rf"{port.word}: built in \d+ s: {tmp_path}", shown[0][1])
    assert shown[1] == []
