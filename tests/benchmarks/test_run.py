"""Runs of slow, wrong and broken backends, without the gate, in this process; the workers are processes as ever."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from vae_rosetta.benchmarks import cli, data, gate, peers, processes, products, results, run, table
from vae_rosetta.benchmarks.gate import Verdict
from vae_rosetta.benchmarks.plan import QUICK, Plan
from vae_rosetta.shared.datasets import Dataset

TINY = Plan(batches=(64,), images=300, repetitions=2, import_repetitions=1, rows=16, turn_seconds=0.0)
PASSED = Verdict(passed=31, skipped=0, refusal="")

STEADY = """
    def train(self, x, order, noise):
        until = time.perf_counter() + 0.05
        objectives = self._model.train(x, order, noise)
        time.sleep(max(0.0, until - time.perf_counter()))
        return objectives
"""
SLOW = STEADY.replace("0.05", "0.075")  # half as much again


@pytest.fixture
def ungated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "grade", lambda *_: PASSED)
    monkeypatch.setattr(products, "installed", lambda *_: ["numpy"])  # whatever else there is


class Watcher:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.turns: list[str] = []
        self.reasons: dict[str, str] = {}

    def turn(self, number: int, total: int, text: str) -> None:
        self.turns.append(f"{number}/{total} {text}")

    def refused(self, module: str, reason: str) -> None:
        self.reasons[module] = reason


@pytest.fixture
def measure(tiny: Dataset) -> Callable[..., run.Measured]:
    """Measures the modules on the tiny images."""

    def call(*modules: str, plan: Plan = TINY, peer_names: Sequence[str] = ()) -> run.Measured:
        return run.measure(modules, plan, tiny, Watcher(), peer_names=peer_names)

    return call


@pytest.mark.usefixtures("ungated")
def test_slower_training_is_seen(
    ports: Callable[..., str], measure: Callable[..., run.Measured], schema: dict[str, Any]
) -> None:
    ports("steady_vae", STEADY)
    ports("slow_vae", SLOW, absent="{'generate'}")
    some = Plan(batches=(64,), images=128, repetitions=5, import_repetitions=1, rows=16, turn_seconds=0.0)
    found = results.report(measure("steady_vae", "slow_vae", plan=some))
    jsonschema.Draft202012Validator(schema).validate(found)
    taken = [turn["participant"] for turn in found["turns"] if turn["measure"] == "train"]
    assert taken == ["steady_vae", "slow_vae"] * 5
    steady, slow = found["backends"]
    for kind in ("fit", "train"):
        fast, slower = (backend["training"][0][kind]["images_per_second"] for backend in (steady, slow))
        assert 1.3 < fast["median"] / slower["median"] < 1.7
        assert fast["q1"] > slower["q3"]
    assert (steady["inference"]["generate"] is None, slow["inference"]["generate"] is None) == (False, True)
    assert slow["import_seconds"]["framework"] is None  # it is built on nothing but the oracle
    assert not [turn for turn in found["turns"] if (turn["participant"], turn["measure"]) == ("slow_vae", "generate")]
    console = Console(width=80, file=io.StringIO(), record=True)
    table.show(found, "tiny", console)
    assert re.search(r"^slow_vae .*\) +- *$", console.export_text(), re.MULTILINE)  # no images/s for generate


LOADED = """
    pass

def load(params, *, dtype="float32", device="auto"):
    assert dtype == "mixed_bfloat16"
    return Port(oracle.load(params, device=device))
"""


@pytest.mark.usefixtures("ungated")
def test_mixed_precision_is_loaded_and_told(
    ports: Callable[..., str], measure: Callable[..., run.Measured], schema: dict[str, Any]
) -> None:
    ports("mixed_vae", LOADED)
    found = results.report(measure("mixed_vae", plan=replace(TINY, dtype="mixed_bfloat16")))
    jsonschema.Draft202012Validator(schema).validate(found)
    assert (found["protocol"]["dtype"], found["protocol"]["agreement_limit"]) == ("mixed_bfloat16", 1e-2)
    console = Console(width=80, file=io.StringIO(), record=True)
    table.show(found, "tiny", console)
    assert "model: 16-400-20, mixed_bfloat16; data: tiny" in console.export_text()


def test_peers_do_not_compute_in_bfloat16() -> None:
    result = CliRunner().invoke(cli.bench, ["vae_rosetta.shared.oracle", "--precision", "bf16", "--peers"])
    assert result.exit_code == 2
    assert result.stderr == "Error: --precision: got bf16 and peers, who compute in float32; expected one of the two\n"


PEER = """
import time
import numpy as np
class PeerModel:
    versions = {"numpy": np.__version__}
    differs = "it only sleeps"
    def start(self, x, batch):
        self.batch = batch
    def epoch(self):
        time.sleep(0.05)
        return 123.5
    def test(self, x):
        return 11.5
"""


@pytest.mark.usefixtures("ungated")
def test_peers_are_measured_beside_the_backends(
    ports: Callable[..., str],
    measure: Callable[..., run.Measured],
    schema: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "lazy_peer.py").write_text(PEER, encoding="utf-8")
    monkeypatch.setattr(peers, "KNOWN", {"lazy": peers.Known("lazy_peer")})
    plan = replace(TINY, target=12.0, target_repetitions=2)
    found = results.report(measure("vae_rosetta.shared.oracle", plan=plan, peer_names=["lazy"]))
    jsonschema.Draft202012Validator(schema).validate(found)
    (peer,) = found["peers"]
    assert (peer["name"], peer["differs"], peer["packages"]) == ("lazy", "it only sleeps", {"numpy": np.__version__})
    assert peer["training"][0]["first_epoch_objective"] == 123.5
    assert 300 / 0.2 < peer["training"][0]["fit"]["images_per_second"]["median"] < 300 / 0.05
    for measured in ("fit", "target"):
        taken = [turn["participant"] for turn in found["turns"] if turn["measure"] == measured]
        assert taken == ["vae_rosetta.shared.oracle", "lazy"] * 2
    assert peer["target"]["test"] == [11.5, 11.5]
    assert found["backends"][0]["target"]["epochs"] == [1, 1]
    assert peer["target"]["seconds"]["median"] > 0.05
    console = Console(width=80, file=io.StringIO(), record=True)
    table.show(found, "tiny", console)
    text = console.export_text()
    assert re.search(r"^ +lazy +[\d,]+ ", text, re.MULTILINE)
    assert "differs: it only sleeps" in " ".join(text.split())


@pytest.mark.usefixtures("ungated")
def test_who_never_reaches_the_target_is_refused(
    measure: Callable[..., run.Measured],
) -> None:
    measured = measure("vae_rosetta.shared.oracle", plan=replace(TINY, target=1.0))
    assert measured.refused["vae_rosetta.shared.oracle"].endswith("after 30 epochs; expected 1 nats")
    assert not measured.entries


@pytest.mark.usefixtures("ungated")
def test_what_computes_something_else_when_timed_is_refused(
    ports: Callable[..., str], measure: Callable[..., run.Measured], idle: str
) -> None:
    measured = measure("vae_rosetta.shared.oracle", ports("idle_vae", idle))
    assert list(measured.entries) == ["vae_rosetta.shared.oracle"]
    assert re.fullmatch(
        r"computes something else when timed: its first steps at batch 64 differ from the oracle by \d\.\de[-+]\d+; "
        r"expected at most 1e-04",
        measured.refused["idle_vae"],
    )
    assert {reading.turn.participant for reading in measured.readings} == {
        "roofline:numpy",
        "vae_rosetta.shared.oracle",
    }


@pytest.mark.usefixtures("ungated")
def test_a_backend_that_breaks_leaves_the_others_alone(
    ports: Callable[..., str], measure: Callable[..., run.Measured]
) -> None:
    ports("dying_vae", "    def decode(self, z):\n        os.write(2, b'out of ideas\\n')\n        os._exit(3)\n")
    ports("raising_vae", "    def encode(self, x):\n        raise ValueError('no more\\nof this')\n")
    measured = measure("dying_vae", "vae_rosetta.shared.oracle", "raising_vae")
    assert list(measured.entries) == ["vae_rosetta.shared.oracle"]
    assert measured.refused == {
        "dying_vae": "its process ended with exit code 3 at 'decode': out of ideas",
        "raising_vae": "failed at 'encode': ValueError: no more",
    }


@pytest.mark.usefixtures("ungated")
def test_without_the_roofline_the_run_ends(monkeypatch: pytest.MonkeyPatch, tiny: Dataset) -> None:
    def ask(self: processes.Worker, do: str, **request: Any) -> Any:
        if do == "products":
            raise processes.WorkerError("no memory")
        return true(self, do, **request)

    true = processes.Worker.ask
    monkeypatch.setattr(processes.Worker, "ask", ask)
    monkeypatch.setattr(data, "choose", lambda *_, **__: tiny)
    result = CliRunner().invoke(cli.bench, ["vae_rosetta.shared.oracle", "--quick", "--images", "300"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "refused: roofline:numpy no memory\nError: no memory\n"


def test_nothing_is_reported_when_nobody_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Dataset
) -> None:
    monkeypatch.setattr(gate, "grade", lambda *_: Verdict(3, 0, "does not conform: loss: tiny"))
    monkeypatch.setattr(data, "choose", lambda *_, **__: tiny)
    (tmp_path / "wrong_vae.py").touch()
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out.json"
    result = CliRunner().invoke(cli.bench, ["wrong_vae", "--quick", "--images", "200", "--out", str(out)])
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "refused: wrong_vae does not conform: loss: tiny",
        "Error: not measured: wrong_vae",
    ]
    assert (result.stdout, out.exists()) == ("", False)


INTERRUPTED = """
import sys
from vae_rosetta.benchmarks import cli, gate
gate.grade = lambda module, dtype: gate.Verdict(1, 0, "")
cli.bench()
"""


def test_ctrl_c_ends_the_workers_and_says_how_far_it_was(
    ports: Callable[..., str], tmp_path: Path, tiny: Dataset
) -> None:
    ports(
        "endless_vae",
        "    def train(self, x, order, noise):\n"
        "        open('worker.tmp', 'w').write(str(os.getpid()))\n"
        "        os.rename('worker.tmp', 'worker')\n"
        "        time.sleep(600)\n",
    )
    np.save(tmp_path / "images.npy", tiny.train)
    command = [sys.executable, "-c", INTERRUPTED, "endless_vae", "--quick", "--data", "images.npy", "--out", "o.json"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 180  # installed frameworks are imported first, for the roofline
    while not (tmp_path / "worker").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of the group
    out, error = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    turn = QUICK.import_repetitions + 1
    assert re.fullmatch(
        rf"Interrupted at {turn} of \d+: endless_vae, first epoch at batch 128. Nothing was written.\n", error
    )
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "worker").read_text()), 0)
    assert not (tmp_path / "o.json").exists()
