"""`vae evaluate anomaly`: what it trains on, what it writes, and that what was trained is not trained again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from vae_rosetta.applications import runs, weights
from vae_rosetta.applications.cli import vae
from vae_rosetta.applications.detection import baselines, metrics, scores
from vae_rosetta.shared import datasets, parameters, recipe
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.oracle import Oracle
from vae_rosetta.shared.spec import Sizes

OPTIONS = (
    "--backend",
    "oracle",
    "--epochs",
    2,
    "--hidden-dim",
    8,
    "--latent-dim",
    2,
    "--samples",
    2,
    "--resamples",
    40,
)
Epochs = Iterator[recipe.Epoch]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three kinds of images of 12 pixels: two alike, and the third the other way round."""
    path = tmp_path_factory.mktemp("data") / "kinds.npz"
    random = np.random.default_rng(0)
    arrays: dict[str, Array] = {}
    for half, count in (("train", 90), ("test", 60)):
        labels = np.arange(count) % 3
        bright = np.where((labels == 2)[:, None], np.arange(12) >= 6, np.arange(12) < 6)
        arrays[half] = np.clip(0.8 * bright + 0.2 * random.random((count, 12)), 0, 1)
        arrays[f"y_{half}"] = labels
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def evaluate(data: Path, out: Path, *arguments: object) -> Result:
    words = ("evaluate", "anomaly", *OPTIONS, "--data", data, "--out", out, *arguments)
    return CliRunner().invoke(vae, [*map(str, words)])


def test_what_is_written(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "anomaly.json"
    result = evaluate(data, out, "--digits", "2,0", "--seeds", 2, "--keep", tmp_path / "kept")
    assert result.exit_code == 0, result.output
    written = json.loads(out.read_text())
    assert written["format"] == "vae-rosetta/anomaly/1"
    assert (written["data"]["images"], written["seeds"], written["samples"]) == (60, [0, 1], 2)
    assert written["backend"]["framework"] == "numpy"
    assert [(r["digit"], r["seed"]) for r in written["results"]] == [(2, 0), (0, 0), (2, 1), (0, 1)]
    first = written["results"][0]
    assert (first["anomalies"], first["prevalence"]) == (20, pytest.approx(1 / 3))
    assert list(first["scores"]) == [*scores.NAMES, *baselines.NAMES]

    loaded = datasets.load(str(data))
    assert loaded.train_labels is not None
    assert loaded.test_labels is not None
    model = Oracle(parameters.initial(0, Sizes(12, 8, 2)), "float32")
    for _ in recipe.fit(model, loaded.train[loaded.train_labels != 2], seed=0, epochs=2):
        pass
    for name in ("elbo", "iwae-k"):
        values = scores.score(model, loaded.test, name, samples=2)
        expected = metrics.evaluate(values, loaded.test_labels == 2, resamples=40)
        for metric, estimate in expected.items():
            assert first["scores"][name][metric] == pytest.approx(estimate._asdict())
    ink = metrics.evaluate(baselines.ink(loaded.test), loaded.test_labels == 2)
    assert first["scores"]["ink"]["auprc"]["value"] == ink["auprc"].value

    by_seed = [
        np.mean([r["scores"]["elbo"]["auroc"]["value"] for r in written["results"] if r["seed"] == seed])
        for seed in (0, 1)
    ]
    assert written["mean"]["elbo"]["auroc"]["value"] == pytest.approx(np.mean(by_seed))
    assert written["mean"]["elbo"]["auroc"]["sd"] == pytest.approx(np.std(by_seed, ddof=1))
    for words in ("without 2, seed 0: AUROC ", "\nAUPRC", "\n mean ", "\n   sd ", "Tonnaer", "Zenati"):
        assert words in result.output
    kept = weights.read(tmp_path / "kept" / "without-2-seed0")
    for name, value in model.params().items():
        np.testing.assert_array_equal(kept.params[name], value)


def test_kept_models_can_be_scored_with_and_exclude_their_digit(data: Path, tmp_path: Path) -> None:
    assert evaluate(data, tmp_path / "a.json", "--digits", "1", "--keep", tmp_path).exit_code == 0
    np.save(tmp_path / "x.npy", datasets.load(str(data)).test)
    words = ("score", tmp_path / "x.npy", "--backend", "oracle", "--weights", tmp_path / "without-1-seed0")
    result = CliRunner().invoke(vae, [*map(str, words), "--out", str(tmp_path / "s.csv"), "--false-alarm", "0.1"])
    assert result.exit_code == 0, result.output
    assert "by 40 of kinds.npz (held out)" in result.output  # 60 without 20


def test_an_interrupted_run_goes_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tmp_path / "whole.json"
    assert evaluate(data, whole, "--digits", "0,1,2").exit_code == 0
    fit, trained = recipe.fit, list[int]()

    def limited(*arguments: Any, **settings: Any) -> Epochs:
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(1)
        return fit(*arguments, **settings)

    out, kept = tmp_path / "parts.json", tmp_path / "kept"
    monkeypatch.setattr(recipe, "fit", limited)
    stopped = evaluate(data, out, "--digits", "0,1,2", "--keep", kept)
    assert stopped.exit_code == 130
    assert f"Interrupted: 2 of 3 models are in {kept}; the same command goes on" in stopped.output
    assert not out.exists()
    trained[:] = [1]  # one more may be trained
    assert evaluate(data, out, "--digits", "0,1,2", "--keep", kept).exit_code == 0
    assert json.loads(out.read_text()) == json.loads(whole.read_text())


def test_without_keep_an_interrupt_keeps_nothing(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> Epochs:
        raise KeyboardInterrupt

    monkeypatch.setattr(recipe, "fit", stop)
    result = evaluate(data, tmp_path / "a.json", "--digits", 0)
    assert (result.exit_code, list(tmp_path.iterdir())) == (130, [])
    assert "nothing is kept" in result.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--epochs", 3), "with epochs 2; expected epochs 3"),
        (("--hidden-dim", 4), "with hidden_dim 8; expected hidden_dim 4"),
        (("--data", "other"), "trained on other data"),
    ],
)
def test_kept_models_of_another_kind_are_refused(
    change: tuple[str, object], message: str, data: Path, tmp_path: Path
) -> None:
    assert evaluate(data, tmp_path / "a.json", "--digits", 0, "--keep", tmp_path).exit_code == 0
    if change[0] == "--data":
        with np.load(data) as arrays:
            np.savez(tmp_path / "other.npz", **{**arrays, "test": arrays["test"] / 2})
        change = ("--data", tmp_path / "other.npz")
    result = evaluate(data, tmp_path / "b.json", "--digits", 0, "--keep", tmp_path, *change)
    assert result.exit_code == 2
    assert message in result.stderr
    assert runs.CONFIG in {path.name for path in (tmp_path / "without-0-seed0").iterdir()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--digits", "3"), "digits: got 3, with 0 of 90 train images; expected some, and not all"),
        (("--digits", "a"), "'a' is no list of digits, such as 0,1."),
        (("--digits", ""), "'' is no list of digits"),
        (("--data", "unlabelled"), "which has no labels; expected mnist, mnist-5k or an .npz with them"),
        (("--out", "x.txt"), "expected a name that ends in .json"),
    ],
)
def test_bad_input_is_told(
    arguments: tuple[str, str], message: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("unlabelled.npy", np.random.default_rng(0).random((20, 12)))
    if arguments[1] == "unlabelled":
        arguments = ("--data", "unlabelled.npy")
    result = evaluate(data, tmp_path / "a.json", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: ")


def test_an_existing_result_is_kept_unless_forced(data: Path, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("mine")
    refused = evaluate(data, tmp_path / "a.json")
    assert (refused.exit_code, (tmp_path / "a.json").read_text()) == (2, "mine")
    assert "--force replaces it" in refused.stderr
