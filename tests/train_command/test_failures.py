"""`vae train` that cannot start or cannot finish: what it says, and what it leaves in the folder."""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from vae_rosetta.applications import pictures, runs
from vae_rosetta.shared import oracle

Train = Callable[..., Result]
Run = Callable[..., Path]
Compare = Callable[[Path, Path], None]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--backend", "numpy"), "'numpy' is not one of 'torch', 'tensorflow', 'jax', 'oracle'"),
        (("--epochs", "0"), "0 is not in the range x>=1"),
        (("--batch-size", "-3"), "-3 is not in the range x>=1"),
        (("--batch-size", "many"), "'many' is not a valid whole number"),
        (("--latent-dim", "0"), "0 is not in the range x>=1"),
        (("--seed", "-1"), "-1 is not in the range x>=0"),
        (("--seed", str(2**64)), f"seed: got {2**64}; expected a whole number from 0 to 2**64 - 1"),
        (("--dtype", "float16"), "'float16' is not one of 'float32', 'float64'"),
        (
            ("--dtype", "mixed_bfloat16"),
            "dtype: got 'mixed_bfloat16'; expected one of float32, float64",
        ),  # the oracle's
        (("--device", "cuda"), "device: got 'cuda'"),
        (("--data", "imagenet"), "data: got 'imagenet'; expected mnist-5k, mnist, or a path"),
        (("--data", "missing.npy"), "data: got 'missing.npy'; there is no such file"),
    ],
)
def test_bad_input_is_told_and_leaves_nothing(
    arguments: tuple[str, ...], message: str, data: Path, tmp_path: Path, train: Train, options: tuple[str, ...]
) -> None:
    result = train(*options, "--data", data, "--out", tmp_path / "run", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_missing_framework_is_told_with_its_cure(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: Train
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    result = train("--backend", "jax", "--data", data, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: backend: 'jax' needs jax, flax, optax: not installed; try: pip install 'vae-rosetta[jax]'\n"
    )


@pytest.mark.parametrize("out", ["tiny.npy", "tiny.npy/run"], ids=["a file", "under a file"])
def test_a_folder_that_cannot_be_is_told_before_training(
    out: str, data: Path, tmp_path: Path, train: Train, options: tuple[str, ...]
) -> None:
    result = train(*options, "--data", data, "--out", tmp_path / out)
    assert result.exit_code in (1, 2)
    assert re.fullmatch(r"Error: .*tiny\.npy.*\n", result.stderr)
    assert "epoch" not in result.stdout


def test_an_existing_run_is_kept_unless_forced(
    data: Path, tmp_path: Path, train: Train, run: Run, assert_same_run: Compare, options: tuple[str, ...]
) -> None:
    folder = run(data, tmp_path / "run", 3)
    (folder / "notes.txt").write_text("mine")
    before = (folder / runs.STATE).read_bytes()
    refused = train(*options, "--data", data, "--out", folder, "--epochs", 1)
    assert refused.exit_code == 2
    assert f"out: got {folder}, which is not empty; --resume {folder} goes on with its run, --force" in refused.stderr
    assert (folder / runs.STATE).read_bytes() == before
    run(data, folder, 1, "--force")
    assert_same_run(folder, run(data, tmp_path / "fresh", 1))
    assert (folder / "notes.txt").read_text() == "mine"


def test_losses_that_are_not_finite_stop_the_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: Train, options: tuple[str, ...]
) -> None:
    healthy = oracle.Oracle.train
    calls = []

    def failing(self: oracle.Oracle, *arguments: Any) -> Any:
        calls.append(1)
        objectives = healthy(self, *arguments)
        return objectives * (np.nan if len(calls) > 2 else 1)  # two calls an epoch: full batches, then the short one

    monkeypatch.setattr(oracle.Oracle, "train", failing)
    result = train(*options, "--data", data, "--out", tmp_path / "run", "--epochs", 3)
    assert result.exit_code == 1
    assert "epoch 2: the objective is not finite" in result.stderr
    assert runs.read(tmp_path / "run").checkpoint().epochs_done == 1


def test_ctrl_c_in_the_first_epoch_leaves_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: Train, options: tuple[str, ...]
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(oracle.Oracle, "train", interrupted)
    result = train(*options, "--data", data, "--out", tmp_path / "run")
    assert result.exit_code == 130
    assert result.stderr == "Interrupted before the first epoch was over: nothing is kept.\n"
    assert not (tmp_path / "run").exists()


def test_ctrl_c_leaves_a_folder_that_was_there(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: Train, options: tuple[str, ...]
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(oracle.Oracle, "train", interrupted)
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    for out in (".", tmp_path / "mine"):
        assert train(*options, "--data", data, "--out", out).exit_code == 130
    assert (tmp_path / "mine").is_dir()


def test_ctrl_c_in_the_first_epoch_leaves_the_former_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: Train, run: Run, options: tuple[str, ...]
) -> None:
    folder = run(data, tmp_path / "run", 2)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(oracle.Oracle, "train", interrupted)
    result = train(*options, "--data", data, "--out", folder, "--force")
    assert (result.exit_code, result.stderr) == (
        130,
        "Interrupted before the first epoch was over: nothing is kept; the former run is as it was.\n",
    )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_ctrl_c_while_drawing_says_what_is_missing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: Train, options: tuple[str, ...]
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(pictures, "save_curve", interrupted)
    result = train(*options, "--data", data, "--out", tmp_path / "run", "--epochs", 1)
    assert result.exit_code == 130
    assert f"{tmp_path / 'run'} is whole but for the pictures; to draw them: vae train --resume" in result.stderr
