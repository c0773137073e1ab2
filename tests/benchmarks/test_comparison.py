"""`python -m benchmarks compare`: equal runs do not differ, a slower backend does; how often each is said wrongly."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import cli, comparison

Json = dict[str, Any]
ROUNDS = 9


def run(seed: int, *, factor: float = 1.0, machine: float = 1.0, noise: float = 0.03) -> Json:
    """The parts of a result file that are compared: readings with a log-normal spread of `noise`."""
    random = np.random.default_rng(seed)

    def turn(number: int, participant: str, measure: str, batch: int | None, rate: float) -> Json:
        seconds = 1000 / rate / random.lognormal(sigma=noise)
        return {
            "round": number,
            "participant": participant,
            "measure": measure,
            "batch": batch,
            "images": 1000,
            "seconds": seconds,
        }

    turns = []
    for number in range(1, ROUNDS + 1):
        turns.append(turn(number, "roofline:numpy", "products", 128, 50_000 * machine))
        turns += [turn(number, "a_vae", measure, 128, 30_000 * machine * factor) for measure in ("fit", "train")]
        turns.append(turn(number, "a_vae", "encode", None, 90_000 * machine * factor))
    rate = float(np.median([t["images"] / t["seconds"] for t in turns if t["measure"] == "products"]))
    return {
        "format": 2,
        "protocol": {"sizes": [784, 400, 20], "dtype": "float32"},
        "roofline": {"batches": [{"batch": 128, "images_per_second": {"median": rate}}]},
        "turns": turns,
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def file(name: str, report: Json) -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(report), encoding="utf-8")
        return path

    return file


def verdicts(a: Json, b: Json) -> set[str]:
    return {ratio.verdict for ratio in comparison.compare(a, b)}


def test_equal_runs_do_not_differ_though_the_machine_was_slower() -> None:
    """200 pairs of runs, the second on a machine at 70 %; at most one in twenty may be called different."""
    differ = sum(verdicts(run(2 * i), run(2 * i + 1, machine=0.7)) != {"no difference"} for i in range(200))
    assert differ <= 10


@pytest.mark.parametrize(("factor", "verdict"), [(1 / 1.2, "slower"), (1.2, "faster")])
def test_a_fifth_more_is_a_difference(factor: float, verdict: str) -> None:
    found = sum(verdicts(run(2 * i), run(2 * i + 1, factor=factor)) == {verdict} for i in range(50))
    assert found >= 49


def test_the_ratio_is_that_of_the_medians() -> None:
    (fit, train, encode) = comparison.compare(run(0, noise=0.0), run(1, factor=1.5, machine=0.5, noise=0.0))
    for ratio in (fit, train, encode):
        assert ratio[3:6] == pytest.approx((1.5, 1.5, 1.5))
    assert comparison.drift(run(0, noise=0.0), run(1, machine=0.5, noise=0.0)) == pytest.approx(0.5)


def test_the_interval_widens_with_the_spread() -> None:
    narrow, wide = (comparison.compare(run(0, noise=noise), run(1, noise=noise))[0] for noise in (0.01, 0.1))
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_few_readings_say_nothing() -> None:
    few = run(1, factor=0.5)
    few["turns"] = [turn for turn in few["turns"] if turn["round"] <= 4]
    assert verdicts(run(0), few) == {"too few readings"}


def test_command_prints_a_table_or_lines_of_json(write: Callable[..., Path]) -> None:
    a, b = write("a.json", run(0)), write("b.json", run(1, factor=0.5))
    shown = CliRunner().invoke(cli.compare, [str(a), str(b)])
    assert shown.exit_code == 0
    assert "b.json compared with a.json" in shown.stdout
    assert shown.stdout.count("slower") == 3
    lines = CliRunner().invoke(cli.compare, [str(a), str(b), "--json"]).stdout.splitlines()
    assert [json.loads(line)["verdict"] for line in lines] == ["slower"] * 3


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda report: report["protocol"].update(sizes=[16, 8, 2]), r"sizes: got .*; expected the same in both"),
        (lambda report: report["turns"].clear(), "expected a file that --out wrote"),
        (lambda report: report.pop("format"), "expected a file that --out wrote"),
        (lambda report: report.update(format=1), "got results of format 1; expected format 2"),
        (
            lambda report: [turn.update(participant="b_vae") for turn in report["turns"]],
            "the two runs have no figure in common",
        ),
    ],
)
def test_bad_input_is_told(other: Callable[[Json], object], message: str, write: Callable[..., Path]) -> None:
    report = run(1)
    other(report)
    result = CliRunner().invoke(cli.compare, [str(write("a.json", run(0))), str(write("b.json", report))])
    assert result.exit_code == 2
    assert re.search(message, result.stderr)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.compare, [str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert (result.exit_code, result.stderr) == (2, f"Error: got {tmp_path / 'a.json'}; there is no such file\n")
