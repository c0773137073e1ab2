"""What a wrong implementation is: the true one with one bug, and how a bug is put in.

The subject is a module of its own, read afresh from the oracle's file, so that the oracle that the suite compares with
stays true. A patch replaces functions or methods of the subject, or, for what every port shares (stream, initial
weights, recipe), of `shared`; pytest's MonkeyPatch undoes the latter.
"""

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final, NamedTuple

import pytest

from vae_rosetta.shared import oracle

Patch = Callable[[Any, pytest.MonkeyPatch], None]  # (subject, undoing patcher)
SUBJECT: Final = "conformance_subject"  # the name under which the suite imports it


class Mutant(NamedTuple):
    """One bug, in one of its variants, and the tests that must reject it."""

    bug: str  # its id in the catalogue, shared/bugs
    variant: str  # what is particular about this one; empty where the catalogue's row says all
    rejected_by: tuple[str, ...]  # vector ids, "chapter/slug", and tests of the chapters, "chapter::test_name"
    patch: Patch
    dtype: str = "float32"  # the precision in which it is graded
    alone: bool = False  # no other vector rejects it (those on real digits were not asked)

    @property
    def name(self) -> str:
        """The bug's id, and the variant where there are several."""
        return f"{self.bug} ({self.variant})" if self.variant else self.bug

    @property
    def vectors(self) -> tuple[str, ...]:
        """The golden vectors among `rejected_by`."""
        return tuple(test for test in self.rejected_by if "::" not in test)

    @property
    def chapter_tests(self) -> tuple[str, ...]:
        """The chapters' tests among `rejected_by`."""
        return tuple(test for test in self.rejected_by if "::" in test)


HEAVY: Final = {"training/full", "training/whole-run"}  # half a second each for the oracle alone


def light(mutant: Mutant) -> tuple[str, ...]:
    """The vectors among `rejected_by` that are quick to answer; all where none is."""
    return tuple(name for name in mutant.vectors if name not in HEAVY) or mutant.vectors


def fresh_subject() -> Any:
    """The true oracle as a module of its own, importable as SUBJECT until the next one takes its place."""
    spec = importlib.util.spec_from_file_location(SUBJECT, oracle.__file__)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[SUBJECT] = module
    spec.loader.exec_module(module)
    return module


def on(name: str, wrong: Callable[..., Any]) -> Patch:
    """Puts `wrong(true, *arguments)` in the place of the subject's function `name`, `true` being what it was."""

    def patch(subject: Any, _: pytest.MonkeyPatch) -> None:
        true = getattr(subject, name)
        setattr(subject, name, lambda *arguments, **options: wrong(true, *arguments, **options))

    return patch


def on_method(name: str, wrong: Callable[..., Any]) -> Patch:
    """Puts `wrong(true, model, *arguments)` in the place of the subject's method `Oracle.name`."""

    def patch(subject: Any, _: pytest.MonkeyPatch) -> None:
        true = getattr(subject.Oracle, name)
        setattr(subject.Oracle, name, lambda *arguments, **options: wrong(true, *arguments, **options))

    return patch


def on_arithmetic(name: str, wrong: Callable[..., Any]) -> Patch:
    """Puts `wrong(true, arithmetic, *arguments)` in the place of the subject's method `Arithmetic.name`."""

    def patch(subject: Any, _: pytest.MonkeyPatch) -> None:
        true = getattr(subject.Arithmetic, name)
        setattr(subject.Arithmetic, name, lambda *arguments, **options: wrong(true, *arguments, **options))

    return patch


def on_shared(module: Any, name: str, wrong: Callable[..., Any]) -> Patch:
    """Puts `wrong(true, *arguments)` in the place of a function of `shared` that all ports have in common."""

    def patch(_: Any, undoing: pytest.MonkeyPatch) -> None:
        true = getattr(module, name)
        undoing.setattr(module, name, lambda *arguments, **options: wrong(true, *arguments, **options))

    return patch


def on_checks(name: str, wrong: Callable[..., Any]) -> Patch:
    """Puts `wrong(true, *arguments)` in the place of an input check, for the subject alone."""

    def patch(subject: Any, _: pytest.MonkeyPatch) -> None:
        checks = ModuleType("checks")
        checks.__dict__.update(vars(subject.checks))
        true = getattr(checks, name)
        setattr(checks, name, lambda *arguments, **options: wrong(true, *arguments, **options))
        subject.checks = checks

    return patch


def both(*patches: Patch) -> Patch:
    """Several replacements that make up one bug, as where a loss and its hand-written gradient share it."""

    def patch(subject: Any, undoing: pytest.MonkeyPatch) -> None:
        for each in patches:
            each(subject, undoing)

    return patch
