"""The demonstration: that it finds agreement, and that it can fail."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click.testing
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from vae_rosetta.applications import demo, runs
from vae_rosetta.applications.cli import vae
from vae_rosetta.implementations.ports import FRAMEWORKS, PORTS, Port

ROOT = Path(__file__).parents[1]
SHOWN = ["oracle", *(port.word for port in FRAMEWORKS)]
MISSING = [port.word for port in FRAMEWORKS if port.packages]  # where no package is installed


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "tiny.npy"
    np.save(path, np.random.default_rng(0).random((60, 4, 4), dtype=np.float32))
    return path


@pytest.fixture
def error(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """Lets the oracle play the frameworks, in this process, and puts an error into `jax`'s losses."""
    dtype, factor = request.param

    def play(*arguments: str) -> None:
        command = list(arguments)
        at = command.index("--backend") + 1
        name, command[at] = command[at], "oracle"
        result = CliRunner().invoke(vae, command)
        assert result.exit_code == 0, result.output
        if arguments[0] == "train" and (name, command[command.index("--dtype") + 1]) == ("jax", dtype):
            path = Path(command[command.index("--out") + 1], runs.METRICS)
            first, *others = [json.loads(line) for line in path.read_text().splitlines()]
            first["step_objectives"][0] *= factor
            path.write_text("".join(json.dumps(line) + "\n" for line in (first, *others)))

    monkeypatch.setattr(demo, "_vae", play)
    monkeypatch.setattr(Port, "lacks", lambda port: "")
    return float(factor)


def run(data: Path, out: Path, *arguments: str) -> click.testing.Result:
    return CliRunner().invoke(demo.main, ["--data", str(data), "--epochs", "2", "--out", str(out), *arguments])


@pytest.mark.parametrize("error", [("float32", 1.0)], indirect=True)
def test_agreement_is_told_and_kept(error: float, data: Path, tmp_path: Path) -> None:
    result = run(data, tmp_path / "out")
    assert result.exit_code == 0, result.output
    rows = [line for line in result.stdout.splitlines() if re.match(rf"({'|'.join(SHOWN)}) +\d", line)]
    assert len(rows) == len(SHOWN)
    report = json.loads((tmp_path / "out" / demo.REPORT).read_text())
    assert report["holds"] is True
    assert [row["backend"] for row in report["backends"]] == SHOWN
    for row in report["backends"]:
        metrics = runs.read(tmp_path / "out" / f"{row['backend']}-float32").metrics()
        assert (row["train"], row["test"]) == (metrics[1]["train"]["objective"], metrics[1]["test"]["objective"])
        assert row["float64"] == 0.0
        assert 0.0 < row["float32_first"] <= row["float32_whole"] < 1e-6
    with Image.open(tmp_path / "out" / demo.PICTURE) as picture:
        assert picture.height > 4 * 60  # three rows and their difference
    assert run(data, tmp_path / "out").exit_code == 2  # not replaced unasked
    assert run(data, tmp_path / "out", "--force").exit_code == 0


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (("float64", 1 + 1e-8), "jax: float64: differs from the oracle by 1.0e-08, more than 1e-09"),
        (("float32", 1.001), "jax: float32, first 32 steps: differs from the oracle by 1.0e-03, more than 1e-04"),
        (("float32", float("nan")), "jax: float32, first 32 steps: differs from the oracle by nan, more than 1e-04"),
    ],
    indirect=["error"],
)
def test_a_difference_is_told_by_name_and_by_the_exit_code(
    error: float, message: str, data: Path, tmp_path: Path
) -> None:
    result = run(data, tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr == f"Error: {message}\n"
    assert json.loads((tmp_path / "out" / demo.REPORT).read_text())["holds"] is False


def test_it_runs_in_processes_of_their_own(data: Path, tmp_path: Path) -> None:
    options = ["--backends", "oracle", "--data", str(data), "--epochs", "1", "--out", str(tmp_path / "out")]
    command = [sys.executable, "-X", "importtime", "-m", "vae_rosetta.applications.demo", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    imported = set(re.findall(r"^import time:.*\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert "vae_rosetta.applications.runs" in imported
    assert not imported & {"torch", "tensorflow", "jax", "vae_rosetta.shared.oracle"}
    assert (tmp_path / "out" / demo.PICTURE).exists()


def test_a_failing_process_shows_its_error(data: Path, tmp_path: Path) -> None:
    result = run(data.with_name("gone.npy"), tmp_path / "out", "--backends", "oracle")
    assert result.exit_code == 1
    assert "there is no such file" in result.stderr
    assert re.search(r"Error: vae train --backend oracle .*: exit code 2", result.stderr)


def test_rows_that_are_no_images_get_no_picture(tmp_path: Path) -> None:
    rows = tmp_path / "rows.npy"
    np.save(rows, np.random.default_rng(0).random((30, 7), dtype=np.float32))
    result = run(rows, tmp_path / "out", "--backends", "oracle")
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith(f"{tmp_path / 'out'}: {demo.REPORT} and the runs\n")


@pytest.mark.parametrize(
    ("backends", "message"),
    [
        ((), f"backends: not installed: {', '.join(MISSING)}; try: pip install 'vae-rosetta[{','.join(MISSING)}]'"),
        (("--backends", "oracle,jax"), "backends: not installed: jax; try: pip install 'vae-rosetta[jax]'"),
        (("--backends", "mxnet"), f"backends: got mxnet; expected some of {', '.join(PORTS)}"),
    ],
)
def test_missing_backends_are_told(
    backends: tuple[str, ...], message: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    result = run(data, tmp_path / "out", *backends)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_runs_of_other_lengths_are_not_compared(data: Path, tmp_path: Path) -> None:
    for name in ("oracle", "jax"):
        for dtype in ("float32", "float64"):
            out = tmp_path / f"{name}-{dtype}"
            arguments = ["train", "--backend", "oracle", "--data", str(data), "--epochs", "2", "--dtype", dtype]
            assert CliRunner().invoke(vae, [*arguments, "--out", str(out)]).exit_code == 0
    assert demo.find(tmp_path, "jax").float64 == 0.0
    lines = (tmp_path / "jax-float32" / runs.METRICS).read_text().splitlines(keepends=True)
    (tmp_path / "jax-float32" / runs.METRICS).write_text(lines[0])
    with pytest.raises(ValueError, match="jax: got 1 steps; expected 2, as the oracle took"):
        demo.find(tmp_path, "jax")
    shutil.rmtree(tmp_path / "jax-float32")
    with pytest.raises(FileNotFoundError):
        demo.find(tmp_path, "jax")


@pytest.mark.parametrize(("number", "rounded"), [(200.0, 200.0), (199.0, 100.0), (0.0456, 0.04), (9.99e7, 9e7)])
def test_magnification_has_one_digit(number: float, rounded: float) -> None:
    assert demo._one_digit(number) == pytest.approx(rounded, rel=1e-12)
