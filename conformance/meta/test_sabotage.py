"""Who guards the comparator: with any line of it weakened, the tests of this folder fail.

Each sabotage is one line of `conformance/comparator.py` replaced, in another process, before the tests are imported.
What must fail is named: a proof that fails for another reason proves nothing.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from vae_rosetta.conformance.meta.strangers import ROOT

HERE: Final = Path(__file__).parent
TESTS: Final = {"comparator": HERE / "test_comparator.py", "mutants": HERE / "test_mutants.py"}

# Runs tests once for each sabotage: the comparator is the same module with other code, and what is tested is imported
# anew. Prints, for each, pytest's exit code and the names of the tests that failed.
PROGRAM: Final = """
import json, sys
from pathlib import Path
import pytest
from vae_rosetta.conformance import comparator

class Failed:
    def __init__(self):
        self.names = []
    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.names.append(report.nodeid.partition("::")[2])

asked = json.loads(sys.stdin.read())
true = Path(comparator.__file__).read_text(encoding="utf-8")
for name, changes in asked["sabotages"].items():
    source = true
    for line, other in changes:
        assert source.count(line) == 1, line
        source = source.replace(line, other)
    exec(compile(source, comparator.__file__, "exec"), vars(comparator))
    for module in [module for module in sys.modules if ".meta." in module]:
        del sys.modules[module]
    failed = Failed()
    code = pytest.main(asked["arguments"], plugins=[failed])
    print("\\nsabotage", json.dumps([name, int(code), failed.names]))
"""


class Sabotage(NamedTuple):
    """What is done to the comparator, and tests that must fail then."""

    changes: tuple[tuple[str, str], ...]  # code, which must be there once, and what takes its place
    failing: tuple[str, ...]


def _line(line: str, other: str, *failing: str) -> Sabotage:
    return Sabotage(((line, other),), failing)


def _wrong(*kinds: str) -> tuple[str, ...]:
    return tuple(f"test_wrong_answer_is_named[{kind}]" for kind in kinds)


_RETURNS: Final = "    return {name: _compare_one(name, actual[name], expected[name], tolerance.get(name), dtype)"
_NAN: Final = "np.isnan(actual) | (np.isinf(actual) & (actual != representable))"

SABOTAGES: Final = {
    "returns at once": _line(
        "    if missing := [",
        "    return {name: 0.0 for name in expected}\n    if missing := [",
        *_wrong("missing", "extra", "shape", "too wide", "a list", "NaN", "infinity", "just out", "sign", "swapped"),
        "test_integers_are_compared_exactly",
    ),
    "returns after the names": _line(
        _RETURNS, f"    return {{name: 0.0 for name in expected}}\n{_RETURNS}", *_wrong("shape", "NaN", "just out")
    ),
    "looks at the first tensor alone": _line(
        "for name in expected}", "for name in list(expected)[:1]}", *_wrong("shape", "NaN", "sign", "swapped")
    ),
    "lets tensors be missing": _line("if name not in actual]", "if False]", *_wrong("missing")),
    "lets tensors be extra": _line("if name not in expected]", "if False]", *_wrong("extra")),
    "ignores the kind of object": _line(
        '        raise Mismatch(f"{name}: got {type(actual).__name__}; expected a NumPy array")',
        "        actual = np.asarray(actual, dtype)",
        *_wrong("a list"),
    ),
    "ignores the shape, broadcasts": _line(
        "if actual.shape != expected.shape:", "if False:", *_wrong("shape", "scalar that would broadcast", "empty")
    ),
    "ignores the shape, not the size": _line(
        "    if actual.shape != expected.shape:",
        "    if actual.size == expected.size:\n        actual = actual.reshape(expected.shape)\n"
        "    if actual.shape != expected.shape:",
        *_wrong("shape"),
    ),
    "ignores the dtype": _line(
        "if actual.dtype != wanted:",
        "if actual.dtype.kind != wanted.kind:",
        *_wrong("too wide", "too narrow"),
    ),
    "forgives a wider dtype": _line(
        "if actual.dtype != wanted:", "if actual.dtype.itemsize < wanted.itemsize:", *_wrong("too wide")
    ),
    "ignores integers": _line(
        "if not np.array_equal(actual, expected):", "if False:", "test_integers_are_compared_exactly"
    ),
    "ignores NaN": _line(
        _NAN, "np.isinf(actual) & (actual != representable)", *_wrong("NaN"), "test_nan_does_not_equal_nan"
    ),
    "lets NaN equal NaN": _line(
        "np.isnan(actual) |", "(np.isnan(actual) & ~np.isnan(expected)) |", "test_nan_does_not_equal_nan"
    ),
    "ignores infinities": _line(_NAN, "np.isnan(actual)", *_wrong("infinity")),
    "ignores what overflows": _line(
        "(wrong := np.isinf(representable) & (actual != representable)).any()",
        "(wrong := np.zeros(1, bool)).any()",
        "test_finite_number_near_one_that_overflows_is_out",
    ),
    "ignores a missing tolerance": _line(
        "    if tolerance is None or tolerance.shape != expected.shape or not np.isfinite(tolerance).all():",
        "    tolerance = np.full(expected.shape, 1e9) if tolerance is None else tolerance\n    if False:",
        "test_missing_tolerance_is_an_error",
        "test_nan_tolerance_lets_nothing_pass",
    ),
    "tolerance x 10": _line(
        "tolerance.astype(np.float64) +", "10.0 * tolerance.astype(np.float64) +", *_wrong("just out")
    ),
    "tolerance x 1.05": _line(
        "if ratio.size and ratio.max() > 1.0:", "if ratio.size and ratio.max() > 1.05:", "test_edge_of_the_tolerance"
    ),
    "tolerance where 0 is asked": _line("+ flushed_below(dtype)", "+ 1e-9", *_wrong("not exactly zero")),
    "no room for flushed subnormals": _line(
        "+ flushed_below(dtype)", "+ 0.0", "test_subnormal_numbers_may_be_flushed_and_no_others"
    ),
    "the largest tolerance for all": _line(
        "tolerance.astype(np.float64) +", "tolerance.astype(np.float64).max() +", *_wrong("not exactly zero")
    ),
    "the mean error": _line(
        "ratio.size and ratio.max() > 1.0:", "ratio.size and ratio.mean() > 1.0:", *_wrong("just out")
    ),
    "signed errors": _line(
        "np.abs(np.subtract(actual, expected, dtype=np.float64, where=finite, out=np.zeros(expected.shape)))",
        "np.subtract(actual, expected, dtype=np.float64, where=finite, out=np.zeros(expected.shape))",
        *_wrong("just out", "sign"),
    ),
    "magnitudes": _line(
        "np.abs(np.subtract(actual, expected,", "np.abs(np.subtract(abs(actual), abs(expected),", *_wrong("sign")
    ),
}


Failing = dict[str, set[str]]  # the names of the tests that fail, by sabotage; under "" those of the true comparator


def _failing(folder: Path, names: Iterable[str], *arguments: str) -> Failing:
    """What fails under each sabotage and under none, in a process of its own.

    Raises:
        AssertionError: the tests could not be run.
    """
    options = ["-p", "no:cacheprovider", "-q", "--tb=no", "--import-mode=importlib", "-c", os.devnull]
    changes = {"": (), **{name: SABOTAGES[name].changes for name in names}}
    asked = {"sabotages": changes, "arguments": [*options, "--rootdir", str(ROOT), *arguments]}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    words = [sys.executable, "-c", PROGRAM]
    run = subprocess.run(
        words, cwd=folder, env=environment, input=json.dumps(asked), capture_output=True, text=True, timeout=300
    )
    answers = [json.loads(line) for line in re.findall(r"^sabotage (.+)$", run.stdout, re.M)]
    assert [name for name, _, _ in answers] == [*changes], run.stdout + run.stderr
    assert all(code == (1 if failed else 0) for _, code, failed in answers), run.stdout + run.stderr
    return {name: set(failed) for name, _, failed in answers}


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Failing:
    return _failing(tmp_path_factory.mktemp("sabotages"), SABOTAGES, str(TESTS["comparator"]))


def test_true_comparator_passes(failing: Failing) -> None:
    assert not failing[""]


@pytest.mark.parametrize("name", SABOTAGES)
def test_weaker_comparator_is_noticed(name: str, failing: Failing) -> None:
    assert set(SABOTAGES[name].failing) <= failing[name]


def test_mutants_survive_a_comparator_that_returns_at_once(tmp_path: Path) -> None:
    """And so the proof that they are rejected fails too: not one is rejected by vectors, without the comparator."""
    chosen = ("-k", "test_mutant_is_rejected and (kl- or beta or epsilon)")
    failing = _failing(tmp_path, ["returns at once"], str(TESTS["mutants"]), *chosen)
    assert not failing[""]
    failed = failing["returns at once"]
    assert {"test_mutant_is_rejected[kl-sign]", "test_mutant_is_rejected[epsilon-hat (epsilon is 1e-8)]"} <= failed
    assert len(failed) >= 15
