"""A run's folder: whole at every moment, whatever interrupts it."""

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vae_rosetta.applications import runs, settings
from vae_rosetta.applications.interrupts import interrupts_held
from vae_rosetta.shared import oracle, parameters, recipe
from vae_rosetta.shared.spec import Sizes

SIZES = Sizes(6, 4, 2)


CONFIG = settings.Config(
    spec="1.0",
    settings=settings.Settings(
        backend="oracle",
        data="mine.npy",
        data_dir=None,
        binarise="none",
        epochs=2,
        batch_size=4,
        seed=0,
        latent_dim=2,
        hidden_dim=4,
        device="auto",
        dtype="float32",
    ),
    dataset=settings.TrainedOn("0" * 64, train=10, test=2, pixels=6, image_shape=(2, 3), protocol="grey"),
    epochs_done=0,
    describe={"framework": "numpy"},
    versions={"python": "3"},
    earlier=(),
    protocol=settings.Pixels("grey", "grey"),
)


def write(folder: Path, epochs: int) -> oracle.Oracle:
    """A folder as it is after each of the given number of epochs, written as training does."""
    x = np.random.default_rng(0).random((10, 6))
    model = oracle.load(parameters.initial(0, SIZES))
    metrics: list[settings.Json] = []
    for epoch in recipe.fit(model, x, seed=0, epochs=epochs, batch_size=4, test=x[:2]):
        metrics.append(runs.metrics_line(epoch))
        runs.Run(folder, CONFIG).write(metrics, model)
    return model


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    model = write(tmp_path, 2)
    run = runs.read(tmp_path)
    assert run.config == replace(CONFIG, epochs_done=2)
    assert (run.sizes, run.metrics()) == (SIZES, run.checkpoint().metrics)
    for name, value in model.params().items():
        np.testing.assert_array_equal(run.params()[name], value, strict=True)
    stored = run.checkpoint()
    assert stored.epochs_done == 2
    assert [line["epoch"] for line in stored.metrics] == [1, 2]
    assert [len(line["step_objectives"]) for line in stored.metrics] == [3, 3]
    for name, value in model.state().items():
        np.testing.assert_array_equal(stored.state[name], value, strict=True)
    assert sorted(contents(tmp_path)) == sorted([runs.WEIGHTS, runs.STATE, runs.CONFIG, runs.METRICS])


def test_equal_runs_are_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, 1)
    for name in (runs.WEIGHTS, runs.STATE, runs.CONFIG):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_ctrl_c_between_two_files_waits_for_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 1)
    save, written = parameters.save, []

    def interrupted_save(path: Path, *arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        save(path, *arguments)
        written.append(path.name)

    monkeypatch.setattr(parameters, "save", interrupted_save)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, 2)
    # The first epoch was written again, whole, and only then the interrupt was let through.
    assert written == [runs.WEIGHTS, runs.STATE]
    assert runs.read(tmp_path).checkpoint().epochs_done == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_is_held_to_the_end_of_the_block() -> None:
    reached = []

    def block() -> None:
        with interrupts_held():
            signal.raise_signal(signal.SIGINT)
            reached.append("end of block")
        reached.append("after the block")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert reached == ["end of block"]


def test_an_error_in_the_block_does_not_lose_the_interrupt() -> None:
    def block() -> None:
        with interrupts_held():
            signal.raise_signal(signal.SIGINT)
            raise OSError("disk full")

    with pytest.raises(KeyboardInterrupt) as caught:
        block()
    assert isinstance(caught.value.__context__, OSError)


def test_an_ignored_interrupt_stays_ignored() -> None:
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as under nohup
    try:
        with interrupts_held():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, former)


def test_other_threads_may_write(tmp_path: Path) -> None:
    thread = threading.Thread(target=write, args=(tmp_path, 1))
    thread.start()
    thread.join()
    assert runs.read(tmp_path).checkpoint().epochs_done == 1


@pytest.mark.parametrize("failing", [runs.METRICS, runs.WEIGHTS, runs.CONFIG, runs.STATE])
def test_a_failure_between_two_files_leaves_the_state_of_the_epoch_before(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1)
    replace, replaced = Path.replace, []

    def fail_in_epoch_2(source: Path, target: Path) -> Path:
        replaced.append(target.name)
        if target.name == failing and replaced.count(failing) == 2:
            raise OSError(28, "No space left on device", str(target))
        return replace(source, target)

    before = runs.read(tmp_path).checkpoint()
    monkeypatch.setattr(Path, "replace", fail_in_epoch_2)
    with pytest.raises(OSError, match="No space left on device"):
        write(tmp_path, 2)
    stored = runs.read(tmp_path).checkpoint()
    assert stored.epochs_done == 1
    assert [line["step_objectives"] for line in stored.metrics] == [line["step_objectives"] for line in before.metrics]
    for name, value in before.state.items():
        np.testing.assert_array_equal(stored.state[name], value)
    assert sorted(contents(tmp_path)) == sorted([runs.WEIGHTS, runs.STATE, runs.CONFIG, runs.METRICS])


def test_a_new_run_takes_the_place_of_a_former_one_with_its_first_epoch(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    assert runs.create(folder)
    assert contents(folder) == {}
    write(folder, 2)
    for name in (runs.CURVE, "notes.txt"):
        (folder / name).write_text("mine")
    former = contents(folder)
    assert not runs.create(folder)
    assert contents(folder) == former
    write(folder, 1)
    assert sorted(contents(folder)) == sorted([runs.WEIGHTS, runs.STATE, runs.CONFIG, runs.METRICS, "notes.txt"])
    assert runs.read(folder).checkpoint().epochs_done == 1


def test_check_free_refuses_files_and_full_folders(tmp_path: Path) -> None:
    runs.check_free(tmp_path / "none", force=False)
    runs.check_free(tmp_path, force=False)
    (tmp_path / "notes.txt").write_text("mine")
    runs.check_free(tmp_path, force=True)
    with pytest.raises(ValueError, match=r"which is not empty; --force writes"):
        runs.check_free(tmp_path, force=False)
    write(tmp_path, 1)
    with pytest.raises(ValueError, match=r"which is not empty; --resume \S+ goes on with its run, --force"):
        runs.check_free(tmp_path, force=False)
    with pytest.raises(ValueError, match=r"which is a file; expected a folder"):
        runs.check_free(tmp_path / "notes.txt", force=True)
