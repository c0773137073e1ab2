"""The headroom check finds tolerances that are too tight and too loose, and no others."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vae_rosetta.conformance import __main__, headroom, matrix, report
from vae_rosetta.conformance.grader import Grader
from vae_rosetta.conformance.headroom import Family
from vae_rosetta.conformance.meta import kill
from vae_rosetta.conformance.outcome import Case, Outcome, Result
from vae_rosetta.conformance.report import Report
from vae_rosetta.shared import oracle, vectors

Ratio = Callable[[Family], float]
FAMILIES = headroom.families()
LARGE = Family("training/full", "adam.v", "float32")
SMALL = Family("loss/soft-targets", "reconstruction", "float32")
FRAMEWORKS = {"torch": "mine.torch_vae", "keras": "mine.keras_vae", "jax": "mine.jax_vae"}


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


def _except(family: Family, value: float, otherwise: float = 0.1) -> Ratio:
    return lambda one: value if one == family else otherwise


def test_tolerances_in_use_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["headroom", *_three(tmp_path, lambda _: 0.1)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["error", "/", "tolerance", "torch_vae", "keras_vae", "jax_vae", "least"]
    assert ["training:", "adam.v,", "float32"] + ["0.1000"] * 4 in [line.split() for line in lines]
    large = sum(count >= headroom.ENOUGH for count in FAMILIES.values())
    assert lines[-2] == f"looked for what is too loose: yes, of {len(FAMILIES)} families {large} were large enough"
    assert lines[-1] == "no tolerance is too tight or too loose"
    assert max(map(len, lines)) <= matrix.WIDTH


def test_every_family_by_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert headroom.main(["--all", *_three(tmp_path, lambda _: 0.1)]) == 0
    rows = {line.split()[0] for line in capsys.readouterr().out.splitlines() if ": " in line}
    assert {f"{family.vector}:" for family in FAMILIES} <= rows


def test_too_tight_is_found_in_one_backend(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = _three(tmp_path, lambda _: 0.1, _except(SMALL, 0.51), lambda _: 0.1)
    assert headroom.main(paths) == 1
    said = capsys.readouterr().out
    assert f"TOO TIGHT: keras_vae uses 0.510 of the tolerance of {SMALL} (reconstruction); expected at most 0.5" in said
    assert said.endswith("\nfaults: 1\n")
    assert headroom.main(paths[:1]) == 0
    assert headroom.main(paths[1:2]) == 1, "one certificate will do"


def test_too_loose_is_found_where_no_backend_needs_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    low = _except(LARGE, 0.009)
    assert headroom.main(_three(tmp_path, low)) == 1
    said = capsys.readouterr().out
    assert f"TOO LOOSE: no backend uses more than 0.0090 of the tolerance of {LARGE}" in said
    assert headroom.main(_three(tmp_path, low, _except(LARGE, 0.011), low)) == 0, "one backend needs it"


def test_few_elements_and_few_frameworks_prove_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert FAMILIES[SMALL] < headroom.ENOUGH <= FAMILIES[LARGE]
    assert headroom.main(_three(tmp_path, _except(SMALL, 0.0))) == 0
    paths = _three(tmp_path, _except(LARGE, 0.0))
    exact = _certificate(tmp_path, "numpy", "vae_rosetta.shared.oracle", lambda _: 0.0)
    capsys.readouterr()
    assert headroom.main([*paths[:2], exact]) == 0, "the oracle is not one of three"
    assert "looked for what is too loose: no, which takes 3 frameworks" in capsys.readouterr().out
    twice = _certificate(tmp_path, "torch", "other.torch_vae", _except(LARGE, 0.0))
    assert headroom.main([*paths[:2], twice]) == 0, "nor is a framework a second time"


def test_equal_elements_are_one() -> None:
    """The probe has 1024 logits, all alike and exact in float64."""
    assert FAMILIES[Family("forward/precision-probe", "logits", "float64")] == 1
    assert FAMILIES[Family("forward/tiny", "logits", "float64")] == 60


def test_a_backend_that_fails_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _certificate(tmp_path, "torch", "mine.torch_vae", lambda _: 0.1, result=Result.FAILED)
    assert headroom.main([path]) == 1
    assert "torch_vae: does not conform" in capsys.readouterr().out


def test_many_backends_are_numbered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [_certificate(tmp_path, f"f{i}", f"package.a_long_name_{i}", lambda _: 0.1) for i in range(4)]
    assert headroom.main(paths) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[3:] == [*"1234", "least"]
    assert "4: a_long_name_3" in lines
    assert max(map(len, lines)) <= matrix.WIDTH


def test_other_vectors_and_other_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(_certificate(tmp_path, "torch", "mine.torch_vae", lambda _: 0.1))
    found = json.loads(path.read_text(encoding="utf-8"))
    found["run"]["vectors_sha256"] = "0" * 64
    path.write_text(json.dumps(found), encoding="utf-8")
    assert headroom.main([str(path)]) == 4
    assert headroom.main([str(tmp_path / "none.json")]) == 4
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"headroom: {path}: graded with other vectors than this installation's"
    assert said[1].startswith(f"headroom: {tmp_path / 'none.json'}: cannot be read")


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert [headroom.main(arguments) for arguments in (["--help"], [], ["--every", "a.json"])] == [0, 4, 4]
    said = capsys.readouterr()
    assert said.out + said.err == headroom.USAGE * 3


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
