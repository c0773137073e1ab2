"""What the README shows strangers is true: its port, its failure, its deviations, its options."""

import json
import re
from pathlib import Path
from typing import Final

import pytest

from vae_rosetta.conformance import outcome
from vae_rosetta.conformance.cli import conformance
from vae_rosetta.conformance.meta.strangers import ROOT, grade, suite
from vae_rosetta.shared.command_line import EXIT_CODES

README: Final = (ROOT / "conformance/README.md").read_text(encoding="utf-8")


def _block(language: str) -> str:
    """The one code block in `language`."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1, language
    return str(blocks[0])


def test_port_conforms_in_what_it_has(tmp_path: Path) -> None:
    run = grade(tmp_path, _block("python"), "--report", "out.json")
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert found["verdict"] == "conforms"
    verdicts = {chapter["name"]: chapter["verdict"] for chapter in found["chapters"]}
    missing = {"gradients", "training", "checkpoint", "sampling"}
    assert {name for name, verdict in verdicts.items() if verdict == "absent"} == missing
    assert {verdict for name, verdict in verdicts.items() if name not in missing} == {"conforms"}


def test_failure_is_what_the_suite_prints(tmp_path: Path) -> None:
    right, wrong = "np.exp(logvar / 2)", "np.exp(logvar)"
    assert f"Write `{wrong}` for `{right}`" in README
    assert _block("python").count(right) == 1
    chosen = ("-k", "log-variance", "--vae-dtype", "float32")
    run = grade(tmp_path, _block("python").replace(right, wrong), *chosen)
    assert run.returncode == 1
    assert _block("text") in run.stdout


def test_deviations_name_cases(tmp_path: Path) -> None:
    (tmp_path / "deviations.toml").write_text(_block("toml"), encoding="utf-8")
    options = ("-q", "--deviations", "deviations.toml", "-k", "tiny-gradients or 8-bit", "--report", "out.json")
    run = suite(tmp_path, "vae_rosetta.shared.oracle", *options)
    assert run.returncode == 1, "the oracle deviates nowhere: both entries are out of date"
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    failed = {(entry["case"], entry["dtype"]) for entry in found["failures"] if "out of date" in entry["message"]}
    case, other = (
        f"errors/{test}[8-bit pixels]" for test in ("test_images", "test_training_images_leave_the_model_alone")
    )
    assert failed == {
        *(("training/tiny-gradients", "float32"), (other, "float32")),
        *((case, "float32"), (case, "float64")),
    }


def test_options_and_verdicts_are_those_that_exist() -> None:
    table = re.findall(r"^\| `(--[a-z-]+)", README, flags=re.MULTILINE)
    assert set(table) == {
        option for parameter in conformance.params for option in parameter.opts if option != "--traceback"
    } - {"words"}
    for verdict in outcome.VERDICTS:
        assert f"\n| {verdict} |" in README


def test_exit_codes_are_those_of_every_command() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", README, flags=re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES


@pytest.mark.parametrize("chapter", outcome.CHAPTERS)
def test_chapters_are_listed_and_exist(chapter: str) -> None:
    assert f"\n| {chapter} |" in README
    assert (ROOT / f"conformance/chapters/test_{chapter}.py").is_file()
    assert len(list((ROOT / "conformance/chapters").glob("test_*.py"))) == len(outcome.CHAPTERS)
