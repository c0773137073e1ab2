"""`vae score` from end to end: what it writes, what it prints, and what it refuses."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from vae_rosetta.applications import runs
from vae_rosetta.applications.cli import vae
from vae_rosetta.applications.commands import score as command
from vae_rosetta.applications.detection import rows, scores, scoring, threshold, writers
from vae_rosetta.shared import datasets
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.oracle import Oracle

Score = Callable[..., Result]


def read(out: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows as Python values, and the summary."""
    if out.suffix == ".parquet":
        metadata = pq.read_metadata(out).metadata[b"vae-rosetta"]
        return pq.read_table(out).to_pylist(), json.loads(metadata)
    summary = json.loads(out.with_name(f"{out.stem}.summary.json").read_text())
    if out.suffix == ".jsonl":
        return [json.loads(line) for line in out.read_text().splitlines()], summary
    with out.open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    kinds: dict[str, Callable[[str], Any]] = {
        "row": int,
        "id": str,
        "score": float,
        "flagged": "true".__eq__,
        "near": "true".__eq__,
    }
    return [{name: kinds[name](value) for name, value in line.items()} for line in lines], summary


@pytest.mark.parametrize("ending", writers.ENDINGS)
def test_rows_scores_and_decisions(
    ending: str,
    score: Score,
    model: Oracle,
    images: Array,
    npy: Path,
    run_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rows, "_PIXELS", 12 * 50)  # read, scored and written in parts
    out = tmp_path / f"scores{ending}"
    options = ("--samples", 2, "--seed", 5, "--false-alarm", 0.05)
    result = score(npy, "--weights", run_folder, "--out", out, *options)
    assert result.exit_code == 0, result.output
    found, summary = read(out)
    expected = scores.score(model, images, samples=2, seed=5)
    normal = datasets.load(str(run_folder / "data.npz")).test
    level = threshold.conformal(scores.score(model, normal, samples=2, seed=5, draw=2), 0.05)
    assert [list(row) for row in found] == [["row", "score", "flagged", "near"]] * 300
    assert [row["row"] for row in found] == list(range(300))
    np.testing.assert_allclose([row["score"] for row in found], expected, rtol=1e-6)
    assert [row["flagged"] for row in found] == (np.array([row["score"] for row in found]) > level).tolist()
    assert summary["threshold"] == pytest.approx(level, rel=1e-6)
    assert 0 < summary["margin"] < 1e-3
    flagged = sum(row["flagged"] for row in found)
    assert 0 < flagged < 300
    assert summary["flagged"] == flagged
    assert summary["near"] == sum(row["near"] for row in found)
    assert {name: summary[name] for name in ("format", "score", "samples", "seed", "rows", "normal_rows")} == {
        "format": "vae-rosetta/scores/1",
        "score": "elbo",
        "samples": 2,
        "seed": 5,
        "rows": 300,
        "normal_rows": 200,
    }
    assert f"flagged: {flagged} of 300" in result.output
    assert f"threshold {level:.4f}: at most 5.00% of normal images are above, by 200 of data.npz" in result.output
    assert f"{int(np.argmax(expected))}" in result.output
    assert "rows/s" in result.output
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_rows_have_names_where_the_input_has(score: Score, images: Array, run_folder: Path, tmp_path: Path) -> None:
    frame = pd.DataFrame(np.rint(images * 255).astype(np.uint8), columns=[f"p{i}" for i in range(12)])
    frame["who"] = [f"n{i}" for i in range(300)]
    frame.to_csv(tmp_path / "in.csv", index=False)
    out = tmp_path / "out.jsonl"
    table = ("--columns", "p", "--id", "who")
    result = score(tmp_path / "in.csv", *table, "--weights", run_folder, "--out", out, "--no-threshold")
    assert result.exit_code == 0, result.output
    found, summary = read(out)
    assert [row["id"] for row in found] == frame["who"].tolist()
    assert list(found[0]) == ["row", "id", "score"]
    assert "threshold" not in summary
    best = max(found, key=lambda row: float(row["score"]))
    assert best["id"] in result.output


def test_a_given_threshold_needs_no_normal_data(score: Score, npy: Path, run_folder: Path, tmp_path: Path) -> None:
    (run_folder / runs.CONFIG).unlink()
    out = tmp_path / "out.csv"
    plain = score(npy, "--weights", run_folder, "--out", out, "--no-threshold", "--samples", 2)
    assert plain.exit_code == 0, plain.output
    values = sorted(row["score"] for row in read(out)[0])
    level = values[200]
    result = score(npy, "--weights", run_folder, "--out", out, "--threshold", level, "--samples", 2, "--force")
    assert result.exit_code == 0, result.output
    found, summary = read(out)
    assert summary["threshold"] == level
    assert summary["flagged"] == sum(row["flagged"] for row in found) == 99
    assert [row["near"] for row in found if row["score"] == level] == [True]
    assert "as given" in result.output


def test_normal_data_may_be_a_file(score: Score, npy: Path, run_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    result = score(npy, "--weights", run_folder / runs.WEIGHTS, "--normal", npy, "--out", out, "--false-alarm", 0.1)
    assert result.exit_code == 0, result.output
    _, summary = read(out)
    assert (summary["normal"], summary["normal_rows"]) == (str(npy), 300)
    assert 0.05 < summary["flagged"] / 300 < 0.15  # the normal data themselves


def test_normal_data_may_be_of_another_kind(
    score: Score, images: Array, npy: Path, run_folder: Path, tmp_path: Path
) -> None:
    pd.DataFrame(images.astype(float), columns=[f"p{i}" for i in range(12)]).to_csv(tmp_path / "in.csv", index=False)
    options = ("--weights", run_folder, "--columns", "p", "--false-alarm", 0.1, "--samples", 1)
    for source, normal in ((tmp_path / "in.csv", npy), (tmp_path / "in.csv", tmp_path / "in.csv")):
        result = score(source, "--normal", normal, "--out", tmp_path / "out.csv", "--force", *options)
        assert result.exit_code == 0, result.output


def test_the_digit_a_run_left_out_is_not_normal(run_folder: Path) -> None:
    run = runs.read(run_folder)
    data = run.data()
    assert len(run.held_out(data)) == 200
    assert data.test_labels is not None
    others = replace(run, config=replace(run.config, without_digit=3)).held_out(data)
    np.testing.assert_array_equal(others, data.test[data.test_labels != 3])
    dynamic = replace(run.settings, binarise="dynamic")
    drawn = replace(run, config=replace(run.config, settings=dynamic)).held_out(data)
    assert set(np.unique(drawn)) == {0.0, 1.0}


def test_a_picture_of_the_most_anomalous(score: Score, npy: Path, run_folder: Path, tmp_path: Path) -> None:
    options = ("--weights", run_folder, "--out", tmp_path / "out.csv", "--pictures", tmp_path / "top.png")
    assert score(npy, *options).exit_code == 0
    with Image.open(tmp_path / "top.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 10 * 3
        assert picture.height > 10 * 4


def test_the_most_anomalous_are_found_across_parts() -> None:
    random = np.random.default_rng(0)
    values, x = random.normal(size=1000).round(1), random.random((1000, 2), dtype=np.float32)
    top = scoring._Top()
    for start in range(0, 1000, 70):
        top.add(rows.Part(start, x[start : start + 70], None), values[start : start + 70])
    expected = np.argsort(-values, kind="stable")[:100]  # of equal ones the first
    assert top.rows == expected.tolist()
    np.testing.assert_array_equal(top.images, x[expected])
    np.testing.assert_array_equal(top.scores, values[expected])


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("ending", writers.ENDINGS)
def test_a_failure_halfway_leaves_what_was_there(
    failure: BaseException,
    ending: str,
    score: Score,
    npy: Path,
    run_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / f"scores{ending}"
    out.write_text("mine")
    before = sorted(path.name for path in tmp_path.iterdir())
    add = scoring._Top.add

    def fail(self: scoring._Top, part: rows.Part, values: scores.Scores) -> None:
        if part.start:
            raise failure
        add(self, part, values)

    monkeypatch.setattr(rows, "_PIXELS", 12 * 50)
    monkeypatch.setattr(scoring._Top, "add", fail)
    result = score(npy, "--weights", run_folder, "--out", out, "--samples", 1, "--force")
    assert result.exit_code in (1, 130)
    assert out.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == before


WRONG: dict[str, tuple[tuple[object, ...], str]] = {
    "unknown ending": (("--out", "x.txt"), "expected a name that ends in .parquet or .csv or .jsonl"),
    "no folder": (("--out", "none/x.csv"), "expected a folder that exists"),
    "picture's ending": (("--pictures", "x.jpg"), "pictures: got x.jpg; expected a name that ends in .png"),
    "picture's shape": (("--pictures", "x.png", "--image-shape", 5, 5), "image-shape: got 5 x 5; expected 12 pixels"),
    "rate": (("--false-alarm", 2), "false-alarm: got 2; expected a rate between 0 and 1"),
    "too few": (("--false-alarm", 0.001), "got 200 images; expected at least 999 for a rate of 0.001"),
    "two thresholds": (("--threshold", 1, "--normal", "x.npy"), "threshold: got 1 and the normal data x.npy"),
    "threshold and none": (("--threshold", 1, "--no-threshold"), "threshold: got 1 and --no-threshold; expected one"),
    "threshold nan": (("--threshold", "nan"), "threshold: got nan; expected a finite number"),
    "normal file": (("--normal", "none.npy"), "none.npy; there is no such file"),
    "no weights": (("--weights", "none"), "weights: got none; expected a run's folder"),
    "score": (("--score", "loss"), "'loss' is not one of 'reconstruction-at-mean'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_told_in_one_line(
    case: str, score: Score, npy: Path, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, message = WRONG[case]
    result = score(npy, "--weights", run_folder, "--out", "scores.csv", "--samples", 1, *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert not (tmp_path / "scores.csv").exists()


@pytest.mark.parametrize("taken", ["scores.csv", "scores.summary.json", "top.png"])
def test_existing_files_are_kept_unless_forced(
    taken: str, score: Score, npy: Path, run_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / taken).write_text("mine")
    arguments = (npy, "--weights", run_folder, "--out", tmp_path / "scores.csv", "--pictures", tmp_path / "top.png")
    refused = score(*arguments)
    assert refused.exit_code == 2
    assert f"got {tmp_path / taken}, which exists; --force replaces it" in refused.stderr
    assert (tmp_path / taken).read_bytes() == b"mine"
    assert score(*arguments, "--force").exit_code == 0
    assert (tmp_path / taken).read_bytes() != b"mine"


def _no_config(folder: Path) -> None:
    (folder / runs.CONFIG).unlink()


def _other_data(folder: Path) -> None:
    np.savez(folder / "data.npz", train=np.ones((9, 4, 3)), test=np.zeros((9, 4, 3)))


def _damaged_config(folder: Path) -> None:
    (folder / runs.CONFIG).write_text('{"data": "mnist"}')


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_no_config, "normal: got none, and no config.json beside"),
        (lambda folder: (folder / "data.npz").unlink(), "normal: got none, and the run's own data cannot be had"),
        (_other_data, "as the run had; "),
        (_damaged_config, "config.json: backend: missing; expected text"),
    ],
    ids=["no config", "data gone", "other data", "damaged config"],
)
def test_no_data_for_a_threshold_is_told(
    change: Callable[[Path], None], message: str, score: Score, npy: Path, run_folder: Path, tmp_path: Path
) -> None:
    change(run_folder)
    result = score(npy, "--weights", run_folder, "--out", tmp_path / "scores.csv")
    assert result.exit_code == 2
    assert message in result.stderr


def test_the_command_offers_every_score_and_the_library_defaults() -> None:
    options = {option.name: option for option in command.score.params}
    assert tuple(options["score"].type.choices) == scores.NAMES  # type: ignore[attr-defined]
    assert options["samples"].default == scores.SAMPLES
    assert options["false_alarm"].default == threshold.FALSE_ALARM
    assert "pictures" in CliRunner().invoke(vae, ["score", "--help"]).output
