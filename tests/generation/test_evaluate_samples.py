"""`vae evaluate samples`: the figures are those of the parts, each beside its floor, and what does not fit is told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from vae_rosetta.applications import outputs
from vae_rosetta.applications.generation import comparison, judge, quality
from vae_rosetta.applications.generation.comparison import Reference
from vae_rosetta.shared import binarisation, datasets, spec, stream
from vae_rosetta.shared.contract import FullModel
from vae_rosetta.shared.stream import Purpose

Command = Callable[..., Result]
NAMES = ["test", "samples", "test, bits", "samples, bits", "PCA-20", "pixel noise"]


@pytest.fixture(autouse=True)
def _soon_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "STEPS", 40)


def evaluated(vae_command: Command, run: Path, *arguments: object) -> tuple[dict[str, Any], Result]:
    result = vae_command("evaluate", "samples", "--weights", run, *arguments)
    assert result.exit_code == 0, result.output
    return json.loads((run / "samples.json").read_text(encoding="utf-8")), result


def test_result_says_what_it_is(vae_command: Command, run: Path, data: Path) -> None:
    found, result = evaluated(vae_command, run, "--seed", 3)
    loaded = datasets.load(str(data))
    assert found["format"] == "vae-rosetta/samples/1"
    assert (found["spec"], found["backend"], found["seed"], found["images"]) == (spec.VERSION, "oracle", 3, 30)
    assert found["framework"] == f"numpy {np.__version__}"
    assert found["data"] == {"name": str(data), "sha256": loaded.sha256, "train": 90, "test": 30}
    assert found["judge"]["layers"] == "12-128-3"
    assert found["judge"]["images_held_out"] == 30
    assert "bits are one draw" in found["protocol"]
    assert [each["name"] for each in found["sets"]] == NAMES
    for name in NAMES:
        assert result.stdout.count(f"\n{name} ") == 3, "not in every table"
    assert str(run / "samples.json") in result.stdout


def test_every_number_has_its_n_and_its_ratio(vae_command: Command, run: Path) -> None:
    found, _ = evaluated(vae_command, run, "--n", 20)
    floor = found["sets"][0]
    assert set(floor["ratio_to_floor"].values()) == {1.0}
    for each in found["sets"]:
        assert [each[part]["n"] for part in ("frechet", "neighbourhoods", "labels", "nearest_training_image")] == [
            20
        ] * 4
        assert sum(each["labels"]["counts"]) == 20
        ratio = each["ratio_to_floor"]
        assert ratio["frechet"] == pytest.approx(each["frechet"]["distance"] / floor["frechet"]["distance"])
        assert ratio["recall"] == pytest.approx(each["neighbourhoods"]["recall"] / floor["neighbourhoods"]["recall"])


def test_figures_are_those_of_the_samples(
    vae_command: Command, run: Path, data: Path, model_of: Callable[[Path], FullModel]
) -> None:
    found, _ = evaluated(vae_command, run, "--seed", 5)
    loaded = datasets.load(str(data))
    assert loaded.train_labels is not None
    trained = judge.train(loaded.train, loaded.train_labels, steps=40)
    assert found["judge"]["sha256"] == trained.sha256()
    z = stream.normal(5, Purpose.LATENT, 0, (30, 3))
    samples = (1 / (1 + np.exp(-model_of(run).decode(z).astype(np.float64)))).astype(np.float32)
    real = quality.moments(trained.features(loaded.train))
    for name, images in (("samples", samples), ("samples, bits", binarisation.drawn(samples, 5, 1))):
        entry = found["sets"][NAMES.index(name)]
        features = trained.features(images)
        assert entry["frechet"]["distance"] == pytest.approx(quality.frechet(real, quality.moments(features)), rel=1e-4)
        distances = np.linalg.norm(loaded.train[None] - images[:, None], axis=-1).min(axis=1)
        assert entry["nearest_training_image"]["median"] == pytest.approx(np.median(distances), rel=1e-4)
        assert entry["labels"]["counts"] == np.bincount(trained.verdict(images).labels, minlength=3).tolist()


def test_real_images_are_nearer_than_what_anyone_could_make(vae_command: Command, run: Path) -> None:
    found, _ = evaluated(vae_command, run)
    distance = {each["name"]: each["frechet"]["distance"] for each in found["sets"]}
    assert distance["test"] < min(distance["test, bits"], distance["pixel noise"], distance["samples"])
    assert found["sets"][0]["labels"]["chi_square"] == 0.0  # ten of each class, as in training
    assert "chi_square" not in found["sets"][1]["ratio_to_floor"]


def test_two_times_are_the_same(vae_command: Command, run: Path) -> None:
    one, _ = evaluated(vae_command, run)
    two, _ = evaluated(vae_command, run, "--force")
    other, _ = evaluated(vae_command, run, "--force", "--seed", 1)
    for found in (one, two, other):
        del found["judge"]["seconds"]
    assert one == two
    assert one["judge"] == other["judge"]
    assert one["sets"][1] != other["sets"][1]


def test_training_images_are_taken_from_all_over(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "IN_NEIGHBOURHOODS", 12)
    loaded = datasets.load(str(data))
    assert loaded.train_labels is not None
    trained = judge.train(loaded.train, loaded.train_labels, steps=2)
    one, other = (Reference(trained, loaded, loaded.train_labels, seed).features for seed in (0, 1))
    assert one.shape == (12, judge.HIDDEN - trained.idle)
    assert not np.array_equal(one, trained.features(loaded.train[:12]))
    assert not np.array_equal(one, other)


def test_weights_alone_are_measured_on_given_data(vae_command: Command, run: Path, data: Path, tmp_path: Path) -> None:
    (run / "config.json").unlink()
    weights = run / "weights.safetensors"
    result = vae_command("evaluate", "samples", "--weights", weights, "--data", data)
    assert result.exit_code == 0, result.output
    assert [path.name for path in run.iterdir()] == ["weights.safetensors"]
    out = tmp_path / "mine.json"
    vae_command("evaluate", "samples", "--weights", weights, "--data", data, "--out", out)
    assert json.loads(out.read_text())["format"] == outputs.SAMPLES.format


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--n", 31), "n: got 31; expected 6 to 30, the images held out in"),
        (("--n", 5), "n: got 5; expected 6 to 30, the images held out in"),
        (("--out", "x.txt"), "out: got x.txt; expected a name that ends in .json"),
        (("--seed", 2**64), f"seed: got {2**64}; expected a whole number"),
        (("--data", "letters"), "data: got 'letters'; expected mnist-5k, mnist, or a path"),
    ],
)
def test_bad_input_is_told(arguments: tuple[object, ...], message: str, vae_command: Command, run: Path) -> None:
    result = vae_command("evaluate", "samples", "--weights", run, *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {message}")
    assert not (run / "samples.json").exists()


def test_an_existing_result_is_kept_unless_forced(vae_command: Command, run: Path) -> None:
    (run / "samples.json").write_text("mine")
    result = vae_command("evaluate", "samples", "--weights", run)
    expected = f"Error: out: got {run / 'samples.json'}, which exists; --force replaces it\n"
    assert (result.exit_code, result.stderr) == (2, expected)
    assert (run / "samples.json").read_text() == "mine"


def test_data_need_labels_and_must_be_known(vae_command: Command, run: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.npy"
    np.save(bare, np.random.default_rng(0).random((20, 12)))
    result = vae_command("evaluate", "samples", "--weights", run, "--data", bare)
    expected = f"Error: data: got {bare}, which has no labels; expected some, to train the judge of samples by\n"
    assert (result.exit_code, result.stderr) == (2, expected)
    (run / "config.json").unlink()
    result = vae_command("evaluate", "samples", "--weights", run)
    expected = f"Error: data: no config.json beside {run / 'weights.safetensors'} names its data; give --data\n"
    assert (result.exit_code, result.stderr) == (2, expected)
