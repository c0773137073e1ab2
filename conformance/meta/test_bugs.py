"""The catalogue of bugs is in order, and all that refer to it name rows that it has."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from vae_rosetta import conformance
from vae_rosetta.conformance.meta.wrong_losses import WRONG
from vae_rosetta.shared import bugs, spec
from vae_rosetta.shared.bugs import BUGS, PITFALLS, Bug
from vae_rosetta.shared.vectors.flags import FLAGS

LONGEST = 130  # characters of a statement
NAMES = re.compile(r"[A-Z]|logvar|exp\(|softplus|float64|(params|generate|sample|describe|load_state)\(\)")


@pytest.mark.parametrize("bug", BUGS.values(), ids=lambda bug: bug.id)
def test_row_is_in_order(bug: Bug) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", bug.id)
    assert NAMES.match(bug.what), "a statement begins with a capital, or with a name in the code"
    assert len(bug.what) <= LONGEST
    assert " should " not in bug.what
    assert not re.search(r"[.;\n]$", bug.what + "\n" + bug.fix)
    assert bug.fix
    assert bug.clause in spec.CLAUSES
    assert len({*bug.reports}) == len(bug.reports)
    assert all(bugs.link(report).startswith("https://") for report in bug.reports)
    assert bug.id not in bug.same_answers_as
    assert all(bug.id in BUGS[other].same_answers_as for other in bug.same_answers_as)


def test_statements_are_told_apart() -> None:
    assert len({bug.what for bug in BUGS.values()}) == len(BUGS)


def test_pitfalls_have_bugs_or_a_reason() -> None:
    assert list(PITFALLS) == [f"P{number:02}" for number in range(1, len(PITFALLS) + 1)]
    for number, pitfall in PITFALLS.items():
        assert bool(pitfall.elsewhere) != any(bug.pitfall == number for bug in BUGS.values()), number


def test_id_that_is_used_twice_is_refused(tmp_path: Path) -> None:
    row = '.one]\nwhat = "A"\nclause = "adam"\nfix = "b"\n'
    for number in ("P01", "P02"):
        (tmp_path / f"{number}.toml").write_text(f'[{number}]\ntitle = "t"\n[{number}{row}', encoding="utf-8")
    with pytest.raises(ValueError, match="bug 'one' is in the catalogue twice"):
        bugs.read(tmp_path)


@pytest.mark.parametrize("report", ["pytorch#1", "pytorch/pytorch", "arXiv:1", "https://example.org"])
def test_report_that_is_none_is_refused(report: str) -> None:
    with pytest.raises(ValueError, match="expected owner/repository#number or arXiv:number"):
        bugs.link(report)


def test_flags_name_rows() -> None:
    assert {bug for flag in FLAGS.values() for bug in flag.bugs} <= BUGS.keys()


@pytest.mark.parametrize(("folder", "function", "place"), [("explainer", "Finding", 0), ("audit", "Deviation", 1)])
def test_findings_name_rows(folder: str, function: str, place: int) -> None:
    written = {*_texts(folder, function, place)}
    assert len(written) > 5
    assert written <= BUGS.keys()


def test_losses_that_the_audit_is_tried_on_name_rows() -> None:
    assert {bug for wrong in WRONG.values() for bug in (wrong.bug, *wrong.others)} <= BUGS.keys()


def test_finding_a_bug_and_making_it_share_nothing_but_its_id() -> None:
    """Else the one would prove nothing of the other."""
    for folder, other in (
        ("explainer", "conformance.meta"),
        ("audit", "conformance.meta"),
        ("meta/mutants", "explainer"),
    ):
        for path in (Path(conformance.__file__).parent / folder).glob("*.py"):
            assert other not in path.read_text(encoding="utf-8"), path


def _texts(folder: str, function: str, place: int) -> Iterator[str]:
    """The texts that may stand at a place in the calls of a function."""

    def texts(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        for child in ast.iter_child_nodes(node) if not isinstance(node, ast.Compare) else ():
            yield from texts(child)

    for path in (Path(conformance.__file__).parent / folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function:
                yield from (text for argument in node.args[place : place + 1] for text in texts(argument))
