"""A run over several processes, by pytest-xdist, ends with the certificate of the same run in one process."""

import json
from pathlib import Path
from typing import Any

import pytest

from vae_rosetta.conformance.meta.strangers import WHOLE, WRONG, grade

pytest.importorskip("xdist")

CRASHES = """\
import os
from vae_rosetta.shared import oracle
from vae_rosetta.shared.oracle import describe

class Model(oracle.Oracle):
    def losses(self, x, noise):
        os._exit(9)

def load(params, *, dtype="float32", device="auto"):
    return Model(oracle.load(params, dtype=dtype, device=device).params(), dtype)
"""


def _certificate(folder: Path) -> Any:
    found = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    del found["run"]["date"]
    return found


def test_certificate_is_that_of_one_process(tmp_path: Path) -> None:
    """Wrong answers are explained, declared ones deviate, and what was left out is counted."""
    entry = '[[deviation]]\ncase = "loss/tiny in float64"\nreason = "a mean"\n'
    (tmp_path / "d.toml").write_text(entry, encoding="utf-8")
    options = ("-k", "test_loss and vector", "--deviations", "d.toml", "--report", "out.json")
    alone = grade(tmp_path, WRONG, *options)
    expected = _certificate(tmp_path)
    several = grade(tmp_path, WRONG, *options, "-n", "2")
    assert (alone.returncode, several.returncode) == (1, 1), several.stdout + several.stderr
    assert _certificate(tmp_path) == expected
    assert expected["counts"]["deviating"] == 1
    assert expected["causes"][0]["cause"] == "kl-latent-mean"
    marks = ("cause:", "fails:", "incomplete:", "verdict:", "deviates:", "  1. ")
    said = [sorted(line for line in run.stdout.splitlines() if line.startswith(marks)) for run in (alone, several)]
    assert said[0] == said[1]


def test_process_that_dies_fails_its_case_and_no_other(tmp_path: Path) -> None:
    run = grade(tmp_path, CRASHES, "-k", "test_forward or (test_loss and tiny)", "-n", "1", "--report", "out.json")
    assert run.returncode == 1, run.stdout + run.stderr
    found = _certificate(tmp_path)
    assert [(e["case"], e["dtype"], e["fault"]) for e in found["failures"]] == [
        ("loss/tiny", "float32", "error"),
        ("loss/tiny", "float64", "error"),
    ]
    assert "crashed while running" in found["failures"][0]["message"]
    forward = next(chapter for chapter in found["chapters"] if chapter["name"] == "forward")
    assert forward["verdict"] == "conforms"
    assert "INTERNALERROR" not in run.stdout + run.stderr


def test_deviation_that_names_no_case_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text('[[deviation]]\ncase = "loss/tinny"\nreason = "x"\n', encoding="utf-8")
    run = grade(tmp_path, WHOLE, "-k", "tiny", "--deviations", "d.toml", "-n", "2", "--report", "out.json")
    assert run.returncode == 2, run.stdout + run.stderr
    assert "Error: --deviations: d.toml: entry 1: case: got 'loss/tinny'" in run.stderr
    assert "Traceback" not in run.stdout + run.stderr
    assert not (tmp_path / "out.json").exists()
