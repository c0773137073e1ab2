"""A run of `vae train`: what it computes, what it leaves in the folder, and what it tells meanwhile."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from vae_rosetta.applications import generation, pictures, runs
from vae_rosetta.applications.cli import vae
from vae_rosetta.shared import binarisation, datasets, oracle, parameters, recipe
from vae_rosetta.shared.spec import Sizes

Train = Callable[..., Result]
Run = Callable[..., Path]
Compare = Callable[[Path, Path], None]


def test_a_run_is_the_recipe_from_the_initial_weights(data: Path, tmp_path: Path, run: Run, sizes: Sizes) -> None:
    folder = run(data, tmp_path / "run", 3, "--seed", "5")
    images = datasets.load(str(data))
    model = oracle.load(parameters.initial(5, sizes))
    epochs = list(recipe.fit(model, images.train, seed=5, epochs=3, batch_size=16, test=images.test))
    weights, state = parameters.read_params(folder / runs.WEIGHTS, sizes), parameters.read(folder / runs.STATE)
    for name, value in model.params().items():
        np.testing.assert_array_equal(weights[name], value, strict=True)
    for name, value in model.state().items():
        np.testing.assert_array_equal(state[name], value, strict=True)
    for line, epoch in zip(runs.read(folder).metrics(), epochs, strict=True):
        assert epoch.test is not None
        assert (line["epoch"], line["binarise"]) == (epoch.number, "none")
        assert line["train"] == {"objective": epoch.objective}
        assert line["test"] == epoch.test._asdict()
        assert line["step_objectives"] == epoch.step_objectives.tolist()
        assert len(line["step_objectives"]) == 4
        assert line["seconds"] > 0
        assert line["images_per_second"] == pytest.approx(54 / line["seconds"])


def test_every_epoch_and_the_folder_are_told(
    data: Path, tmp_path: Path, train: Train, options: tuple[str, ...]
) -> None:
    result = train(*options, "--data", data, "--out", tmp_path / "run", "--epochs", 2)
    first, *epochs, last = result.stdout.splitlines()
    assert first.startswith(f"oracle: numpy {np.__version__} on cpu, float32; ")
    assert "54 images to train on, 6 to test on; 12-8-3, seed 0" in first
    for line, metrics in zip(epochs, runs.read(tmp_path / "run").metrics(), strict=True):
        told = re.fullmatch(r"epoch (\d)/2  train +([\d.]+)  test +([\d.]+) nats per image  [\d,]+ images/s", line)
        assert told
        assert int(told[1]) == metrics["epoch"]
        assert float(told[2]) == pytest.approx(metrics["train"]["objective"], abs=5.1e-4)
        assert float(told[3]) == pytest.approx(metrics["test"]["objective"], abs=5.1e-4)
    assert last == f"{tmp_path / 'run'}: {', '.join(sorted(runs.FILES))}"
    assert result.stderr == ""
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(runs.FILES)


def test_config_holds_what_repeats_the_run(
    data: Path, tmp_path: Path, run: Run, assert_same_run: Compare, sizes: Sizes
) -> None:
    folder = run(data, tmp_path / "run", 2, "--seed", "7", "--dtype", "float64")
    config = json.loads((folder / runs.CONFIG).read_text())
    images = datasets.load(str(data))
    assert {name: config[name] for name in ("backend", "seed", "epochs", "epochs_done", "batch_size", "dtype")} == {
        "backend": "oracle", "seed": 7, "epochs": 2, "epochs_done": 2, "batch_size": 16, "dtype": "float64",
    }  # fmt: skip
    assert config["dataset"] == {
        "sha256": images.sha256, "train": 54, "test": 6, "pixels": 12, "image_shape": [4, 3], "protocol": "grey",
    }  # fmt: skip
    assert runs.read(folder).sizes == sizes
    assert config["describe"] == oracle.describe()
    assert config["versions"]["numpy"] == np.__version__
    assert config["versions"]["python"] == sys.version.split()[0]
    assert parameters.read(folder / runs.WEIGHTS)["encoder.fc1.weight"].dtype == np.float64
    vae_word, *again = shlex.split(config["command"])
    assert vae_word == "vae"
    assert CliRunner().invoke(vae, [*again, "--out", str(tmp_path / "again")]).exit_code == 0
    assert_same_run(tmp_path / "again", folder)


def test_a_run_on_binarised_pixels_says_so_everywhere(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: Train, options: tuple[str, ...], sizes: Sizes
) -> None:
    """And is tested on one draw of the held-out images, which its pictures show."""
    labels: list[str] = []
    monkeypatch.setattr(pictures, "save_curve", lambda *given, seen, **_: labels.extend([given[3], *seen]))
    monkeypatch.chdir(tmp_path)
    result = train(*options, "--data", data, "--epochs", 2, "--seed", 5, "--binarise", "dynamic")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].endswith("12-8-3, seed 5, dynamic-binarised")
    folder = tmp_path / "runs" / "tiny-dynamic-oracle-seed5"
    config, images = json.loads((folder / runs.CONFIG).read_text()), datasets.load(str(data))
    assert config["binarise"] == "dynamic"
    assert config["protocol"] == {"train": "dynamic-binarised", "test": "dynamic-binarised (one draw, seed 5)"}
    assert "--binarise dynamic" in config["command"]
    assert labels == ["tiny.npy: 12-8-3, oracle, float32, seed 5, dynamic-binarised", *labels[1:]]
    assert labels[1:] == [" (new draw every epoch)", " (one draw)"]
    model = oracle.load(parameters.initial(5, sizes))
    test = binarisation.drawn(images.test, 5)
    epochs = recipe.fit(model, images.train, seed=5, epochs=2, batch_size=16, binarise="dynamic", test=test)
    for line, epoch in zip(runs.read(folder).metrics(), epochs, strict=True):
        assert epoch.test is not None
        assert (line["binarise"], line["train"]["objective"]) == ("dynamic", epoch.objective)
        assert line["test"] == epoch.test._asdict()
    rebuilt = generation.probabilities(model, model.encode(test)[0])
    pairs = np.concatenate([test, rebuilt]).reshape(-1, 4, 3)
    with Image.open(folder / runs.RECONSTRUCTIONS) as picture:
        assert np.array_equal(np.asarray(picture), pictures.grid(pairs, columns=6))


def test_pictures_show_what_the_weights_decode(finished: Path, data: Path) -> None:
    model, test = oracle.load(parameters.read_params(finished / runs.WEIGHTS)), datasets.load(str(data)).test
    samples = generation.probabilities(model, generation.latents(0, 64, 3)).reshape(-1, 4, 3)
    rebuilt = generation.probabilities(model, model.encode(test)[0])
    pairs = np.concatenate([test, rebuilt]).reshape(-1, 4, 3)
    with Image.open(finished / runs.SAMPLES) as picture:
        assert np.array_equal(np.asarray(picture), pictures.grid(samples, columns=8))
    with Image.open(finished / runs.RECONSTRUCTIONS) as picture:
        assert np.array_equal(np.asarray(picture), pictures.grid(pairs, columns=6))
    with Image.open(finished / runs.CURVE) as picture:
        assert (picture.format, picture.size) == ("PNG", (768, 504))


def test_rows_without_a_shape_get_a_curve_and_a_word(tmp_path: Path, train: Train, options: tuple[str, ...]) -> None:
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).random((30, 7), dtype=np.float32))
    result = train(*options, "--data", tmp_path / "rows.npy", "--out", tmp_path / "run", "--epochs", 1)
    assert result.exit_code == 0
    assert "No pictures of images" in result.stdout
    assert (tmp_path / "run" / runs.CURVE).exists()
    assert not (tmp_path / "run" / runs.SAMPLES).exists()


def test_the_folder_and_the_backend_have_defaults(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: Train
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)  # no framework is installed
    monkeypatch.chdir(tmp_path)
    result = train("--data", "tiny.npy", "--epochs", 1, "--seed", 3, "--hidden-dim", 8)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("oracle: ")
    assert (tmp_path / "runs" / "tiny-oracle-seed3" / runs.STATE).exists()


def test_images_are_held_once(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    held, trained = [], []
    hold, train = oracle.Oracle.hold, oracle.Oracle.train

    def holding(self: oracle.Oracle, x: Any) -> Any:
        held.append(hold(self, x))
        return held[-1]

    def training(self: oracle.Oracle, x: Any, *arguments: Any) -> Any:
        trained.append(x)
        return train(self, x, *arguments)

    monkeypatch.setattr(oracle.Oracle, "hold", holding)
    monkeypatch.setattr(oracle.Oracle, "train", training)
    run(data, tmp_path / "run", 2)
    assert len(held) == 1
    assert trained == held * 4


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize("columns", [40, 100])
def test_the_progress_bar_fits_the_terminal(
    columns: int, data: Path, tmp_path: Path, options: tuple[str, ...], root: Path
) -> None:
    import pty

    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "vae_rosetta.applications",
        "train",
        *options,
        "--data",
        str(data),
        "--epochs",
        "12",
    ]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns)}
    with subprocess.Popen(
        [*command, "--out", str(tmp_path / "run")], cwd=root, env=environment, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:
            pass  # Linux ends a pseudo-terminal with an input/output error
    os.close(ours)
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    first, *lines, last = [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    bars = [line for line in lines if re.search("[━╸╺]", line)]
    epochs = [line for line in lines if line not in bars]
    assert first.startswith("oracle: ")
    assert last.startswith(str(tmp_path / "run"))
    assert bars
    assert max(map(len, bars)) == columns
    assert len(epochs) == 12
    assert max(map(len, epochs)) <= columns
    wide = r"epoch 12/12  train +[\d.]+  test +[\d.]+ nats per image  [\d,]+ images/s"
    assert re.fullmatch(r"12/12 train [\d.]+ test [\d.]+" if columns == 40 else wide, epochs[-1])
