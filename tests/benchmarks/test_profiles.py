"""`--profile` of the benchmark: the table, and what cannot be profiled. The profilers themselves need frameworks."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from vae_rosetta.benchmarks import cli, profiles, table
from vae_rosetta.benchmarks.profiles.operations import Operation, Profile

PROFILER = """
from vae_rosetta.benchmarks.profiles.operations import Operation
def operations(work):
    work()
    return [Operation("add", 0.001), Operation("multiply", 0.003)]
"""


def test_profile_is_of_the_calls_to_train_longest_first(
    ports: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.random.default_rng(0).random((300, 16), dtype=np.float32)
    np.save(tmp_path / "images.npy", images)
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, fake_profiler, vae_rosetta.benchmarks.profiles as p\n"
        "p.profiler = {'numpy': fake_profiler}.__getitem__\n",
        encoding="utf-8",
    )
    (tmp_path / "fake_profiler.py").write_text(PROFILER, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found = profiles.profile(ports("a_vae"), tmp_path / "images.npy", 64, "float32")
    assert (found.steps, found.operations) == (5, [Operation("multiply", 0.003), Operation("add", 0.001)])
    assert found.seconds > 0


def test_table_tells_the_time_of_a_step_and_the_share() -> None:
    console = Console(width=80, file=io.StringIO(), record=True)
    found = Profile(1.0, 100, [Operation("mm", 0.9), Operation("exp", 0.09), Operation("add", 0.01)])
    table.show_profile("a_vae", found, console)
    lines = [line.split() for line in console.export_text().splitlines()]
    assert lines[0] == ["a_vae:", "10.000", "ms", "a", "step"]
    assert ["mm", "9.000", "90.0", "%"] in lines
    assert ["the", "rest", "0.100", "1.0", "%"] in lines
    assert ["all", "threads", "together", "10.000", "100.0", "%"] in lines


def test_a_framework_without_a_profiler_is_told() -> None:
    result = CliRunner().invoke(cli.bench, ["vae_rosetta.shared.oracle", "--profile", "--quick", "--images", "200"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: vae_rosetta.shared.oracle: got the framework 'numpy', whose profiler is not known here; expected "
        "jax, tensorflow, torch\n"
    )
