"""`benchmarks/gpu.sh`: that a part which hangs, fails or lacks a package costs the others nothing, and what is told."""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from vae_rosetta.benchmarks.gpu import curves, images, plan, table
from vae_rosetta.benchmarks.gpu.plan import Part
from vae_rosetta.benchmarks.gpu.run import DONE, FAILED, LATE, MISSING, Outcome, Run
from vae_rosetta.shared import oracle

FAKES = {
    "hangs": "    yield Finding('found before', 1.0)\n    __import__('subprocess').run(['sleep', '60'])",
    "fails": "    yield Finding('found before', 2.0, '', True)\n    raise ValueError('a reason')",
    "works": "    yield Finding('an answer', float('nan'), 's', True, 'a [note]')",
    "wrong": "    yield Finding('an answer', 3.0, 's', False)",
}


@pytest.fixture
def fakes(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of these kinds are the modules above, in the part's own process."""
    head = "from vae_rosetta.benchmarks.gpu.finding import Finding\ndef findings(part, amounts):\n"
    for name, body in FAKES.items():
        (tmp_path / f"fake_{name}.py").write_text(f"{head}{body}\n", encoding="utf-8")
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if sys.argv[0] == '-m' and 'gpu.part' in ' '.join(sys.orig_argv):\n"
        "    from vae_rosetta.benchmarks.gpu import plan\n"
        "    plan.HERE = 'fake'\n"
        "    import importlib\n"
        "    real = importlib.import_module\n"
        "    importlib.import_module = lambda name: real(name.replace('fake.', 'fake_'))\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{root}")


def _part(kind: str, *, seconds: float = 30.0, alone: bool = False, needs: tuple[str, ...] = ()) -> Part:
    return Part(kind, "a-port", "", "cpu", seconds, needs, alone=alone)


def _run(*parts: Part, seconds: float = 60.0) -> list[Outcome]:
    outcomes: list[Outcome] = []
    Run(seconds, outcomes.append).all(parts, together=2)
    return outcomes


@pytest.mark.usefixtures("fakes")
def test_what_hangs_fails_or_is_missing_costs_the_others_nothing() -> None:
    started = time.monotonic()
    found = _run(
        _part("works", alone=True),
        _part("hangs", seconds=3.0),
        _part("fails"),
        _part("lacking", needs=("json", "no_such_package")),
        _part("wrong"),
    )
    assert time.monotonic() - started < 30
    states = {outcome.part.kind: (outcome.state, outcome.good) for outcome in found}
    assert states == {
        "hangs": (LATE, False),
        "fails": (FAILED, False),
        "lacking": (MISSING, True),
        "wrong": (DONE, False),
        "works": (DONE, True),
    }
    assert found[-1].part.kind == "works", "what is timed comes last, and alone"
    why = {outcome.part.kind: outcome.why for outcome in found}
    assert why == {
        "hangs": "ended after 3 s",
        "fails": "exit code 1: ValueError: a reason",
        "lacking": "not installed: no_such_package",
        "wrong": "",
        "works": "",
    }
    kept = {outcome.part.kind: [finding["value"] for finding in outcome.findings] for outcome in found}
    assert kept == {"hangs": [1.0], "fails": [2.0], "lacking": [], "wrong": [3.0], "works": ["nan"]}
    json.dumps([outcome.json() for outcome in found], allow_nan=False)
    text = io.StringIO()
    table.show(found, Console(file=text, width=80))
    lines = [" ".join(line.split()) for line in text.getvalue().splitlines()]
    assert "not run not installed: no_such_package" in lines
    assert "an answer nan s a [note]" in lines
    assert "an answer 3 s WRONG" in lines


@pytest.mark.usefixtures("fakes")
def test_the_run_has_a_limit_too() -> None:
    found = _run(_part("hangs"), _part("works", alone=True), seconds=2.0)
    assert [(outcome.state, len(outcome.findings)) for outcome in found] == [(LATE, 1), (LATE, 0)]


def test_real_parts_on_the_oracle() -> None:
    """The parts that a port goes through, with a port that needs no framework."""
    kinds = ("certificate", "seeds", "curves", "throughput", "uses")
    dtypes = {"certificate": "float32", "throughput": "float32"}
    found = _run(*(Part(kind, "oracle", dtypes.get(kind, ""), "cpu", 60.0) for kind in kinds))
    told = {outcome.part.kind: {f["what"]: f["value"] for f in outcome.findings} for outcome in found}
    assert all(outcome.state == DONE and outcome.good for outcome in found), found
    assert told["certificate"]["factors of matrix products"] == 24
    assert told["certificate"]["cases passed"] > 10
    assert told["seeds"] == {"alarms, seeds 0 to 0": 0}
    assert told["curves"]["float64: all 5 steps differ by"] == 0.0
    assert told["throughput"]["batch 512: fit"] > 0
    assert told["uses"]["a .vaez from the device"] == "the CPU's, to the bit"


def test_shares_are_of_the_same_batch_and_precision() -> None:
    def outcome(kind: str, subject: str, variant: str, rates: dict[str, float]) -> Outcome:
        found = [
            {"what": what, "value": rate, "unit": "images/s", "good": None, "note": ""} for what, rate in rates.items()
        ]
        return Outcome(Part(kind, subject, variant, "cuda", 1.0), DONE, "", 1.0, found)

    told = [
        *table.shares(
            [
                outcome("throughput", "jax", "float32", {"batch 128: fit": 900.0, "batch 128: train": 950.0}),
                outcome("listing", "torch", "", {"batch 128: fit": 300.0, "batch 2048: fit": 100.0}),
                outcome("products", "torch", "", {"batch 128: products, float32": 1000.0}),
                outcome("products", "jax", "", {"batch 128: products, float32": 1800.0}),
                outcome("throughput", "torch", "mixed_bfloat16", {"batch 512: fit": 1.0}),
            ]
        )
    ]
    assert told == ["jax float32, batch 128: fit is 3.0 times the listing's loop, 50 % of the products"]


def test_parts_are_chosen_by_words_in_their_names() -> None:
    assert {part.subject for part in plan.parts("cuda", ["jax"])} == {"jax"}
    everything = plan.parts("cuda")
    assert {(part.device, part.amounts) for part in everything} == {("cuda", "full"), ("cpu", "full")}
    assert {(part.device, part.amounts) for part in plan.parts("cpu")} == {("cpu", "small")}
    assert len({part.name for part in everything}) == len(everything)
    with pytest.raises(ValueError, match="--part: got 'gpu'; expected a part of a name"):
        plan.parts("cuda", ["gpu"])


def test_generated_images_look_like_digits_to_a_model() -> None:
    x = images.generated(200)
    assert x.shape == (200, 784)
    assert x.dtype == np.float32
    assert (x.min(), x.max()) == (0.0, 1.0)
    np.testing.assert_array_equal(x, images.generated(200), strict=True)
    np.testing.assert_array_equal(x[:50], images.generated(50), strict=True)
    assert 0.05 < x.mean() < 0.3, "MNIST's is 0.13"
    objectives = curves.curve(oracle, images.generated(512), 4, "float32", "cpu")
    assert objectives[-1] < 0.6 * objectives[0], "there is something to learn"


def test_command(root: Path, tmp_path: Path) -> None:
    """The parts of a package that is not there are lines; a GPU that is not there is an error, in one line."""
    out = tmp_path / "gpu.json"
    script = [str(root / "benchmarks/gpu.sh"), "--out", str(out)]
    environment = {**os.environ, "PYTHON": sys.executable, "DEVICE": "cpu", "PYTHONPATH": ""}
    if (root / "vae_rosetta").is_symlink() or not Path(script[0]).exists():
        pytest.skip("no checkout")
    listed = subprocess.run([*script, "--list"], env=environment, capture_output=True, text=True, check=True)
    assert "certificate torch float32" in listed.stdout
    out.write_text("", encoding="utf-8")
    refused = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr) == (2, f"Error: --out: '{out}' exists; --force replaces it\n")
    blocked = "import sys\nsys.modules.update(torch=None, tensorflow=None, jax=None)\n"
    (tmp_path / "sitecustomize.py").write_text(blocked, encoding="utf-8")
    lacking = {**environment, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run([*script, "--force"], env=lacking, capture_output=True, text=True, check=False)
    assert run.returncode == 1, "nothing was found out"
    assert [part["state"] for part in json.loads(out.read_text(encoding="utf-8"))["parts"]] == [
        MISSING for _ in plan.parts("cpu")
    ]
    assert run.stdout.count("not installed: torch") >= 5
    environment |= {"DEVICE": "cuda", "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    refused = subprocess.run([*script, "--force"], env=environment, capture_output=True, text=True, check=False)
    if refused.returncode == 2:  # no GPU here
        expected = "Error: --device: got 'cuda', but there is no NVIDIA GPU here; expected cpu (DEVICE=cpu)\n"
        assert refused.stderr == expected
