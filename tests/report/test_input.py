"""What a report is made from: runs and results that are damaged, of another kind, or not there."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from vae_rosetta.applications.report import conformance, curves, sources, speed
from vae_rosetta.benchmarks import plan
from vae_rosetta.conformance import report as certified


def _changed(path: Path, **fields: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_what_is_no_run_is_told(runs: list[Path], report: Callable[..., Result], tmp_path: Path) -> None:
    empty, out = tmp_path / "empty", tmp_path / "report.html"
    empty.mkdir()
    for folder, lacking in ((empty, "config.json"), (tmp_path / "gone", "config.json"), (runs[0], "metrics.jsonl")):
        (runs[0] / "metrics.jsonl").unlink(missing_ok=True)
        result = report(folder, "--out", out)
        message = (
            f"Error: run: got {folder}, which has no {lacking}; expected a run's folder, as vae train --out writes it\n"
        )
        assert (result.exit_code, result.stderr) == (2, message)
    assert not out.exists()


def test_a_run_named_twice_is_told(runs: list[Path], report: Callable[..., Result], tmp_path: Path) -> None:
    result = report(runs[0], runs[0] / ".." / "single", "--out", tmp_path / "report.html")
    assert result.exit_code == 2
    assert "twice; expected each run once" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "{tmp}/report.pdf"), "expected a name that ends in .html or .htm"),
        (("--out", "{tmp}/none/report.html"), "expected a folder that exists"),
        (("--backend", "mxnet"), "'mxnet' is not one of"),
        (("--anomaly", "{tmp}/gone.json"), "gone.json: got no such file; expected a file of results"),
        (("--benchmark", "{tmp}/gone.json"), "gone.json: got no such file; expected a file of results"),
        (("--conformance", "{tmp}/gone.json"), "gone.json: got no such file; expected a file of results"),
    ],
)
def test_bad_options_are_told(
    arguments: tuple[str, ...], message: str, runs: list[Path], report: Callable[..., Result], tmp_path: Path
) -> None:
    given = [argument.format(tmp=tmp_path) for argument in arguments]
    result = report(runs[0], "--out", tmp_path / "report.html", *given)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("name", ["likelihood", "samples", "compression", "anomaly", "certificate", "benchmark"])
def test_damaged_results_are_told_by_name(
    name: str, everything: list[object], report: Callable[..., Result], tmp_path: Path
) -> None:
    path = next(tmp_path.rglob(f"{name}.json"))
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    result = report(*everything)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {path}: damaged (JSONDecodeError: ")
    assert result.stderr.count("\n") == 1
    assert not Path(str(everything[-1])).exists()


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("likelihood", "negative_elbo", None),
        ("likelihood", "latents", {"kl": ["x"], "active": 1}),
        ("samples", "sets", [{}]),
        ("compression", "bits_per_pixel", {"net": "much"}),
        ("anomaly", "results", [{"digit": "zero"}]),
        ("anomaly", "mean", []),
        ("certificate", "headroom", [{}]),
        ("certificate", "clauses", {"id": 1}),
        ("benchmark", "roofline", {"batches": []}),
    ],
)
def test_fields_of_another_kind_are_damage(
    name: str, field: str, value: object, everything: list[object], report: Callable[..., Result], tmp_path: Path
) -> None:
    path = next(tmp_path.rglob(f"{name}.json"))
    _changed(path, **{field: value})
    result = report(*everything)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {path}: damaged (")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["likelihood", "samples", "compression", "anomaly", "certificate", "benchmark"])
@pytest.mark.parametrize("form", ["vae-rosetta/other/9", 99, None])
def test_another_format_is_told_in_the_page(
    name: str,
    form: object,
    everything: list[object],
    report: Callable[..., Result],
    read: Callable[[Path], Any],
    tmp_path: Path,
) -> None:
    path = next(tmp_path.rglob(f"{name}.json"))
    _changed(path, format=form)
    result = report(*everything)
    assert result.exit_code == 0, result.output
    page = read(Path(str(everything[-1])))
    assert f"Not shown: {path}: got format {form!r}; this page shows format " in page.text


def test_a_file_of_another_kind_is_told_in_the_page(
    everything: list[object], report: Callable[..., Result], read: Callable[[Path], Any], tmp_path: Path
) -> None:
    _changed(tmp_path / "benchmark.json", format=1)
    shutil.copy(tmp_path / "benchmark.json", tmp_path / "certificate.json")
    (tmp_path / "anomaly.json").write_text("[1, 2]")
    assert report(*everything).exit_code == 0
    text = read(Path(str(everything[-1]))).text
    assert "got a file without verdict, run, counts, clauses, headroom; it is of another kind" in text
    assert "anomaly.json: got format None; this page shows format vae-rosetta/anomaly/1." in text


def test_what_is_written_today_is_shown() -> None:
    """The page may not import who writes these files."""
    assert plan.FORMAT in speed.FORMATS
    assert certified.FORMAT in conformance.FORMATS


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("config.json", "{", "damaged (JSONDecodeError"),
        ("config.json", "{}", "backend: missing; expected text"),
        ("metrics.jsonl", "", "got no epoch; expected at least one"),
        ("metrics.jsonl", '{"epoch": 1}\n', "line 1: damaged (KeyError: "),
        ("metrics.jsonl", "nothing", "line 1: damaged (JSONDecodeError"),
        ("weights.safetensors", "nothing", "not a readable safetensors file"),
    ],
)
def test_damaged_runs_are_told_by_name(
    name: str, text: str, message: str, runs: list[Path], report: Callable[..., Result], tmp_path: Path
) -> None:
    (runs[1] / name).write_text(text)
    result = report(*runs, "--out", tmp_path / "report.html")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {runs[1] / name}: {message}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "x"}, "seed: got 'x'; expected a whole number from 0 to 2**64 - 1"),
        ({"dataset": 3}, "dataset: got 3; expected an object"),
        ({"describe": 3}, "describe: got 3; expected an object of texts"),
        ({"epochs_done": []}, "epochs_done: got []; expected a whole number, 0 or more"),
        ({"binarise": "static"}, "binarise: got 'static'; expected one of none, dynamic"),
    ],
    ids=str,
)
def test_a_config_of_other_kinds_is_told_by_its_key(
    change: dict[str, object], message: str, runs: list[Path], report: Callable[..., Result], tmp_path: Path
) -> None:
    _changed(runs[0] / "config.json", **change)
    result = report(runs[0], "--out", tmp_path / "report.html")
    assert result.exit_code == 2
    assert result.stderr == f"Error: {runs[0] / 'config.json'}: {message}\n"


def test_runs_are_labelled_and_grouped(runs: list[Path]) -> None:
    found = sources.read_runs(runs)
    assert [run.label for run in found] == [
        "single",
        "double",
        "other",
    ]  # all by the oracle: the folders tell them apart
    assert [[run.label for run in family] for family in sources.families(found)] == [["single", "double"], ["other"]]
    assert [run.label for run in sources.read_runs(runs[:1])] == ["oracle"]
    _changed(runs[1] / "config.json", backend="jax")
    assert [run.label for run in sources.read_runs(runs[:2])] == ["oracle", "jax"]


@pytest.mark.parametrize("change", [{"batch_size": 7}, {"seed": 7}, {"spec": "7"}, {"binarise": "dynamic"}], ids=str)
def test_another_recipe_is_another_family(change: dict[str, object], runs: list[Path]) -> None:
    _changed(runs[1] / "config.json", **change)
    assert len(sources.families(sources.read_runs(runs[:2]))) == 2


def test_runs_of_one_recipe_are_compared_step_by_step(runs: list[Path]) -> None:
    lines = [json.loads(line) for line in (runs[0] / "metrics.jsonl").read_text().splitlines()]
    lines[1]["step_objectives"][2] *= 1.5
    (runs[1] / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    family = sources.read_runs(runs[:2])
    difference = curves.relative(family[1], family[0])
    steps = len(lines[0]["step_objectives"])
    assert np.flatnonzero(difference).tolist() == [steps + 2]
    greatest = curves.greatest(family[1], family)
    assert greatest is not None
    assert list(greatest) == pytest.approx([0.0, 0.5])
    assert curves.greatest(family[0], family) is None


def test_the_oracle_is_what_others_are_compared_with(runs: list[Path]) -> None:
    _changed(runs[0] / "config.json", backend="torch")
    family = sources.read_runs(runs[:2])
    assert curves.reference_of(family).label == "oracle"


def test_runs_of_other_lengths_are_compared_as_far_as_both_go(
    runs: list[Path], report: Callable[..., Result], read: Callable[[Path], Any], tmp_path: Path
) -> None:
    lines = (runs[1] / "metrics.jsonl").read_text().splitlines(keepends=True)
    (runs[1] / "metrics.jsonl").write_text(lines[0])
    _changed(runs[1] / "config.json", epochs_done=1)
    family = sources.read_runs(runs[:2])
    assert len(curves.relative(family[1], family[0])) == len(json.loads(lines[0])["step_objectives"])
    assert report(*runs[:2], "--out", tmp_path / "report.html").exit_code == 0
    assert "No difference is shown" in read(tmp_path / "report.html").text
