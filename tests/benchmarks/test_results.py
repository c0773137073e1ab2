"""The results of a whole run: of one backend that conforms, one that does not and one that is not there."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from vae_rosetta.benchmarks import cli

NEVER_REPEATED = ("import_framework", "import", "first_epoch", "target")


@pytest.fixture(scope="module")
def finished(
    root: Path, port: Callable[..., str], idle: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("run")
    (folder / "idle_vae.py").write_text(port(idle), encoding="utf-8")
    (folder / "broken_vae.py").write_text("import no_such_framework\n", encoding="utf-8")
    (folder / "temporary").mkdir()
    np.save(folder / "images.npy", np.random.default_rng(0).random((100, 16), dtype=np.float32))
    command = [
        sys.executable,
        "-m",
        "vae_rosetta.benchmarks",
        "vae_rosetta.shared.oracle",
        "idle_vae",
        "broken_vae",
        "--quick",
    ]
    command += ["--data", "images.npy", "--images", "250", "--batch-size", "100", "--batch-size", "64"]
    command += ["--repetitions", "2", "--out", "out.json"]
    environment = {**os.environ, "PYTHONPATH": str(root), "TMPDIR": "temporary", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done, folder


@pytest.fixture(scope="module")
def report(finished: tuple[subprocess.CompletedProcess[str], Path]) -> dict[str, Any]:
    done, folder = finished
    assert (folder / "out.json").exists(), done.stderr
    found: dict[str, Any] = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    return found


def test_refused_backends_are_named_and_the_others_measured(
    finished: tuple[subprocess.CompletedProcess[str], Path], report: dict[str, Any]
) -> None:
    done, folder = finished
    assert done.returncode == 1
    idle, missing, error = done.stderr.splitlines()
    assert re.fullmatch(r"refused: idle_vae does not conform: fails training/.* and \d+ more", idle)
    assert missing.startswith("refused: broken_vae cannot be graded: MODULE: cannot import 'broken_vae'")
    assert error == "Error: not measured: idle_vae, broken_vae"
    assert [refused["module"] for refused in report["refused"]] == ["idle_vae", "broken_vae"]
    assert [backend["module"] for backend in report["backends"]] == ["vae_rosetta.shared.oracle"]
    assert not list((folder / "temporary").iterdir())


def test_results_meet_their_schema(report: dict[str, Any], schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(report)


@pytest.mark.parametrize(
    "damage",
    [
        lambda report: report.update(extra=1),
        lambda report: report.pop("turns"),
        lambda report: report["turns"][0].update(seconds=0.0),
        lambda report: report["turns"][0].update(measure="guess"),
        lambda report: report["backends"][0]["training"][0]["fit"]["images_per_second"].pop("q1"),
        lambda report: report["roofline"].update(flops_per_image=-1),
    ],
)
def test_schema_notices_damage(
    damage: Callable[[dict[str, Any]], object], report: dict[str, Any], schema: dict[str, Any]
) -> None:
    damaged = json.loads(json.dumps(report))
    damage(damaged)
    assert not jsonschema.Draft202012Validator(schema).is_valid(damaged)


def test_turns_are_taken_as_planned(report: dict[str, Any]) -> None:
    taken = [(turn["round"], turn["participant"], turn["measure"], turn["batch"]) for turn in report["turns"]]
    us, libraries = "vae_rosetta.shared.oracle", list(report["roofline"]["libraries"])
    assert "roofline:numpy" in libraries
    expected: list[tuple[int, str, str, int | None]] = []
    expected += [(1, us, "import_framework", None), (1, us, "import", None)]
    for batch in (100, 64):
        expected += [(0, us, "first_epoch", batch)]
        for number in (1, 2):
            expected += [(number, library, "products", batch) for library in libraries]
            expected += [(number, library, "traffic", batch) for library in libraries if "onednn" not in library]
            kinds = ("fit", "train") if number == 1 else ("train", "fit")
            expected += [(number, us, kind, batch) for kind in kinds]
            if batch == 100:
                expected += [(number, us, measure, None) for measure in ("encode", "decode", "generate")]
    assert taken == expected


def test_turns_tell_how_near_the_cores_were(report: dict[str, Any]) -> None:
    nearest = report["machine"]["nearest_round_trip_ns"]
    asked = [turn["round_trip_ns"] for turn in report["turns"] if turn["measure"] not in NEVER_REPEATED]
    assert all(turn["round_trip_ns"] is None for turn in report["turns"] if turn["measure"] in NEVER_REPEATED)
    if nearest is None:
        assert not any(asked)
    else:
        assert nearest <= min(trip for trip in asked if trip is not None)


def test_figures_follow_from_the_turns(report: dict[str, Any]) -> None:
    """Every summary computed once more, by other means, from the raw readings."""

    def rates(participant: str, measure: str, batch: int | None) -> Any:
        chosen = [
            t for t in report["turns"] if (t["participant"], t["measure"], t["batch"]) == (participant, measure, batch)
        ]
        return np.array([t["images"] / t["seconds"] for t in chosen if t["round"]])

    def check(spread: dict[str, float], values: Any) -> None:
        quartiles = np.percentile(values, [25, 50, 75])
        np.testing.assert_allclose([spread["q1"], spread["median"], spread["q3"]], quartiles, rtol=1e-12)
        assert 0 < spread["q1"] <= spread["median"] <= spread["q3"]

    (backend,) = report["backends"]
    flops = report["roofline"]["flops_per_image"]
    for training, limit in zip(backend["training"], report["roofline"]["batches"], strict=True):
        batch = training["batch"]
        assert limit["batch"] == batch
        medians = {name: np.median(rates(name, "products", batch)) for name in report["roofline"]["libraries"]}
        assert limit["median_images_per_second"] == pytest.approx(medians, rel=1e-12)
        assert limit["fastest"] == max(medians, key=lambda name: medians[name])
        limits = rates(limit["fastest"], "products", batch)
        check(limit["images_per_second"], limits)
        check(limit["gflops_per_second"], limits * flops / 1e9)
        streaming = rates(limit["with_adam"]["fastest"], "traffic", batch)
        both = 1 / (1 / limits + 1 / streaming)
        check(limit["with_adam"]["images_per_second"], both)
        check(limit["with_adam"]["gigabytes_per_second"], streaming / batch * report["roofline"]["adam_bytes"] / 1e9)
        assert training["difference_from_oracle"] == 0.0  # it is the oracle
        for measure in ("fit", "train"):
            found = rates("vae_rosetta.shared.oracle", measure, batch)
            assert len(found) == 2
            check(training[measure]["images_per_second"], found)
            check(training[measure]["percent_of_roofline"], 100 * found / limits)
            check(training[measure]["percent_of_roofline_with_adam"], 100 * found / both)
            assert (
                training[measure]["percent_of_roofline_with_adam"]["median"]
                > (training[measure]["percent_of_roofline"]["median"])
            )
            assert training[measure]["percent_of_roofline"]["q3"] < 100  # float64, and more to do than products
    for measure, spread in backend["inference"].items():
        check(spread, rates("vae_rosetta.shared.oracle", measure, None))
    images = {turn["measure"]: turn["images"] for turn in report["turns"]}
    assert images["fit"] == images["train"] == images["first_epoch"] == 250
    assert images["import"] is images["import_framework"] is None
    assert images["encode"] % 250 == 0  # calls of 1,000 images, of which there are 250


def test_run_says_what_it_was(report: dict[str, Any]) -> None:
    (backend,) = report["backends"]
    assert report["data"] == {
        "source": "images.npy",
        "sha256": report["data"]["sha256"],
        "source_images": 90,  # every tenth is held out
        "images": 250,
        "input_dim": 16,
    }
    assert report["protocol"]["sizes"] == [16, 400, 20]
    assert report["software"]["thread_settings"] == {
        **report["software"]["thread_settings"],
        "OPENBLAS_NUM_THREADS": "1",
    }
    assert backend["describe"]["framework"] == "numpy"
    assert backend["packages"] == {"numpy": np.__version__}
    assert backend["import_seconds"]["framework_statements"] == "import numpy as np; import numpy.typing as npt"
    assert backend["gate"]["passed"] > 20
    assert backend["peak_memory_bytes"] > 10 * 2**20
    assert backend["idle_cpu_seconds"] < 1.0


def test_results_are_shown_again_and_drawn(
    finished: tuple[subprocess.CompletedProcess[str], Path], report: dict[str, Any]
) -> None:
    done, folder = finished
    shown = CliRunner().invoke(cli.show, [str(folder / "out.json")], terminal_width=80)
    assert shown.exit_code == 0
    training = re.compile(r"^ +oracle .*$", re.MULTILINE)
    assert training.findall(shown.stdout) == training.findall(done.stdout)
    chart = folder / "chart.png"
    drawn = CliRunner().invoke(cli.show, [str(folder / "out.json"), "--markdown", "--chart", str(chart)])
    head, _, limit, with_adam, oracle = (line.strip("| ").split(" | ") for line in drawn.stdout.splitlines())
    assert head[1] == "`fit`, batch 100"
    assert (limit[0], with_adam[0]) == ("limit: the products alone", "limit: the products and Adam's bytes")
    assert [cell.endswith("%)") and "/" in cell for cell in oracle[1:5]] == [True] * 4
    median = report["backends"][0]["training"][0]["fit"]["images_per_second"]["median"]
    assert oracle[:2] == [f"**oracle** ({np.__version__})", oracle[1]]
    assert oracle[1].startswith(f"{median:,.0f} (")
    with Image.open(chart) as picture:
        assert picture.width > picture.height > 400
    again = CliRunner().invoke(cli.show, [str(folder / "out.json"), "--chart", str(chart)])
    assert (again.exit_code, again.stderr) == (2, f"Error: --chart: {str(chart)!r} exists; --force replaces it\n")


def test_tables_fit_80_columns(finished: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    lines = finished[0].stdout.splitlines()
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "images.npy, its 90 training images repeated to 250" in " ".join(text.split())
    assert re.search(r"^100 +products .* 100 %$", text, re.MULTILINE)
    assert re.search(r"^ +and Adam .* \d+/100 %$", text, re.MULTILINE)
    assert (
        len(
            re.findall(
                r"^ +oracle +[\d,]+ \([\d.k]+-[\d.k]+\) +\d+/\d+ % +[\d,]+ \(.*\) +\d+/\d+ %", text, re.MULTILINE
            )
        )
        == 2
    )
    assert lines[-1] == "out.json: every reading"


@pytest.mark.parametrize("name", ["epyc-avx2-2-cores.json", "epyc-zen5-2-cores-bf16.json"])
def test_published_results_of_format_3_are_shown(name: str, root: Path, tmp_path: Path) -> None:
    path = root / "benchmarks/results" / name
    chart = tmp_path / "chart.svg"
    shown = CliRunner().invoke(cli.show, [str(path)], terminal_width=80)
    assert (shown.exit_code, "and Adam" in shown.stdout) == (0, False)
    drawn = CliRunner().invoke(cli.show, [str(path), "--markdown", "--chart", str(chart)])
    assert (drawn.exit_code, "Adam" in drawn.stdout, chart.exists()) == (0, False, True)
