"""Deviations: every bad file has its own message, and a declared case must fail."""

from collections.abc import Callable
from pathlib import Path

import pytest

from vae_rosetta.conformance import deviations
from vae_rosetta.conformance.deviations import Deviation, DeviationError
from vae_rosetta.conformance.meta.strangers import WHOLE, WRONG, grade
from vae_rosetta.conformance.outcome import Case

GOOD = """
[[deviation]]
case = "loss/tiny"
reason = "KL is averaged over the latents"
cause = "wrong-reduction"

[[deviation]]
case = "errors/test_images"
dtype = "float32"
reason = "another message"
"""

CASES = {
    "a": Case("loss/tiny", "loss", "float32", ("loss.kl",), is_vector=True),
    "b": Case("loss/tiny", "loss", "float64", ("loss.kl",), is_vector=True),
    "c": Case("errors/test_images[NaN]", "errors", "float32", ("input",)),
    "d": Case("errors/test_images[a list]", "errors", "float32", ("input",)),
    "e": Case("errors/test_images[NaN]", "errors", "float64", ("input",)),
    "f": Case("training/mnist", "training", "float32", ("adam",), is_vector=True),
    "g": Case("errors/test_state", "errors", "float32", ("input",)),
    "h": Case("checkpoint/test_state", "checkpoint", "float32", ("state",)),
}


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a file of deviations."""

    def write(text: str) -> Path:
        path = tmp_path / "deviations.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_entries_are_read_in_order(written: Callable[[str], Path]) -> None:
    first, second = deviations.read(written(GOOD))
    assert (first.case, first.dtype, first.cause) == ("loss/tiny", None, "wrong-reduction")
    assert (second.dtype, second.reason, second.cause) == ("float32", "another message", None)
    assert deviations.read(written("# none\n")) == []


def test_entry_may_list_cases_as_reports_write_them(written: Callable[[str], Path]) -> None:
    text = '[[deviation]]\ncase = ["loss/tiny in float64", "errors/test_images[NaN]"]\nreason = "two at once"\n'
    found = deviations.read(written(text))
    assert [(d.case, d.dtype, d.reason) for d in found] == [
        ("loss/tiny", "float64", "two at once"),
        ("errors/test_images[NaN]", None, "two at once"),
    ]
    assert set(deviations.match(found, CASES)) == set("bce")


BAD_FILES = {
    "not TOML": ("[[deviation", "not TOML"),
    "single brackets": ('[deviation]\ncase = "loss/tiny"\nreason = "x"', "in double brackets"),
    "list of words": ('deviation = ["loss/tiny"]', "in double brackets"),
    "other table": ('[[deviations]]\ncase = "loss/tiny"\nreason = "x"', "got 'deviations' at the top"),
    "no case": ('[[deviation]]\nreason = "x"', "entry 1: case is missing"),
    "no reason": ('[[deviation]]\ncase = "loss/tiny"', "entry 1: reason is missing"),
    "empty reason": ('[[deviation]]\ncase = "loss/tiny"\nreason = "  "', "reason: got '  '; expected text"),
    "case is a number": ('[[deviation]]\ncase = 3\nreason = "x"', "case: got 3; expected text"),
    "no cases": ('[[deviation]]\ncase = []\nreason = "x"', "case: got []; expected one case or more"),
    "case in another precision": (
        '[[deviation]]\ncase = "loss/tiny in float16"\nreason = "x"\ndtype = "float8"',
        "expected float32 or float64",
    ),
    "cause is a list": ('[[deviation]]\ncase = "loss/tiny"\nreason = "x"\ncause = []', "cause: got []"),
    "unknown field": ('[[deviation]]\ncase = "loss/tiny"\nreson = "x"', "got 'reson'; expected case, reason"),
    "unknown dtype": ('[[deviation]]\ncase = "a"\nreason = "x"\ndtype = "bfloat16"', "expected float32 or float64"),
    "second entry": (GOOD + '[[deviation]]\ncase = "x"', "entry 3: reason is missing"),
}


@pytest.mark.parametrize(("text", "message"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_bad_file_is_one_clear_line(written: Callable[[str], Path], text: str, message: str) -> None:
    path = written(text)
    with pytest.raises(DeviationError) as caught:
        deviations.read(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(DeviationError, match="cannot be read: No such file"):
        deviations.read(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'reason = "\xe9"')
    with pytest.raises(DeviationError, match="cannot be read: not UTF-8 text"):
        deviations.read(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    ("case", "dtype", "keys"),
    [
        ("loss/tiny", None, "ab"),
        ("loss/tiny", "float64", "b"),
        ("errors/test_images", None, "cde"),
        ("errors/test_images[NaN]", None, "ce"),
        ("test_images", "float32", "cd"),
        ("errors/test_state", None, "g"),
    ],
)
def test_entry_finds_its_cases(case: str, dtype: str | None, keys: str) -> None:
    assert set(deviations.match([Deviation(case, "reason", dtype)], CASES)) == set(keys)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([Deviation("loss/large", "x")], "got 'loss/large'; expected the name of a case"),
        ([Deviation("tiny", "x")], "got 'tiny'"),
        ([Deviation("test_vector", "x")], "got 'test_vector'"),
        ([Deviation("training/mnist", "x", "float64")], "training/mnist is not graded in float64"),
        ([Deviation("test_state", "x")], "may be checkpoint/test_state and errors/test_state; name one"),
        ([Deviation("loss/tiny", "x"), Deviation("loss/tiny", "y", "float32")], "has an entry already"),
    ],
)
def test_entry_without_a_case_of_its_own_is_refused(entries: list[Deviation], message: str) -> None:
    with pytest.raises(DeviationError) as caught:
        deviations.match(entries, CASES)
    assert message in str(caught.value)


def test_declared_cases_deviate_and_nothing_else_does(tmp_path: Path) -> None:
    """The wrong port fails without the file, passes with it, and the report says why."""
    chosen = ("-k", "test_loss and tiny")
    assert grade(tmp_path, WRONG, *chosen).returncode == 1
    (tmp_path / "d.toml").write_text(GOOD, encoding="utf-8")
    run = grade(tmp_path, WRONG, *chosen, "--deviations", "d.toml")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "2 xfailed" in run.stdout
    assert "deviates: KL is averaged over the latents: loss/tiny in float32, loss/tiny in float64" in run.stdout
    assert "verdict: incomplete: 1 declared deviation, 2 cases" in run.stdout
    run = grade(tmp_path, WRONG, "-k", "test_loss and vector", "--deviations=d.toml")
    assert run.returncode == 1, "loss/full and others are not declared"


def test_declared_case_that_passes_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text(GOOD, encoding="utf-8")
    run = grade(tmp_path, WHOLE, "-k", "test_loss and tiny", "--deviations", "d.toml")
    assert run.returncode == 1
    assert "passes, so d.toml: entry 1 is out of date" in run.stdout
    assert "fails: loss/tiny in float64" in run.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[deviation]]\ncase = "loss/tinny"\nreason = "x"', "d.toml: entry 1: case: got 'loss/tinny'"),
        ('[[deviation]]\ncase = "loss/tiny"', "d.toml: entry 1: reason is missing"),
    ],
)
def test_bad_file_is_a_usage_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "d.toml").write_text(text, encoding="utf-8")
    run = grade(tmp_path, WHOLE, "-k", "test_loss and tiny", "--deviations", "d.toml")
    assert run.returncode == 2
    assert f"Error: --deviations: {message}" in run.stdout + run.stderr
    assert "Traceback" not in run.stdout + run.stderr


def test_entry_of_the_precision_left_out_is_no_error(tmp_path: Path) -> None:
    text = '[[deviation]]\ncase = "loss/tiny"\nreason = "x"\ndtype = "float64"\n'
    (tmp_path / "d.toml").write_text(text, encoding="utf-8")
    options = ("-k", "test_loss and tiny", "--vae-dtype", "float32", "--deviations", "d.toml")
    assert grade(tmp_path, WHOLE, *options).returncode == 0
