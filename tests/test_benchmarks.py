"""The benchmark measured: what it reports follows from its readings, and it refuses what it must."""

import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

import benchmarks
from benchmarks import cli, data, gate, imports, plan, processes, results, roofline, run, table, worker
from benchmarks.gate import Verdict
from benchmarks.plan import Plan, Turn
from shared import checks, datasets, oracle, parameters, recipe
from shared.datasets import Dataset
from shared.spec import Sizes

ROOT = Path(benchmarks.__file__).parents[1]
SCHEMA = json.loads((ROOT / "benchmarks/schema.json").read_text(encoding="utf-8"))
TINY = Plan(batches=(64,), images=300, repetitions=2, import_repetitions=1, rows=16, turn_seconds=0.0)
PASSED = Verdict(passed=31, skipped=0, refusal="")

PORT = """
import os, time
from shared import oracle
from shared.oracle import describe

print("a port may print what it likes")

def load(params, *, dtype="float32", device="auto"):
    return Port(oracle.load(params, dtype=dtype, device=device))

class Port:
    def __init__(self, model):
        self._model = model

    def __getattr__(self, name):
        if name in ABSENT:
            raise AttributeError(name)
        return getattr(self._model, name)

ABSENT = set()
"""
STEADY = """
    def train(self, x, order, noise):
        until = time.perf_counter() + 0.05
        objectives = self._model.train(x, order, noise)
        time.sleep(max(0.0, until - time.perf_counter()))
        return objectives
"""
SLOW = STEADY.replace("0.05", "0.075")  # half as much again
IDLE = """
    def train(self, x, order, noise):
        return order[:, 0] * x[0, 0]
"""


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads on a busy machine wait for each other: not what is tested here."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture
def ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Writes a module that workers and the suite can import: the oracle with some methods of its own."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{tmp_path}")

    def write(name: str, methods: str = "", absent: str = "set()") -> str:
        own = PORT.replace("\nABSENT = set()", f"{methods}\nABSENT = {absent}")
        (tmp_path / f"{name}.py").write_text(own, encoding="utf-8")
        return name

    return write


@pytest.fixture
def ungated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "grade", lambda _: PASSED)


class Watcher:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.turns: list[str] = []
        self.reasons: dict[str, str] = {}

    def turn(self, number: int, total: int, text: str) -> None:
        self.turns.append(f"{number}/{total} {text}")

    def refused(self, module: str, reason: str) -> None:
        self.reasons[module] = reason


def tiny(count: int = 300) -> Dataset:
    """Random images of 16 pixels."""
    x = np.random.default_rng(0).random((count, 16), dtype=np.float32)
    return Dataset("tiny", x, x[:10], None, None, (4, 4), "0" * 64)


def measure(*modules: str, plan: Plan = TINY) -> run.Measured:
    return run.measure(modules, plan, tiny(), Watcher())


# A whole run, by the command, with one backend that conforms, one that does not and one that is not there ------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("run")
    (folder / "idle_vae.py").write_text(PORT.replace("\nABSENT", f"{IDLE}\nABSENT"), encoding="utf-8")
    (folder / "temporary").mkdir()
    np.save(folder / "images.npy", np.random.default_rng(0).random((100, 16), dtype=np.float32))
    command = [sys.executable, "-m", "benchmarks", "shared.oracle", "idle_vae", "no_such_vae", "--quick"]
    command += ["--data", "images.npy", "--images", "250", "--batch-size", "100", "--batch-size", "64"]
    command += ["--repetitions", "2", "--out", "out.json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": "temporary", "OPENBLAS_NUM_THREADS": "1"}
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
    assert re.fullmatch(r"refused: idle_vae does not conform: training: .* and \d+ more", idle)
    assert missing.startswith("refused: no_such_vae cannot be graded: --vae-backend: cannot import 'no_such_vae'")
    assert error == "Error: not measured: idle_vae, no_such_vae"
    assert [refused["module"] for refused in report["refused"]] == ["idle_vae", "no_such_vae"]
    assert [backend["module"] for backend in report["backends"]] == ["shared.oracle"]
    assert not list((folder / "temporary").iterdir())


def test_results_meet_their_schema(report: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(report)


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
def test_schema_notices_damage(damage: Callable[[dict[str, Any]], object], report: dict[str, Any]) -> None:
    damaged = json.loads(json.dumps(report))
    damage(damaged)
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(damaged)


def test_turns_are_taken_as_planned(report: dict[str, Any]) -> None:
    taken = [(turn["round"], turn["participant"], turn["measure"], turn["batch"]) for turn in report["turns"]]
    us, limit = "shared.oracle", "roofline"
    expected: list[tuple[int, str, str, int | None]] = []
    for number in (1, 2):
        expected += [(number, us, "import_framework", None), (number, us, "import", None)]
    for batch in (100, 64):
        expected += [(0, us, "first_epoch", batch)]
        for number in (1, 2):
            expected += [(number, limit, "products", batch), (number, us, "fit", batch), (number, us, "train", batch)]
    for number in (1, 2):
        expected += [(number, us, measure, None) for measure in ("encode", "decode", "generate")]
    assert taken == expected


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
        limits = rates("roofline", "products", batch)
        check(limit["images_per_second"], limits)
        check(limit["gflops_per_second"], limits * flops / 1e9)
        assert training["difference_from_oracle"] == 0.0  # it is the oracle
        for measure in ("fit", "train"):
            found = rates("shared.oracle", measure, batch)
            assert len(found) == 2
            check(training[measure]["images_per_second"], found)
            check(training[measure]["percent_of_roofline"], 100 * found / limits)
            assert training[measure]["percent_of_roofline"]["q3"] < 100  # float64, and more to do than products
    for measure, spread in backend["inference"].items():
        check(spread, rates("shared.oracle", measure, None))
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


def test_tables_fit_80_columns(finished: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    lines = finished[0].stdout.splitlines()
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "images.npy, its 90 training images repeated to 250" in " ".join(text.split())
    assert re.search(r"^100 +roofline .* 100 %$", text, re.MULTILINE)
    assert (
        len(re.findall(r"^ +oracle +[\d,]+ \([\d.k]+-[\d.k]+\) +\d+ % +[\d,]+ \(.*\) +\d+ %", text, re.MULTILINE)) == 2
    )
    assert lines[-1] == "out.json: every reading"


# Runs without the gate, in this process; the workers are processes all the same -------------------------------------


@pytest.mark.usefixtures("ungated")
def test_slower_training_is_seen(ports: Callable[..., str]) -> None:
    ports("steady_vae", STEADY)
    ports("slow_vae", SLOW, absent="{'generate'}")
    some = Plan(batches=(64,), images=128, repetitions=5, import_repetitions=1, rows=16, turn_seconds=0.0)
    found = results.report(measure("steady_vae", "slow_vae", plan=some))
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
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


@pytest.mark.usefixtures("ungated")
def test_what_computes_something_else_when_timed_is_refused(ports: Callable[..., str]) -> None:
    measured = measure("shared.oracle", ports("idle_vae", IDLE))
    assert list(measured.entries) == ["shared.oracle"]
    assert re.fullmatch(
        r"computes something else when timed: its first steps at batch 64 differ from the oracle by \d\.\de[-+]\d+; "
        r"expected at most 1e-04",
        measured.refused["idle_vae"],
    )
    assert {reading.turn.participant for reading in measured.readings} == {"roofline", "shared.oracle"}


@pytest.mark.usefixtures("ungated")
def test_a_backend_that_breaks_leaves_the_others_alone(ports: Callable[..., str]) -> None:
    ports("dying_vae", "    def decode(self, z):\n        os.write(2, b'out of ideas\\n')\n        os._exit(3)\n")
    ports("raising_vae", "    def encode(self, x):\n        raise ValueError('no more\\nof this')\n")
    measured = measure("dying_vae", "shared.oracle", "raising_vae")
    assert list(measured.entries) == ["shared.oracle"]
    assert measured.refused == {
        "dying_vae": "its process ended with exit code 3 at 'decode': out of ideas",
        "raising_vae": "failed at 'encode': ValueError: no more",
    }


@pytest.mark.usefixtures("ungated")
def test_without_the_roofline_the_run_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(self: processes.Worker, do: str, **request: Any) -> Any:
        if do == "products":
            raise processes.WorkerError("no memory")
        return true(self, do, **request)

    true = processes.Worker.ask
    monkeypatch.setattr(processes.Worker, "ask", ask)
    monkeypatch.setattr(data, "choose", lambda *_, **__: tiny())
    result = CliRunner().invoke(cli.benchmark, ["shared.oracle", "--quick", "--images", "300"])
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "Error: no memory\n")


def test_nothing_is_reported_when_nobody_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "grade", lambda _: Verdict(3, 0, "does not conform: loss: tiny"))
    monkeypatch.setattr(data, "choose", lambda *_, **__: tiny())
    out = tmp_path / "out.json"
    result = CliRunner().invoke(cli.benchmark, ["wrong_vae", "--quick", "--images", "200", "--out", str(out)])
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "refused: wrong_vae does not conform: loss: tiny",
        "Error: not measured: wrong_vae",
    ]
    assert (result.stdout, out.exists()) == ("", False)


INTERRUPTED = """
import sys
from benchmarks import cli, gate
gate.grade = lambda module: gate.Verdict(1, 0, "")
cli.main()
"""


def test_ctrl_c_ends_the_workers_and_says_how_far_it_was(ports: Callable[..., str], tmp_path: Path) -> None:
    ports(
        "endless_vae",
        "    def train(self, x, order, noise):\n"
        "        open('worker.tmp', 'w').write(str(os.getpid()))\n"
        "        os.rename('worker.tmp', 'worker')\n"
        "        time.sleep(600)\n",
    )
    np.save(tmp_path / "images.npy", tiny().train)
    command = [sys.executable, "-c", INTERRUPTED, "endless_vae", "--quick", "--data", "images.npy", "--out", "o.json"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "worker").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of the group
    out, error = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert re.fullmatch(
        r"Interrupted at 3 of \d+: endless_vae, first epoch at batch 128. Nothing was written.\n", error
    )
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "worker").read_text()), 0)
    assert not (tmp_path / "o.json").exists()


# Parts ---------------------------------------------------------------------------------------------------------------


def test_gate_wants_every_chapter(ports: Callable[..., str]) -> None:
    methods = "{'gradients', 'train', 'state', 'load_state'}"
    verdict = gate.grade(ports("forward_vae", absent=methods))
    assert verdict.passed > 5
    assert verdict.refusal.startswith("passes nothing of gradients, training: ")
    assert "absent ability 'train'" in verdict.refusal


def test_participants_take_turns() -> None:
    offers = {"a": ["first_epoch", "fit", "train", "encode"], "b": ["first_epoch", "fit", "train"]}
    some = Plan(batches=(1, 2), images=2, repetitions=2, import_repetitions=1)
    turns = plan.schedule(some, offers)
    assert [(turn.participant, turn.measure) for turn in turns if (turn.round, turn.batch) == (2, 1)] == [
        ("roofline", "products"),
        ("a", "fit"),
        ("b", "fit"),
        ("a", "train"),
        ("b", "train"),
    ]
    assert [turn.participant for turn in turns if turn.measure == "encode"] == ["a", "a"]
    assert len(set(turns)) == len(turns) == 2 * (2 + 2 * 5) + 2
    assert all(one.batch is None or two.batch is None or one.batch <= two.batch for one, two in pairwise(turns))
    assert str(Turn(2, "a", "fit", 1)) == "a, fit at batch 1, round 2"


def test_operations_are_those_of_a_hand_count() -> None:
    forward = 784 * 400 + 400 * 20 + 400 * 20 + 20 * 400 + 400 * 784
    to_weights = forward
    to_inputs = 20 * 400 + 20 * 400 + 400 * 20 + 784 * 400  # all layers but the first
    assert roofline.flops_per_image(Sizes()) == 2 * (forward + to_weights + to_inputs) == 3_280_000
    assert sum(product.flops for product in roofline.products(Sizes(), 128)) == 128 * 3_280_000


def test_roofline_makes_the_products_that_it_counts() -> None:
    sizes = Sizes(16, 8, 3)
    work = roofline.Products(sizes, 5)._work
    made = [(a.shape[0], a.shape[1], b.shape[1]) for a, b, _ in work]
    assert made == [product[1:] for product in roofline.products(sizes, 5)]
    assert len(made) == 14
    assert {array.dtype for triple in work for array in triple} == {np.dtype(np.float32)}
    assert 0 < roofline.Products(sizes, 5).fastest(0.0) < 1.0


def test_train_alone_makes_the_calls_of_the_recipe() -> None:
    x, sizes = tiny().train, Sizes(16, 8, 3)
    replayed, fitted = (oracle.load(parameters.initial(0, sizes)) for _ in range(2))
    calls = worker.train_calls(x, replayed, 64)
    assert [order.shape for order, _ in calls] == [(4, 64), (1, 44)]
    assert worker.checked_steps(calls) == 4  # 16 would be 1,024 images, but there are fewer
    objectives = [replayed.train(x, order, noise) for order, noise in calls]
    (epoch,) = recipe.fit(fitted, x, seed=worker.SEED, epochs=1, batch_size=64)
    np.testing.assert_array_equal(np.concatenate(objectives), epoch.step_objectives)


@pytest.mark.parametrize(
    ("count", "note"),
    [
        (7, "tiny, the first 7 of its 300 training images"),
        (300, "tiny, its 300 training images"),
        (750, "tiny, its 300 training images repeated to 750"),
    ],
)
def test_images_are_cut_or_repeated(count: int, note: str, tmp_path: Path) -> None:
    dataset = tiny()
    images = data.write(dataset, count, tmp_path)
    x = data.read_frozen(images.path)
    assert str(images) == note
    assert checks.is_frozen(x)
    np.testing.assert_array_equal(x, dataset.train[np.arange(count) % 300], strict=True)


def test_mnist_is_chosen_where_it_is_at_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def load(name: str, *, data_dir: str | None = None) -> Any:
        if data_dir == "without":
            raise FileNotFoundError(data_dir)
        return name, data_dir

    monkeypatch.setattr(datasets, "load", load)
    choices: list[Any] = []
    for folder in ("", "with", "without"):
        monkeypatch.setenv("VAE_DATA", folder)
        choices += [data.choose(None, quick=False), data.choose(None, quick=True), data.choose("mnist", quick=True)]
    usual, named = ("mnist-5k", None), ("mnist", None)
    assert choices == [usual, usual, named, ("mnist", "with"), usual, named, usual, usual, named]


def test_framework_is_what_a_module_imports_from_elsewhere() -> None:
    source = """
from __future__ import annotations
import os, numpy as np, their_pkg.part
from flax import nnx
from shared import spec
from their_pkg import more
from . import sibling
def later():
    import torch
"""
    assert imports.foreign(source, "their_pkg.vae") == ["import numpy as np", "from flax import nnx"]
    jax = (ROOT / "implementations/jax_vae.py").read_text(encoding="utf-8")
    packages = {statement.split()[1].partition(".")[0] for statement in imports.foreign(jax, "implementations.jax_vae")}
    assert packages == {"jax", "numpy", "optax", "flax"}


def test_import_is_timed_in_a_fresh_process() -> None:
    assert imports.seconds("import time; print('hello'); time.sleep(0.2)") >= 0.2
    with pytest.raises(RuntimeError, match=r"^ModuleNotFoundError: No module named 'no_such_vae'$"):
        imports.seconds("import no_such_vae")


def test_spread_of_one_value_is_that_value() -> None:
    assert results.spread([3.0]) == (3.0, 3.0, 3.0)
    assert results.spread([4.0, 1.0, 3.0, 2.0, 5.0]) == (3.0, 2.0, 4.0)


def test_an_ended_worker_may_be_ended_again() -> None:
    with processes.Worker("--roofline") as limit:
        limit.end()
        with pytest.raises((processes.WorkerError, ValueError)):
            limit.ask("close")


# The command ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shared.oracle", "shared.oracle"], "MODULE: got 'shared.oracle' 2 times; expected each once"),
        (["os; x"], "MODULE: got 'os; x'; expected a dotted name, as in an import statement"),
        (
            ["--quick", "--images", "100"],
            "batch size: got 128; expected at most an epoch's 100 images",
        ),
        (["--data", "cifar"], "data: got 'cifar'; expected mnist-5k, mnist, or a path ending in .npy or .npz"),
        (["--out", "table.txt"], "--out: got 'table.txt'; expected a name that ends in .json"),
        (["--out", "gone/x.json"], "--out: got 'gone/x.json'; there is no folder 'gone'"),
        (["--out", "here.json"], "--out: 'here.json' exists; --force replaces it"),
    ],
)
def test_bad_input_is_told_in_one_line_before_the_work(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here.json").write_text("{}", encoding="utf-8")
    modules = [] if arguments[0].startswith(("shared", "os")) else ["shared.oracle"]
    result = CliRunner().invoke(cli.benchmark, [*modules, *arguments])
    assert (result.exit_code, result.stderr, result.stdout) == (2, f"Error: {message}\n", "")


def test_ours_are_measured_when_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    present: set[str] = set()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name in present or None)
    with pytest.raises(ModuleNotFoundError, match=r"try: pip install 'vae-rosetta\[all\]'"):
        cli._modules(())
    present |= {"implementations", "jax", "flax", "optax", "tensorflow"}  # Keras is missing
    assert cli._modules(()) == ["implementations.jax_vae"]
    assert cli._modules(("my_pkg.my_vae",)) == ["my_pkg.my_vae"]


def test_help_is_the_protocol_and_loads_nothing_heavy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "benchmarks", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    imported = set(re.findall(r"^import time:.*\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert done.returncode == 0
    for word in ("Gate", "A B C A B C", "fit", "train", "Roofline", "Memory"):
        assert word in done.stdout
    assert {"benchmarks.cli", "click"} <= imported, "the list of imports was not read"
    assert not imported & {"numpy", "rich", "torch", "tensorflow", "jax"}
