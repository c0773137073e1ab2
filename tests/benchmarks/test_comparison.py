"""`vae bench compare`: equal runs do not differ, a slower backend does; how often each is said wrongly."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from vae_rosetta.benchmarks import cli, comparison

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
            "round_trip_ns": 650.0,
        }

    turns = []
    for number in range(1, ROUNDS + 1):
        turns.append(turn(number, "roofline:numpy", "products", 128, 50_000 * machine))
        turns += [turn(number, "a_vae", measure, 128, 30_000 * machine * factor) for measure in ("fit", "train")]
        turns.append(turn(number, "a_vae", "encode", None, 90_000 * machine * factor))
    return {
        "format": 3,
        "machine": {"nearest_round_trip_ns": 600.0},
        "protocol": {"sizes": [784, 400, 20], "dtype": "float32", "batches": [128]},
        "backends": [{"module": "a_vae"}],
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
    """In 19 of 20 figures: readings that spread by 3 % leave a fifth near the 10 % by which runs may differ."""
    ratios = [ratio for i in range(50) for ratio in comparison.compare(run(2 * i), run(2 * i + 1, factor=factor))]
    found = sum(ratio.verdict == verdict for ratio in ratios)
    assert found >= 0.95 * len(ratios)


def test_eight_percent_is_a_difference_within_a_run_and_none_between_two() -> None:
    assert verdicts(run(0, noise=0.001), run(1, factor=1.08, noise=0.001)) == {"no difference"}
    assert {ratio.verdict for ratio in comparison.within(both(0, 1.08, noise=0.001))} == {"faster"}


def test_the_ratio_is_that_of_the_medians() -> None:
    (fit, train, encode) = comparison.compare(run(0, noise=0.0), run(1, factor=1.5, machine=0.5, noise=0.0))
    for ratio in (fit, train, encode):
        assert ratio[3:6] == pytest.approx((1.5, 1.5, 1.5))
    assert comparison.drift(run(0, noise=0.0), run(1, machine=0.5, noise=0.0)) == pytest.approx(0.5)


def test_the_interval_widens_with_the_spread() -> None:
    narrow, wide = (comparison.compare(run(0, noise=noise), run(1, noise=noise))[0] for noise in (0.01, 0.1))
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_a_module_is_the_same_under_its_installed_name() -> None:
    old, new = run(1), run(2)
    for turn in old["turns"]:
        turn["participant"] = turn["participant"].replace("a_vae", "implementations.torch_vae")
    for turn in new["turns"]:
        turn["participant"] = turn["participant"].replace("a_vae", "vae_rosetta.implementations.torch_vae")
    ratios = comparison.compare(old, {**new, "format": 4})
    assert {ratio.participant for ratio in ratios} == {"implementations.torch_vae"}
    assert len(ratios) == 3


def test_few_readings_say_nothing() -> None:
    few = run(1, factor=0.5)
    few["turns"] = [turn for turn in few["turns"] if turn["round"] <= 4]
    assert verdicts(run(0), few) == {"too few readings"}


def test_readings_with_cores_apart_do_not_count() -> None:
    parted = run(1)
    fit = [turn for turn in parted["turns"] if turn["measure"] == "fit"]
    for turn in fit[:4]:
        turn.update(round_trip_ns=1900.0, seconds=2 * turn["seconds"])
    assert [ratio.readings for ratio in comparison.compare(run(0), parted)] == [5, 9, 9]
    assert verdicts(run(0), parted) == {"no difference"}
    fit[4].update(round_trip_ns=1900.0)
    assert next(ratio.verdict for ratio in comparison.compare(run(0), parted)) == "too few readings"


def test_machine_is_what_both_runs_have_of_libraries() -> None:
    """A library that only one of them has, and that is fast, changes nothing."""
    more = run(1)
    products = [turn for turn in more["turns"] if turn["measure"] == "products"]
    more["turns"] += [{**turn, "participant": "roofline:fast", "images": 9000} for turn in products]
    assert comparison.compare(run(0), more) == comparison.compare(run(0), run(1))
    assert comparison.drift(run(0), more) == comparison.drift(run(0), run(1))


def both(seed: int, factor: float, noise: float = 0.03, moods: float = 0.0) -> Json:
    """One run of two backends, whose machine changes from round to round."""
    report = run(seed, noise=noise)
    random = np.random.default_rng(seed)
    mood = random.lognormal(sigma=moods, size=ROUNDS + 1)
    for turn in list(report["turns"]):
        turn["seconds"] *= mood[turn["round"]]
        if turn["participant"] == "a_vae":
            slower = turn["seconds"] / factor * random.lognormal(sigma=noise)
            report["turns"].append({**turn, "participant": "b_vae", "seconds": slower})
    report["backends"].append({"module": "b_vae"})
    return report


def test_two_backends_of_a_run_are_compared_round_by_round() -> None:
    """The machine's moods cancel, by which two runs would differ."""
    found = [comparison.within(both(seed, 1 / 1.2, moods=0.15)) for seed in range(40)]
    assert {ratio.participant for ratios in found for ratio in ratios} == {"b_vae"}
    assert sum({ratio.verdict for ratio in ratios} == {"slower"} for ratios in found) >= 38
    equal = [comparison.within(both(seed, 1.0, moods=0.15)) for seed in range(40)]
    assert sum({ratio.verdict for ratio in ratios} == {"no difference"} for ratios in equal) >= 38
    with pytest.raises(ValueError, match="got one run of one backend, a_vae; expected a second run or a second"):
        comparison.within(run(0))


def test_command_compares_the_backends_of_one_run(write: Callable[..., Path]) -> None:
    shown = CliRunner().invoke(cli.compare, [str(write("a.json", both(0, 0.5)))])
    assert (shown.exit_code, shown.stdout.count("slower")) == (0, 3)
    assert "a.json: compared with a_vae, round by round" in shown.stdout


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
        (lambda report: report["turns"].clear(), "expected a file that vae bench --out wrote"),
        (lambda report: report.pop("format"), "expected a file that vae bench --out wrote"),
        (lambda report: report.update(format=1), "got results of format 1; expected 2 or 3 or 4"),
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
    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: {tmp_path / 'a.json'}: there is no such file; expected results that vae bench --out wrote\n",
    )
