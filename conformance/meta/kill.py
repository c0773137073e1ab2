"""Who rejects whom: each mutant before the vectors and chapter tests that claim it.

A test rejects when it fails by an assertion. A mutant that crashes a test by any other error is not rejected but
broken, and so is a test that has not run: neither shows that the suite sees the bug.
"""

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pytest

from vae_rosetta import conformance
from vae_rosetta.conformance.grader import Grader
from vae_rosetta.conformance.meta.mutants import MUTANTS
from vae_rosetta.conformance.meta.mutants.base import SUBJECT, Mutant, fresh_subject
from vae_rosetta.shared import vectors
from vae_rosetta.shared.vectors import Vector, operations

SUITE: Final = Path(conformance.__file__).parent
# Whole runs on real digits take the oracle seconds and would reject most mutants: the small vectors must do so alone.
VECTORS: Final = {name: vector for name, vector in vectors.load().items() if "data" not in vector.arguments}


class Verdict(NamedTuple):
    """What became of one mutant."""

    mutant: Mutant
    rejecting: tuple[str, ...]  # the claimed tests that do reject it
    silent: tuple[str, ...]  # claimed tests that pass it, have not run, or crash
    strangers: tuple[str, ...]  # tests that reject it although they must not: for a mutant that one vector sees alone
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether the mutant is rejected by all that claim it, and by none that must not."""
        return bool(self.rejecting) and not self.silent and not self.strangers


def judge(mutant: Mutant) -> Verdict:
    """Puts the bug into a fresh subject and asks the tests that claim it."""
    started = time.perf_counter()
    with pytest.MonkeyPatch.context() as undoing:
        subject = fresh_subject()
        mutant.patch(subject, undoing)
        asked = tuple(VECTORS) if mutant.alone else mutant.vectors
        found = {name for name in asked if rejects(VECTORS[name], subject, mutant.dtype)}
        if mutant.chapter_tests:
            found |= failing_chapter_tests(mutant.chapter_tests, mutant.dtype)
    rejecting = tuple(test for test in mutant.rejected_by if test in found)
    silent = tuple(test for test in mutant.rejected_by if test not in found)
    strangers = tuple(sorted(found - set(mutant.rejected_by)))
    return Verdict(mutant, rejecting, silent, strangers, time.perf_counter() - started)


def rejects(vector: Vector, backend: Any, dtype: str) -> bool:
    """Whether a vector rejects a backend in one precision. Any error but an assertion is the caller's to explain."""
    try:
        # A wrong formula may overflow on the way; its answer is what is judged.
        with np.errstate(all="ignore"):
            if vector.operation in operations.DRAWS:
                _check_draw(vector)
            else:
                Grader(backend, dtype).check(vector)
    except AssertionError:
        return True
    return False


def false_alarms(mutants: Iterable[Mutant] = MUTANTS) -> list[str]:
    """The tests that claim mutants and yet reject the true oracle: there must be none."""
    subject = fresh_subject()
    alarms = []
    for dtype in sorted({mutant.dtype for mutant in mutants}):
        chosen = [mutant for mutant in mutants if mutant.dtype == dtype]
        names = sorted({name for mutant in chosen for name in (VECTORS if mutant.alone else mutant.vectors)})
        alarms += [f"{name} ({dtype})" for name in names if rejects(VECTORS[name], subject, dtype)]
        tests = sorted({test for mutant in chosen for test in mutant.chapter_tests})
        alarms += [f"{test} ({dtype})" for test in sorted(failing_chapter_tests(tests, dtype))] if tests else []
    return alarms


class _Outcomes:
    """A pytest plugin that writes down which tests fail by an assertion."""

    def __init__(self) -> None:
        self.failing: set[str] = set()

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        if call.excinfo is not None and call.excinfo.errisinstance((AssertionError, pytest.fail.Exception)):
            chapter = item.path.stem.removeprefix("test_")
            self.failing.add(f"{chapter}::{getattr(item, 'originalname', item.name)}")


def failing_chapter_tests(tests: Iterable[str], dtype: str) -> set[str]:
    """Which of the tests, "chapter::test_name", reject the current subject. Runs pytest within this process.

    Raises:
        RuntimeError: the tests could not be collected.
    """
    outcomes = _Outcomes()
    chosen = [f"{SUITE}/chapters/test_{chapter}.py::{name}" for chapter, name in (test.split("::") for test in tests)]
    options = ["-c", str(SUITE / "pytest.ini"), "--rootdir", str(SUITE), "-p", "vae_rosetta.conformance.plugin"]
    quiet = ["-p", "no:cacheprovider", "-p", "no:terminal", "-W", "ignore"]
    backend = ["--vae-backend", SUBJECT, "--vae-dtype", dtype]
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
        code = pytest.main([*options, *quiet, *backend, *chosen], plugins=[outcomes])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"{', '.join(tests)}: pytest ended with {code!r}")
    return outcomes.failing


def _check_draw(vector: Vector) -> None:
    """The portable stream is exact, but for the last bit that another machine's logarithm may give a normal."""
    found = operations.DRAWS[vector.operation](vector.arguments)
    assert found.keys() == vector.expected.keys()
    for name, wanted in vector.expected.items():
        if name == "normal":
            np.testing.assert_array_max_ulp(found[name], wanted, maxulp=1)
        else:
            np.testing.assert_array_equal(found[name], wanted, strict=True)
