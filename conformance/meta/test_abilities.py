"""A port that lacks an ability, or float64, is graded on the rest; what it lacks is counted, and never as passed."""

from pathlib import Path
from typing import Final

import pytest

from vae_rosetta.conformance.meta.strangers import by, grade, partial, read

# The oracle on a device without float64.
NARROW: Final = """\
from vae_rosetta.shared import oracle
from vae_rosetta.shared.oracle import describe

def load(params, *, dtype="float32", device="auto"):
    if dtype {refused}:
        raise {error}
    return oracle.load(params, dtype=dtype, device=device)
"""


@pytest.mark.parametrize(
    ("methods", "absent"),
    [
        ((), {"gradients", "training", "checkpoint", "sampling"}),
        (("gradients",), {"training", "checkpoint", "sampling"}),
        (("train", "sample"), {"gradients", "training", "checkpoint", "sampling"}),
    ],
    ids=["forward alone", "with gradients", "with training and sampling in part"],
)
def test_partial_port_is_graded_on_what_it_has(methods: tuple[str, ...], absent: set[str], tmp_path: Path) -> None:
    run = grade(tmp_path, partial(*methods), "--report", "out.json")
    assert run.returncode == 0, run.stdout + run.stderr
    found = read(tmp_path / "out.json")
    chapters = by(found["chapters"], "name")
    assert {name for name, chapter in chapters.items() if chapter["verdict"] == "absent"} == absent
    assert not any(chapters[name]["counts"]["passed"] for name in absent)
    assert {chapter["verdict"] for name, chapter in chapters.items() if name not in absent} == {"conforms"}
    assert by(found["clauses"], "id")["adam"]["verdict"] == "absent"
    assert found["verdict"] == "conforms"
    assert {entry["reason"].partition(" no ")[0] for entry in found["absent"]} == {"the model has"}
    assert "train" in by(found["absent"], "ability")
    assert "verdict: conforms, as far as its abilities go" in run.stdout


def test_port_without_float64_is_graded_on_float32(tmp_path: Path) -> None:
    source = NARROW.format(refused='!= "float32"', error="ValueError('dtype: float32 alone')")
    run = grade(tmp_path, source, "--report", "out.json")
    assert run.returncode == 0, run.stdout + run.stderr
    found = read(tmp_path / "out.json")
    assert (found["verdict"], found["incomplete"], found["run"]["dtypes"]) == ("conforms", [], ["float32"])
    reason = "load(params, dtype='float64') raises ValueError: dtype: float32 alone"
    assert found["absent"] == [{"ability": "float64", "reason": reason}]
    for chapter in found["chapters"]:
        assert {dtype: graded["verdict"] for dtype, graded in chapter["dtypes"].items()} == {
            "float32": "conforms",
            "float64": "absent",
        }
        assert not chapter["dtypes"]["float64"]["counts"]["passed"]
    assert "verdict: conforms, as far as its abilities go" in run.stdout
    assert f"absent: float64: {reason}" in run.stdout


def test_refusal_may_name_the_precision(tmp_path: Path) -> None:
    """As frameworks do, over several lines."""
    source = NARROW.format(refused='== "float64"', error="TypeError('the device has no float64\\nbuy another')")
    assert grade(tmp_path, source, "-k", "test_contract", "--report", "out.json").returncode == 0
    (absent,) = read(tmp_path / "out.json")["absent"]
    assert absent["reason"] == "load(params, dtype='float64') raises TypeError: the device has no float64"


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        ('== "float64"', "RuntimeError('dtype float64 crashed the driver')"),  # no refusal
        ('== "float64"', "ValueError('no more memory')"),  # of something else
        ("is not None", "ValueError('dtype: got nothing that I know')"),  # of float32 too
        ('== "float32"', "ValueError('dtype: got float32; expected float64')"),  # which every port has
    ],
)
def test_other_ports_that_do_not_load_fail(refused: str, error: str, tmp_path: Path) -> None:
    run = grade(tmp_path, NARROW.format(refused=refused, error=error), "-k", "test_contract", "--report", "out.json")
    assert run.returncode == 1, run.stdout + run.stderr
    found = read(tmp_path / "out.json")
    assert (found["verdict"], found["absent"]) == ("does not conform", [])


def test_port_without_float64_that_is_graded_there_alone_is_not_certified(tmp_path: Path) -> None:
    source = NARROW.format(refused='!= "float32"', error="ValueError('dtype: float32 alone')")
    assert grade(tmp_path, source, "--vae-dtype", "float64", "--report", "out.json").returncode == 0
    found = read(tmp_path / "out.json")
    assert (found["verdict"], found["counts"]["passed"], found["run"]["dtypes"]) == ("incomplete", 0, [])


def test_every_model_is_on_the_device_that_was_asked_for(tmp_path: Path) -> None:
    source = """\
from vae_rosetta.shared import oracle
from vae_rosetta.shared.oracle import describe

def load(params, *, dtype="float32", device="auto"):
    model = oracle.load(params, dtype=dtype, device=device)  # refuses what a port must
    assert device == "cpu", device
    return model
"""
    options = ("-k", "contract or forward or errors")
    run = grade(tmp_path, source, "--device", "cpu", *options)
    assert run.returncode == 0, run.stdout + run.stderr
    assert grade(tmp_path, source, *options).returncode == 1
