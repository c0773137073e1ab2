"""The parts, each alone: gate, order of the turns, roofline, images, imports, spread, workers."""

import importlib.util
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vae_rosetta.benchmarks import (
    data,
    gate,
    imports,
    limits,
    machine,
    peers,
    plan,
    processes,
    products,
    results,
    worker,
)
from vae_rosetta.benchmarks.plan import Plan, Turn
from vae_rosetta.benchmarks.products import shapes
from vae_rosetta.shared import checks, datasets, oracle, parameters, recipe
from vae_rosetta.shared.datasets import Dataset
from vae_rosetta.shared.spec import Sizes


def test_gate_wants_every_chapter(ports: Callable[..., str]) -> None:
    methods = "{'gradients', 'train', 'state', 'load_state'}"
    verdict = gate.grade(ports("forward_vae", absent=methods))
    assert verdict.passed > 5
    assert verdict.refusal.startswith("passes nothing of gradients, training: ")
    assert "it lacks gradients (the model has no gradients)" in verdict.refusal


MIXED = """
    pass

def load(params, *, dtype="float32", device="auto"):
    if dtype == "mixed_bfloat16":  # as exact as can be: that is no bug
        dtype = "float32"
    return Port(oracle.load(params, dtype=dtype, device=device))
"""

# Its forward pass is wrong; it does not train, so that what bfloat16 may do to training need not be derived once more.
HALF = """
class Half(Port):
    def train(self, x, order, noise):
        raise RuntimeError("in vain")
"""


def test_gate_of_mixed_precision(ports: Callable[..., str]) -> None:
    assert gate.grade(ports("mixed_vae", MIXED), checks.MIXED).refusal == ""
    refusal = gate.grade(ports("unmixed_vae"), checks.MIXED).refusal
    assert refusal.startswith("unmixed_vae offers no mixed precision: load(params, dtype='mixed_bfloat16') raises")
    half = MIXED.replace('dtype = "float32"', "return Half(oracle.load({k: v / 2 for k, v in params.items()}))")
    refusal = gate.grade(ports("half_vae", half + HALF), checks.MIXED).refusal
    assert refusal.startswith("half_vae in mixed precision: does not conform: ")
    assert refusal.endswith(" vectors fail, forward/tiny first")


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16", False),
        ("Features\t: fp asimd bf16", False),
        ("flags\t\t: fpu avx2", True),
        ("processor: 0", False),
    ],
)
def test_cpu_without_bfloat16_is_known(text: str, lacks: bool, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(f"model name: x\n{text}\n", encoding="utf-8")
    assert machine.lacks_bfloat16(tmp_path / "cpuinfo") is lacks
    assert machine.lacks_bfloat16(tmp_path / "none") is False


def test_participants_take_turns() -> None:
    offers = {
        "a": ["first_epoch", "fit", "train", "encode"],
        "b": ["first_epoch", "fit", "train"],
        "r": ["products", "traffic"],
    }
    some = Plan(batches=(1, 2), images=2, repetitions=2, import_repetitions=1)
    turns = plan.schedule(some, offers)
    assert [(turn.participant, turn.measure) for turn in turns if (turn.round, turn.batch) == (2, 1)] == [
        ("r", "products"),
        ("r", "traffic"),
        ("a", "train"),
        ("a", "fit"),
        ("b", "train"),
        ("b", "fit"),
    ]
    first = [turn.measure for turn in turns if (turn.round, turn.batch, turn.participant) == (1, 1, "a")]
    assert first == ["fit", "train"]
    assert [turn.participant for turn in turns if turn.measure == "encode"] == ["a", "a"]
    assert len(set(turns)) == len(turns) == 2 * (2 + 2 * 6) + 2
    assert all(one.batch is None or two.batch is None or one.batch <= two.batch for one, two in pairwise(turns))
    mine = [(turn.measure, turn.batch) for turn in turns if (turn.round, turn.participant) == (2, "a")]
    assert mine[-5:] == [("train", 1), ("fit", 1), ("encode", None), ("train", 2), ("fit", 2)]
    assert str(Turn(2, "a", "fit", 1)) == "a, fit at batch 1, round 2"


def test_operations_are_those_of_a_hand_count() -> None:
    forward = 784 * 400 + 400 * 20 + 400 * 20 + 20 * 400 + 400 * 784
    to_weights = forward
    to_inputs = 20 * 400 + 20 * 400 + 400 * 20 + 784 * 400  # all layers but the first
    assert shapes.flops_per_image(Sizes()) == 2 * (forward + to_weights + to_inputs) == 3_280_000
    assert sum(product.flops for product in shapes.products(Sizes(), 128)) == 128 * 3_280_000


def test_roofline_makes_the_products_that_it_counts() -> None:
    sizes = Sizes(16, 8, 3)
    factors = shapes.operands(sizes, 5)
    made = [(a.shape[0], a.shape[1], b.shape[1]) for a, b in factors]
    assert made == [product[1:] for product in shapes.products(sizes, 5)]
    assert len(made) == 14
    assert {array.dtype for pair in factors for array in pair} == {np.dtype(np.float32)}
    assert 0 < shapes.fastest(products.step("numpy", sizes, 5), 0.0) < 1.0


def test_roofline_is_the_library_with_the_best_median_of_each_batch() -> None:
    rates = {("a", 1): (5, 5, 90), ("b", 1): (7, 7, 7), ("a", 2): (4, 4, 4), ("b", 2): (3, 3, 3)}
    found = limits.limits(
        limits.Turn(number, name, batch, rate)
        for (name, batch), values in rates.items()
        for number, rate in enumerate(values, start=1)
    )
    assert found == {1: ("b", {1: 7, 2: 7, 3: 7}), 2: ("a", {1: 4, 2: 4, 3: 4})}


def test_second_roofline_takes_the_time_of_both_in_each_round() -> None:
    both = limits.one_after_the_other(limits.Limit("a", {1: 6.0, 2: 4.0, 3: 5.0}), limits.Limit("b", {1: 3.0, 2: 4.0}))
    assert both == pytest.approx({1: 2.0, 2: 2.0})


@pytest.mark.parametrize("name", [name for name in products.installed() if name != "torch-onednn"])
def test_every_library_makes_adams_traffic(name: str, tmp_path: Path) -> None:
    with processes.Worker("--products", name) as library:
        opened = library.ask("open", images=str(tmp_path), sizes=Sizes(16, 8, 3), turn_seconds=0.0)
        assert opened["offer"] == ["products", "traffic"]
        answer = library.ask("traffic", batch=5)
    assert answer["images"] == 5
    assert 0 < answer["seconds"] < 1.0


def test_adams_bytes_are_those_of_a_hand_count() -> None:
    assert shapes.adam_bytes(Sizes()) == (4 + 3) * 4 * 652_824


def test_numpys_traffic_is_in_place() -> None:
    found = shapes.vectors(Sizes(16, 8, 3))
    before = [vector.copy() for vector in found]
    products.load("numpy").traffic(found)()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(found.params, before[0] + before[1])
    np.testing.assert_array_equal(found.gradient, before[1])
    np.testing.assert_array_equal(found.m, -before[2])
    np.testing.assert_array_equal(found.v, -before[3])


def test_peers_are_told_by_the_packages_that_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    present = {"torch", "keras", "jax", "PIL"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name in present or None)
    present_peers = ["pytorch-listing", "pytorch-tensors", "keras-fit-torch", "keras-fit-jax"]
    assert peers.installed() == present_peers
    assert peers.choose((), everyone=True) == present_peers
    assert peers.choose((), everyone=False) == []
    assert peers.choose(("keras-fit-jax",), everyone=False) == ["keras-fit-jax"]
    with pytest.raises(
        ModuleNotFoundError, match="--peer: 'pythae' needs pythae, torch; try: pip install pythae torch"
    ):
        peers.choose(("pythae",), everyone=False)
    with pytest.raises(ValueError, match="--peer: got 'keras'; expected one of pytorch-listing, "):
        peers.choose(("keras",), everyone=False)


def test_train_alone_makes_the_calls_of_the_recipe(tiny: Dataset) -> None:
    x, sizes = tiny.train, Sizes(16, 8, 3)
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
def test_images_are_cut_or_repeated(count: int, note: str, tmp_path: Path, tiny: Dataset) -> None:
    images = data.write(tiny, count, tmp_path)
    assert str(images) == note
    np.testing.assert_array_equal(np.load(images.path), tiny.train[np.arange(count) % 300], strict=True)


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


def test_framework_is_what_a_module_imports_from_elsewhere(root: Path) -> None:
    source = """
from __future__ import annotations
import os, numpy as np, their_pkg.part
from flax import nnx
from vae_rosetta.shared import spec
from their_pkg import more
from . import sibling
def later():
    import torch
"""
    assert imports.foreign(source, "their_pkg.vae") == ["import numpy as np", "from flax import nnx"]
    jax = (root / "implementations/jax_vae/model.py").read_text(encoding="utf-8")
    packages = {statement.split()[1].partition(".")[0] for statement in imports.foreign(jax, "jax_vae.model")}
    assert packages == {"jax", "optax", "flax"}


def test_import_is_timed_in_a_fresh_process() -> None:
    assert imports.seconds("import time; print('hello'); time.sleep(0.2)") >= 0.2
    with pytest.raises(RuntimeError, match=r"^ModuleNotFoundError: No module named 'no_such_vae'$"):
        imports.seconds("import no_such_vae")


def test_spread_of_one_value_is_that_value() -> None:
    assert results.spread([3.0]) == (3.0, 3.0, 3.0)
    assert results.spread([4.0, 1.0, 3.0, 2.0, 5.0]) == (3.0, 2.0, 4.0)


def test_an_ended_worker_may_be_ended_again() -> None:
    with processes.Worker("--products", "numpy") as limit:
        limit.end()
        with pytest.raises((processes.WorkerError, ValueError)):
            limit.ask("close")
