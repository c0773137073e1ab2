"""The headroom check finds tolerances that are too tight and too loose, and no others."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from click.testing import Result as Ended

from vae_rosetta.conformance import ensemble, headroom, matrix, report
from vae_rosetta.conformance.cli import conformance
from vae_rosetta.conformance.grader import Grader
from vae_rosetta.conformance.headroom import Family, Needs
from vae_rosetta.conformance.meta import kill
from vae_rosetta.conformance.outcome import Case, Outcome, Result
from vae_rosetta.conformance.report import Report
from vae_rosetta.shared import oracle, vectors
from vae_rosetta.shared.vectors import Vector

Ratio = Callable[[Family], float]
FAMILIES = headroom.families()
LARGE = Family("training/full", "adam.v", "float32")
SMALL = Family("loss/soft-targets", "reconstruction", "float32")
FRAMEWORKS = {"torch": "mine.torch_vae", "keras": "mine.keras_vae", "jax": "mine.jax_vae"}
JUDGED = [family for family, count in FAMILIES.items() if count >= headroom.ENOUGH]
find_needs = headroom.needs
LIGHT = [v for v in kill.VECTORS.values() if v.id not in ("training/full", "training/whole-run")]


@pytest.fixture(autouse=True)
def needed(monkeypatch: pytest.MonkeyPatch) -> Needs:
    """What the command believes to be needed: a tenth everywhere. To find out takes it a minute."""
    believed = Needs(dict.fromkeys(JUDGED, 0.1), [], [])
    monkeypatch.setattr(headroom, "needs", lambda _: believed)
    return believed


def _certificate(folder: Path, framework: str, module: str, ratio: Ratio, result: Result = Result.PASSED) -> str:
    """A certificate of a backend whose every family uses `ratio` of its tolerances."""
    backend: Any = SimpleNamespace(describe=lambda: {"framework": framework})
    gathered = Report(report.run_identity({"module": module, "command": None}, backend, "auto"))
    for vector in vectors.load().values():
        for dtype in vectors.graded_in(vector.arguments):
            used = {
                quantity: ratio(Family(vector.id, headroom.kind(vector.chapter, quantity), dtype))
                for quantity in vector.tolerance(dtype)
            }
            key = vector.id + dtype
            gathered.cases[key] = Case(vector.id, vector.chapter, dtype, vector.clauses, is_vector=True)
            gathered.record(key, Outcome(result, "because", headroom=used))
    path = folder / f"{module}.json"
    path.write_text(json.dumps(gathered.certificate()), encoding="utf-8")
    return str(path)


def _three(folder: Path, *ratios: Ratio) -> list[str]:
    pairs = zip(FRAMEWORKS.items(), ratios * 3 if len(ratios) == 1 else ratios, strict=False)
    return [_certificate(folder, framework, module, ratio) for (framework, module), ratio in pairs]


def _scaled(vector: Vector, factor: float) -> Vector:
    """With tolerances as many times as wide."""
    scaled = dataclasses.replace(vector)
    scaled.__dict__["tensors"] = {
        name: factor * value if name.startswith("tolerance.") else value for name, value in vector.tensors.items()
    }
    return scaled


def _except(family: Family, value: float, otherwise: float = 0.1) -> Ratio:
    return lambda one: value if one == family else otherwise


def _judged(*arguments: str) -> Ended:
    return CliRunner().invoke(conformance, ["headroom", *arguments])


def test_tolerances_in_use_pass(tmp_path: Path) -> None:
    judged = _judged(*_three(tmp_path, lambda _: 0.1))
    assert judged.exit_code == 0
    lines = judged.stdout.splitlines()
    assert lines[0].split() == ["error", "/", "tolerance", "torch_vae", "keras_vae", "jax_vae", "needed"]
    assert ["training:", "adam.v,", "float32"] + ["0.1000"] * 4 in [line.split() for line in lines]
    assert lines[-2] == (
        f"looked for what is too loose: {len(JUDGED)} families of {len(FAMILIES)}, which are large enough"
    )
    assert lines[-1] == "no tolerance is too tight or too loose"
    assert max(map(len, lines)) <= matrix.WIDTH


def test_every_family_by_itself(tmp_path: Path) -> None:
    judged = _judged("--all", *_three(tmp_path, lambda _: 0.1))
    assert judged.exit_code == 0
    rows = {line.split()[0] for line in judged.stdout.splitlines() if ": " in line}
    assert {f"{family.vector}:" for family in FAMILIES} <= rows


def test_too_tight_is_found_in_one_backend(tmp_path: Path) -> None:
    paths = _three(tmp_path, lambda _: 0.1, _except(SMALL, 0.51), lambda _: 0.1)
    judged = _judged(*paths)
    assert judged.exit_code == 1
    said = judged.stdout
    assert f"TOO TIGHT: keras_vae uses 0.510 of the tolerance of {SMALL} (reconstruction); expected at most 0.5" in said
    assert said.endswith("\nfaults: 1\n")
    assert _judged(*paths[:1]).exit_code == 0
    assert _judged(*paths[1:2]).exit_code == 1, "one certificate will do"


def test_too_loose_is_what_legitimate_arithmetic_does_not_need(tmp_path: Path, needed: Needs) -> None:
    paths = _three(tmp_path, _except(LARGE, 0.0))
    assert _judged(*paths).exit_code == 0, "three backends that round well prove nothing"
    needed.families[LARGE] = 0.009
    judged = _judged(*_three(tmp_path, lambda _: 0.1))
    assert judged.exit_code == 1, "nor does one that rounds badly"
    said = judged.stdout
    assert f"TOO LOOSE: legitimate arithmetic uses no more than 0.0090 of the tolerance of {LARGE}" in said


def test_what_was_not_looked_at_is_named(tmp_path: Path, needed: Needs) -> None:
    needed.skipped.append("training/mnist-5k, float32: no such data")
    needed.rejected.append("TOO TIGHT: legitimate arithmetic fails loss/tiny in float32: because")
    judged = _judged(*_three(tmp_path, lambda _: 0.1))
    assert judged.exit_code == 1
    lines = judged.stdout.splitlines()
    assert "not looked at: training/mnist-5k, float32: no such data" in lines
    assert needed.rejected[0] in lines


def test_legitimate_arithmetic_needs_the_tolerances() -> None:
    """All but the heaviest vectors, which the command looks at."""
    found = find_needs(LIGHT)
    assert {*found.families} == {family for family in JUDGED if family.vector in {v.id for v in LIGHT}}
    assert min(found.families.values()) >= headroom.LEAST
    assert not found.rejected
    assert not found.skipped


@pytest.mark.parametrize("name", ["gradients/tiny", "training/tiny-gradients", "loss/saturated-logits"])
def test_a_tolerance_a_hundred_times_too_wide_is_found(name: str) -> None:
    vector = kill.VECTORS[name]
    found = find_needs([_scaled(vector, 100.0)])
    assert {family for family, need in found.families.items() if need < headroom.LEAST} == {*found.families} != set()


def test_a_tolerance_that_rejects_legitimate_arithmetic_is_found() -> None:
    (fault,) = find_needs([_scaled(kill.VECTORS["loss/full"], 0.01)]).rejected[:1]
    assert fault.startswith("TOO TIGHT: legitimate arithmetic fails loss/full in float32: ")


def test_data_that_is_not_installed_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise ModuleNotFoundError("no data")

    monkeypatch.setattr(ensemble, "used", none)
    found = find_needs([kill.VECTORS["loss/full"]])
    assert found == Needs({}, [], [f"loss/full, {dtype}: no data" for dtype in ("float32", "float64")])


def test_plain_arithmetic_rounds_terms_before_they_cancel() -> None:
    value, term = np.full(100, 1e-3), np.full(100, 1e3)
    careful, plain = (
        ensemble.WorkingArithmetic("float32", ensemble.Way(0, plain)).rounded(value, term) for plain in (False, True)
    )
    np.testing.assert_array_equal(careful, np.float32(1e-3))
    assert 1e-6 < np.abs(plain - value).max() <= np.spacing(np.float32(1e3)) / 2


def test_orders_of_a_sum_differ() -> None:
    terms = np.random.default_rng(0).random((1, 1000))
    found = {float(ensemble.WorkingArithmetic("float32", way).sum(terms, axis=1)[0]) for way in ensemble.WAYS}
    assert len(found) > 4
    np.testing.assert_allclose(list(found), terms.sum(), rtol=1e-4)


def test_equal_elements_are_one() -> None:
    """The probe has 1024 logits, all alike and exact in float64."""
    assert FAMILIES[Family("forward/precision-probe", "logits", "float64")] == 1
    assert FAMILIES[Family("forward/tiny", "logits", "float64")] == 60


def test_a_backend_that_fails_says_nothing(tmp_path: Path) -> None:
    path = _certificate(tmp_path, "torch", "mine.torch_vae", lambda _: 0.1, result=Result.FAILED)
    judged = _judged(path)
    assert judged.exit_code == 1
    assert "torch_vae: does not conform" in judged.stdout


def test_many_backends_are_numbered(tmp_path: Path) -> None:
    paths = [_certificate(tmp_path, f"f{i}", f"package.a_long_name_{i}", lambda _: 0.1) for i in range(4)]
    judged = _judged(*paths)
    assert judged.exit_code == 0
    lines = judged.stdout.splitlines()
    assert lines[0].split()[3:] == [*"1234", "needed"]
    assert "4: a_long_name_3" in lines
    assert max(map(len, lines)) <= matrix.WIDTH


def test_other_vectors_and_other_files_are_refused(tmp_path: Path) -> None:
    path = Path(_certificate(tmp_path, "torch", "mine.torch_vae", lambda _: 0.1))
    found = json.loads(path.read_text(encoding="utf-8"))
    found["run"]["vectors_sha256"] = "0" * 64
    path.write_text(json.dumps(found), encoding="utf-8")
    refused = _judged(str(path))
    assert (refused.exit_code, refused.stderr) == (
        2,
        f"Error: {path}: graded with other vectors than this installation's\n",
    )
    refused = _judged(str(tmp_path / "none.json"))
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"Error: {tmp_path / 'none.json'}: cannot be read")


@pytest.mark.parametrize(
    ("chapter", "quantity", "kind"),
    [
        ("training", "adam.v.encoder.fc1.weight.rows", "adam.v"),
        ("training", "objective.1", "objective"),
        ("training", "objective", "objective"),
        ("training", "decoder.fc4.bias", "params"),
        ("gradients", "decoder.fc4.weight.columns", "gradient"),
        ("loss", "kl", "kl"),
    ],
)
def test_kinds(chapter: str, quantity: str, kind: str) -> None:
    assert headroom.kind(chapter, quantity) == kind


@pytest.mark.parametrize("name", ["training/tiny-gradients", "training/tiny", "gradients/saturated-logits"])
def test_float32_of_the_oracle_stays_below_half(name: str) -> None:
    """What it stores is rounded as every port rounds it, twenty times to the same side."""
    grader = Grader(oracle, "float32")
    grader.check(kill.VECTORS[name])
    assert 0.01 <= max(grader.headroom.values()) <= headroom.MOST
