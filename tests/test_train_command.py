"""`vae train`: what it leaves in the folder, that it repeats and resumes exactly, and what it refuses."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from applications import generation, pictures, runs
from applications.cli import vae
from shared import checks, datasets, oracle, parameters, recipe
from shared.spec import Sizes

ROOT = Path(__file__).parents[1]
SIZES = Sizes(12, 8, 3)
OPTIONS = ("--backend", "oracle", "--batch-size", "16", "--hidden-dim", "8", "--latent-dim", "3")
EXACT_FILES = (runs.WEIGHTS, runs.STATE, runs.SAMPLES, runs.RECONSTRUCTIONS)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """60 images of 4 x 3 pixels: 54 to train on, in 4 steps of which the last is short, and 6 to test on."""
    path = tmp_path / "tiny.npy"
    np.save(path, np.random.default_rng(0).random((60, 4, 3), dtype=np.float32))
    return path


def train(*arguments: object) -> click.testing.Result:
    return CliRunner().invoke(vae, ["train", *map(str, arguments)])


def run(data: Path, out: Path, epochs: int, *more: object) -> Path:
    """A finished run."""
    result = train(*OPTIONS, "--data", data, "--out", out, "--epochs", epochs, *more)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs, trained once."""
    folder = tmp_path_factory.mktemp("template")
    np.save(folder / "tiny.npy", np.random.default_rng(0).random((60, 4, 3), dtype=np.float32))
    return run(folder / "tiny.npy", folder / "run", 2)


@pytest.fixture
def finished(template: Path, tmp_path: Path) -> Path:
    """A finished run of two epochs, for this test alone."""
    return shutil.copytree(template, tmp_path / "finished")


def losses(folder: Path) -> list[dict[str, Any]]:
    """The metrics without the times."""
    return [{**line, "seconds": 0, "images_per_second": 0} for line in runs.read_metrics(folder)]


def assert_same_run(got: Path, expected: Path) -> None:
    for name in EXACT_FILES:
        assert (got / name).read_bytes() == (expected / name).read_bytes(), name
    assert losses(got) == losses(expected)


def test_a_run_is_the_recipe_from_the_initial_weights(data: Path, tmp_path: Path) -> None:
    folder = run(data, tmp_path / "run", 3, "--seed", "5")
    images = datasets.load(str(data))
    model = oracle.load(parameters.initial(5, SIZES))
    epochs = list(recipe.fit(model, images.train, seed=5, epochs=3, batch_size=16, test=images.test))
    weights, state = parameters.read_params(folder / runs.WEIGHTS, SIZES), parameters.read(folder / runs.STATE)
    for name, value in model.params().items():
        np.testing.assert_array_equal(weights[name], value, strict=True)
    for name, value in model.state().items():
        np.testing.assert_array_equal(state[name], value, strict=True)
    for line, epoch in zip(runs.read_metrics(folder), epochs, strict=True):
        assert epoch.test is not None
        assert line["epoch"] == epoch.number
        assert line["train"] == {"objective": epoch.objective}
        assert line["test"] == epoch.test._asdict()
        assert line["step_objectives"] == epoch.step_objectives.tolist()
        assert len(line["step_objectives"]) == 4
        assert line["seconds"] > 0
        assert line["images_per_second"] == pytest.approx(54 / line["seconds"])


def test_every_epoch_and_the_folder_are_told(data: Path, tmp_path: Path) -> None:
    result = train(*OPTIONS, "--data", data, "--out", tmp_path / "run", "--epochs", 2)
    first, *epochs, last = result.stdout.splitlines()
    assert first.startswith(f"oracle: numpy {np.__version__} on cpu, float32; ")
    assert "54 images to train on, 6 to test on; 12-8-3, seed 0" in first
    for line, metrics in zip(epochs, losses(tmp_path / "run"), strict=True):
        told = re.fullmatch(r"epoch (\d)/2  train +([\d.]+)  test +([\d.]+) nats per image  [\d,]+ images/s", line)
        assert told
        assert int(told[1]) == metrics["epoch"]
        assert float(told[2]) == pytest.approx(metrics["train"]["objective"], abs=5.1e-4)
        assert float(told[3]) == pytest.approx(metrics["test"]["objective"], abs=5.1e-4)
    assert last == f"{tmp_path / 'run'}: {', '.join(sorted(runs.FILES))}"
    assert result.stderr == ""
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(runs.FILES)


def test_config_holds_what_repeats_the_run(data: Path, tmp_path: Path) -> None:
    folder = run(data, tmp_path / "run", 2, "--seed", "7", "--dtype", "float64")
    config = json.loads((folder / runs.CONFIG).read_text())
    images = datasets.load(str(data))
    assert {name: config[name] for name in ("backend", "seed", "epochs", "epochs_done", "batch_size", "dtype")} == {
        "backend": "oracle", "seed": 7, "epochs": 2, "epochs_done": 2, "batch_size": 16, "dtype": "float64",
    }  # fmt: skip
    assert config["dataset"] == {
        "sha256": images.sha256, "train": 54, "test": 6, "pixels": 12, "image_shape": [4, 3], "protocol": "grey",
    }  # fmt: skip
    assert runs.sizes(config) == SIZES
    assert config["describe"] == oracle.describe()
    assert config["versions"]["numpy"] == np.__version__
    assert config["versions"]["python"] == sys.version.split()[0]
    assert parameters.read(folder / runs.WEIGHTS)["encoder.fc1.weight"].dtype == np.float64
    vae_word, *again = shlex.split(config["command"])
    assert vae_word == "vae"
    assert CliRunner().invoke(vae, [*again, "--out", str(tmp_path / "again")]).exit_code == 0
    assert_same_run(tmp_path / "again", folder)


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


def test_rows_without_a_shape_get_a_curve_and_a_word(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).random((30, 7), dtype=np.float32))
    result = train(*OPTIONS, "--data", tmp_path / "rows.npy", "--out", tmp_path / "run", "--epochs", 1)
    assert result.exit_code == 0
    assert "No pictures of images" in result.stdout
    assert (tmp_path / "run" / runs.CURVE).exists()
    assert not (tmp_path / "run" / runs.SAMPLES).exists()


def test_the_folder_and_the_backend_have_defaults(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)  # no framework is installed
    monkeypatch.chdir(tmp_path)
    result = train("--data", "tiny.npy", "--epochs", 1, "--seed", 3, "--hidden-dim", 8)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("oracle: ")
    assert (tmp_path / "runs" / "tiny-oracle-seed3" / runs.STATE).exists()


def test_resume_is_as_if_the_run_had_never_stopped(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(data, tmp_path / "whole", 5)
    parted = run(data, tmp_path / "parted", 2)
    monkeypatch.chdir(tmp_path / "parted")  # the data are found from any folder
    assert train("--resume", ".", "--epochs", 3).exit_code == 0
    result = train("--resume", ".", "--epochs", 5, *OPTIONS, "--data", "../tiny.npy")
    assert result.exit_code == 0, result.output
    assert [line.split()[1] for line in result.stdout.splitlines() if line.startswith("epoch")] == ["4/5", "5/5"]
    assert_same_run(parted, whole)
    config = runs.read_config(parted)
    assert [(part["backend"], part["epochs_done"]) for part in config["earlier"]] == [("oracle", 2), ("oracle", 3)]
    assert (config["epochs"], config["epochs_done"]) == (5, 5)


def test_resume_of_a_finished_run_draws_the_pictures_and_leaves_the_rest(finished: Path) -> None:
    before = {name: (finished / name).read_bytes() for name in runs.FILES}
    (finished / runs.SAMPLES).unlink()
    result = train("--resume", finished)
    assert result.exit_code == 0
    assert "epoch" not in result.stdout
    assert {name: (finished / name).read_bytes() for name in runs.FILES} == before


@pytest.mark.parametrize("lost", [runs.STATE, runs.CONFIG, runs.WEIGHTS, runs.METRICS])
def test_a_run_killed_between_two_files_can_be_resumed(
    lost: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(data, tmp_path / "whole", 3)
    killed = run(data, tmp_path / "killed", 1)
    replace = Path.replace

    def killed_before(source: Path, target: Path) -> Path:
        if Path(target).name == lost:
            raise OSError(28, "No space left on device", str(target))
        return replace(source, target)

    with monkeypatch.context() as patch:
        resumed = runs.read(killed)
        patch.setattr(Path, "replace", killed_before)
        images = datasets.load(str(data))
        model = oracle.load(parameters.initial(0, SIZES))
        model.load_state(resumed.state)
        (epoch,) = recipe.fit(model, images.train, seed=0, epochs=2, batch_size=16, first_epoch=1, test=images.test)
        metrics = [*resumed.metrics, runs.metrics_line(epoch)]
        with pytest.raises(OSError, match="No space left"):
            runs.write(killed, {**resumed.config, "epochs_done": 2}, metrics, model)
    assert train("--resume", killed, "--epochs", 3).exit_code == 0
    assert_same_run(killed, whole)
    assert sorted(path.name for path in killed.iterdir()) == sorted(runs.FILES)


def test_resume_with_all_done_makes_the_files_agree_again(finished: Path, data: Path, tmp_path: Path) -> None:
    one, two = run(data, tmp_path / "one", 1), finished
    shutil.copy(one / runs.STATE, two / runs.STATE)  # as a kill before the last file of epoch 2 leaves it
    assert train("--resume", two, "--epochs", 1).exit_code == 0
    assert_same_run(two, one)
    assert runs.read_config(two)["epochs_done"] == 1


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--seed", 1, "resume: got seed 1; expected the run's own, seed 0"),
        ("--batch-size", 5, "resume: got batch_size 5; expected the run's own, batch_size 16"),
        ("--hidden-dim", 9, "resume: got hidden_dim 9; expected the run's own, hidden_dim 8"),
        ("--latent-dim", 4, "resume: got latent_dim 4; expected the run's own, latent_dim 3"),
        ("--dtype", "float64", "resume: got dtype float64; expected the run's own, dtype float32"),
        ("--epochs", 1, "epochs: got 1; expected at least 2"),
        ("--out", "other", "leave out --out and --force"),
    ],
)
def test_resume_refuses_another_run(option: str, value: object, message: str, finished: Path) -> None:
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    result = train("--resume", finished, option, value)
    assert result.exit_code == 2
    assert message in result.stderr
    assert {path.name: path.read_bytes() for path in finished.iterdir()} == before


def test_resume_refuses_other_data(data: Path, tmp_path: Path) -> None:
    folder = run(data, tmp_path / "run", 1)
    np.save(data, np.zeros((60, 4, 3), dtype=np.float32))
    result = train("--resume", folder, "--epochs", 2)
    assert result.exit_code == 2
    assert re.search(r"data: got \S+tiny.npy \(SHA-256 \w{64}\); expected \w{64}, as the run had", result.stderr)


def _forget(path: Path, key: str) -> None:
    config = json.loads(path.read_text())
    del config[key]
    path.write_text(json.dumps(config))


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: shutil.rmtree(folder), "config.json: No such file or directory"),
        (lambda folder: (folder / runs.STATE).unlink(), "state.safetensors: No such file or directory"),
        (lambda folder: _truncate(folder / runs.STATE), "state.safetensors: not a readable safetensors file"),
        (lambda folder: shutil.copy(folder / runs.WEIGHTS, folder / runs.STATE), "state.safetensors: state: missing"),
        (lambda folder: _truncate(folder / runs.CONFIG), "config.json: damaged"),
        (lambda folder: (folder / runs.CONFIG).write_text("[]"), "config.json: damaged"),
        (lambda folder: (folder / runs.CONFIG).write_text("{}"), "config.json: damaged"),
        (lambda folder: _forget(folder / runs.CONFIG, "earlier"), "config.json: damaged (missing earlier)"),
        (lambda folder: _truncate(folder / runs.METRICS), "metrics.jsonl: damaged"),
        (lambda folder: (folder / runs.METRICS).write_text(""), "metrics.jsonl: got 0 epochs; expected 2"),
    ],
)  # fmt: skip
def test_resume_refuses_a_damaged_run(damage: Callable[[Path], object], message: str, finished: Path) -> None:
    damage(finished)
    result = train("--resume", finished, "--epochs", 3)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_state_of_half_an_epoch_is_refused(finished: Path) -> None:
    state = parameters.read(finished / runs.STATE)
    parameters.save(finished / runs.STATE, {**state, "adam.step": np.array(6)})
    result = train("--resume", finished, "--epochs", 3)
    assert "state.safetensors: got 6 steps; expected whole epochs of 4" in result.stderr


def test_an_existing_run_is_kept_unless_forced(data: Path, tmp_path: Path) -> None:
    folder = run(data, tmp_path / "run", 3)
    (folder / "notes.txt").write_text("mine")
    before = (folder / runs.STATE).read_bytes()
    refused = train(*OPTIONS, "--data", data, "--out", folder, "--epochs", 1)
    assert refused.exit_code == 2
    assert f"out: got {folder}, which is not empty; --resume {folder} goes on with its run, --force" in refused.stderr
    assert (folder / runs.STATE).read_bytes() == before
    run(data, folder, 1, "--force")
    assert_same_run(folder, run(data, tmp_path / "fresh", 1))
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--backend", "numpy"), "'numpy' is not one of 'torch', 'jax', 'tensorflow', 'oracle'"),
        (("--epochs", "0"), "0 is not in the range x>=1"),
        (("--batch-size", "-3"), "-3 is not in the range x>=1"),
        (("--batch-size", "many"), "'many' is not a valid integer range"),
        (("--latent-dim", "0"), "0 is not in the range x>=1"),
        (("--seed", "-1"), "-1 is not in the range x>=0"),
        (("--seed", str(2**64)), f"seed: got {2**64}; expected a whole number from 0 to 2**64 - 1"),
        (("--dtype", "float16"), "'float16' is not one of 'float32', 'float64'"),
        (("--device", "cuda"), "device: got 'cuda'"),
        (("--data", "imagenet"), "data: got 'imagenet'; expected mnist-5k, mnist, or a path"),
        (("--data", "missing.npy"), "data: got 'missing.npy'; there is no such file"),
    ],
)
def test_bad_input_is_told_and_leaves_nothing(
    arguments: tuple[str, ...], message: str, data: Path, tmp_path: Path
) -> None:
    result = train(*OPTIONS, "--data", data, "--out", tmp_path / "run", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_missing_framework_is_told_with_its_cure(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    result = train("--backend", "jax", "--data", data, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: backend: 'jax' needs jax, flax, optax: not installed; try: pip install 'vae-rosetta[jax]'\n"
    )


@pytest.mark.parametrize("out", ["tiny.npy", "tiny.npy/run"], ids=["a file", "under a file"])
def test_a_folder_that_cannot_be_is_told_before_training(out: str, data: Path, tmp_path: Path) -> None:
    result = train(*OPTIONS, "--data", data, "--out", tmp_path / out)
    assert result.exit_code in (1, 2)
    assert re.fullmatch(r"Error: .*tiny\.npy.*\n", result.stderr)
    assert "epoch" not in result.stdout


def test_losses_that_are_not_finite_stop_the_run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy = oracle.Oracle.train
    calls = []

    def failing(self: oracle.Oracle, *arguments: Any) -> Any:
        calls.append(1)
        objectives = healthy(self, *arguments)
        return objectives * (np.nan if len(calls) > 2 else 1)  # two calls an epoch: full batches, then the short one

    monkeypatch.setattr(oracle.Oracle, "train", failing)
    result = train(*OPTIONS, "--data", data, "--out", tmp_path / "run", "--epochs", 3)
    assert result.exit_code == 1
    assert "epoch 2: the objective is not finite" in result.stderr
    assert runs.read(tmp_path / "run").epochs_done == 1


def test_images_stay_frozen_so_that_backends_may_keep_them(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    healthy = oracle.Oracle.train

    def watching(self: oracle.Oracle, x: Any, *arguments: Any) -> Any:
        seen.append(x)
        return healthy(self, x, *arguments)

    monkeypatch.setattr(oracle.Oracle, "train", watching)
    run(data, tmp_path / "run", 2)
    assert len(seen) == 4
    assert all(x is seen[0] for x in seen)
    assert checks.is_frozen(seen[0])


def test_ctrl_c_leaves_whole_files_that_resume_exactly(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "applications", "train", *OPTIONS, "--data", str(data), "--out", str(folder)]
    with subprocess.Popen(
        [*command, "--epochs", "100000"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 60
        while not (folder / runs.STATE).exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)  # anywhere in an epoch, or among its files
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    stored = runs.read(folder)
    assert process.returncode == 130
    assert errors == (
        f"Interrupted: {folder} is whole up to epoch {stored.epochs_done} of 100000; "
        f"to go on: vae train --resume {folder}\n"
    )
    assert stored.config["epochs_done"] == stored.epochs_done == len(runs.read_metrics(folder))
    for name, value in parameters.read_params(folder / runs.WEIGHTS).items():
        np.testing.assert_array_equal(value, stored.state[name])
    assert sorted(path.name for path in folder.iterdir()) == sorted(runs.FILES)
    further = stored.epochs_done + 2
    assert train("--resume", folder, "--epochs", further).exit_code == 0
    assert_same_run(folder, run(data, tmp_path / "whole", further))


def test_ctrl_c_in_the_first_epoch_leaves_nothing(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(oracle.Oracle, "train", interrupted)
    result = train(*OPTIONS, "--data", data, "--out", tmp_path / "run")
    assert result.exit_code == 130
    assert result.stderr == "Interrupted before the first epoch was over: nothing is kept.\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize("columns", [40, 100])
def test_the_progress_bar_fits_the_terminal(columns: int, data: Path, tmp_path: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "applications", "train", *OPTIONS, "--data", str(data), "--epochs", "12"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns)}
    with subprocess.Popen(
        [*command, "--out", str(tmp_path / "run")], cwd=ROOT, env=environment, stdout=theirs, stderr=theirs
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
