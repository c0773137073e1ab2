"""`vae train --resume`: a run that was stopped goes on as if it had not been, and no other run is taken for it."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from vae_rosetta.applications import runs
from vae_rosetta.applications.settings import Pixels
from vae_rosetta.shared import datasets, oracle, parameters, recipe
from vae_rosetta.shared.spec import Sizes

Train = Callable[..., Result]
Run = Callable[..., Path]
Compare = Callable[[Path, Path], None]


def test_resume_is_as_if_the_run_had_never_stopped(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    train: Train,
    run: Run,
    assert_same_run: Compare,
    options: tuple[str, ...],
) -> None:
    whole = run(data, tmp_path / "whole", 5)
    parted = run(data, tmp_path / "parted", 2)
    monkeypatch.chdir(tmp_path / "parted")  # the data are found from any folder
    assert train("--resume", ".", "--epochs", 3).exit_code == 0
    result = train("--resume", ".", "--epochs", 5, *options, "--data", "../tiny.npy")
    assert result.exit_code == 0, result.output
    assert [line.split()[1] for line in result.stdout.splitlines() if line.startswith("epoch")] == ["4/5", "5/5"]
    assert_same_run(parted, whole)
    config = runs.read(parted).config
    assert [(part.backend, part.epochs_done) for part in config.earlier] == [("oracle", 2), ("oracle", 3)]
    assert (config.settings.epochs, config.epochs_done) == (5, 5)


def test_resume_keeps_to_binarised_pixels(
    data: Path, tmp_path: Path, train: Train, run: Run, assert_same_run: Compare
) -> None:
    whole = run(data, tmp_path / "whole", 3, "--binarise", "dynamic")
    parted = run(data, tmp_path / "parted", 1, "--binarise", "dynamic")
    assert train("--resume", parted, "--epochs", 3).exit_code == 0
    assert_same_run(parted, whole)
    assert (runs.read(parted).settings.binarise, len(runs.read(parted).metrics())) == ("dynamic", 3)


def test_a_run_from_before_there_was_a_choice_goes_on_grey(
    finished: Path, data: Path, tmp_path: Path, train: Train, run: Run, assert_same_run: Compare
) -> None:
    for name in ("binarise", "protocol"):
        _forget(finished / runs.CONFIG, name)
    assert train("--resume", finished, "--epochs", 3).exit_code == 0
    assert_same_run(finished, run(data, tmp_path / "whole", 3))
    assert runs.read(finished).config.protocol == Pixels("grey", "grey")


def test_resume_of_a_finished_run_draws_the_pictures_and_leaves_the_rest(finished: Path, train: Train) -> None:
    before = {name: (finished / name).read_bytes() for name in runs.FILES}
    (finished / runs.SAMPLES).unlink()
    result = train("--resume", finished)
    assert result.exit_code == 0
    assert "has its 2 epochs already; --epochs N" in result.stdout
    assert not re.search(r"^epoch", result.stdout, re.MULTILINE)
    assert {name: (finished / name).read_bytes() for name in runs.FILES} == before


@pytest.mark.parametrize("lost", [runs.STATE, runs.CONFIG, runs.WEIGHTS, runs.METRICS])
def test_a_run_killed_between_two_files_can_be_resumed(
    lost: str,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    train: Train,
    run: Run,
    assert_same_run: Compare,
    sizes: Sizes,
) -> None:
    whole = run(data, tmp_path / "whole", 3)
    killed = run(data, tmp_path / "killed", 1)
    replace = Path.replace

    def killed_before(source: Path, target: Path) -> Path:
        if Path(target).name == lost:
            raise OSError(28, "No space left on device", str(target))
        return replace(source, target)

    with monkeypatch.context() as patch:
        stored = runs.read(killed)
        resumed = stored.checkpoint()
        patch.setattr(Path, "replace", killed_before)
        images = datasets.load(str(data))
        model = oracle.load(parameters.initial(0, sizes))
        model.load_state(resumed.state)
        (epoch,) = recipe.fit(model, images.train, seed=0, epochs=2, batch_size=16, first_epoch=1, test=images.test)
        metrics = [*resumed.metrics, runs.metrics_line(epoch)]
        with pytest.raises(OSError, match="No space left"):
            stored.write(metrics, model)
    assert train("--resume", killed, "--epochs", 3).exit_code == 0
    assert_same_run(killed, whole)
    assert sorted(path.name for path in killed.iterdir()) == sorted(runs.FILES)


def test_resume_with_all_done_makes_the_files_agree_again(
    finished: Path, data: Path, tmp_path: Path, train: Train, run: Run, assert_same_run: Compare
) -> None:
    one, two = run(data, tmp_path / "one", 1), finished
    shutil.copy(one / runs.STATE, two / runs.STATE)  # as a kill before the last file of epoch 2 leaves it
    assert train("--resume", two, "--epochs", 1).exit_code == 0
    assert_same_run(two, one)
    assert runs.read(two).config.epochs_done == 1


def test_ctrl_c_leaves_whole_files_that_resume_exactly(
    data: Path, tmp_path: Path, train: Train, run: Run, assert_same_run: Compare, options: tuple[str, ...], root: Path
) -> None:
    folder = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "vae_rosetta.applications",
        "train",
        *options,
        "--data",
        str(data),
        "--out",
        str(folder),
    ]
    with subprocess.Popen(
        [*command, "--epochs", "100000"], cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 60
        while not (folder / runs.STATE).exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)  # anywhere in an epoch, or among its files
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    kept = runs.read(folder)
    stored = kept.checkpoint()
    assert process.returncode == 130
    assert errors == (
        f"Interrupted: {folder} is whole up to epoch {stored.epochs_done} of 100000; "
        f"to go on: vae train --resume {folder}\n"
    )
    assert kept.config.epochs_done == stored.epochs_done == len(kept.metrics())
    for name, value in kept.params().items():
        np.testing.assert_array_equal(value, stored.state[name])
    assert sorted(path.name for path in folder.iterdir()) == sorted(runs.FILES)
    further = stored.epochs_done + 2
    assert train("--resume", folder, "--epochs", further).exit_code == 0
    assert_same_run(folder, run(data, tmp_path / "whole", further))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--seed", 1, "resume: got seed 1; expected the run's own, seed 0"),
        ("--batch-size", 5, "resume: got batch_size 5; expected the run's own, batch_size 16"),
        ("--hidden-dim", 9, "resume: got hidden_dim 9; expected the run's own, hidden_dim 8"),
        ("--latent-dim", 4, "resume: got latent_dim 4; expected the run's own, latent_dim 3"),
        ("--binarise", "dynamic", "resume: got binarise dynamic; expected the run's own, binarise none"),
        ("--dtype", "float64", "resume: got dtype float64; expected the run's own, dtype float32"),
        ("--epochs", 1, "epochs: got 1; expected at least 2"),
        ("--out", "other", "leave out --out and --force"),
    ],
)
def test_resume_refuses_another_run(option: str, value: object, message: str, finished: Path, train: Train) -> None:
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    result = train("--resume", finished, option, value)
    assert result.exit_code == 2
    assert message in result.stderr
    assert {path.name: path.read_bytes() for path in finished.iterdir()} == before


def test_resume_refuses_other_data(data: Path, tmp_path: Path, train: Train, run: Run) -> None:
    folder = run(data, tmp_path / "run", 1)
    np.save(data, np.zeros((60, 4, 3), dtype=np.float32))
    result = train("--resume", folder, "--epochs", 2)
    assert result.exit_code == 2
    assert re.search(r"data: got \S+tiny.npy \(SHA-256 \w{64}\); expected \w{64}, as the run had", result.stderr)


def _forget(path: Path, key: str) -> None:
    config = json.loads(path.read_text())
    del config[key]
    path.write_text(json.dumps(config))


def _misspell(path: Path) -> None:
    path.write_text(path.read_text().replace('"train"', '"trein"', 1))


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: shutil.rmtree(folder), "got no config.json there; expected a run's folder"),
        (lambda folder: (folder / runs.STATE).unlink(), "state.safetensors: No such file or directory"),
        (lambda folder: _truncate(folder / runs.STATE), "state.safetensors: not a readable safetensors file"),
        (lambda folder: shutil.copy(folder / runs.WEIGHTS, folder / runs.STATE), "state.safetensors: state: missing"),
        (lambda folder: _truncate(folder / runs.CONFIG), "config.json: damaged"),
        (lambda folder: (folder / runs.CONFIG).write_text("[]"), "config.json: got []; expected an object"),
        (lambda folder: (folder / runs.CONFIG).write_text("{}"), "config.json: backend: missing; expected text"),
        (lambda folder: _forget(folder / runs.CONFIG, "earlier"), "config.json: earlier: missing; expected a list"),
        (lambda folder: _truncate(folder / runs.METRICS), "metrics.jsonl: line 2: damaged"),
        (lambda folder: _misspell(folder / runs.METRICS), "metrics.jsonl: line 1: damaged (KeyError: 'train')"),
        (lambda folder: (folder / runs.METRICS).write_text(""), "metrics.jsonl: got 0 epochs; expected 2"),
    ],
)  # fmt: skip
def test_resume_refuses_a_damaged_run(
    damage: Callable[[Path], object], message: str, finished: Path, train: Train
) -> None:
    damage(finished)
    result = train("--resume", finished, "--epochs", 3)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_state_of_half_an_epoch_is_refused(finished: Path, train: Train) -> None:
    state = parameters.read(finished / runs.STATE)
    parameters.save(finished / runs.STATE, {**state, "adam.step": np.array(6)})
    result = train("--resume", finished, "--epochs", 3)
    assert "state.safetensors: got 6 steps; expected whole epochs of 4" in result.stderr
