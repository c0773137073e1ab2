"""The gate: a backend that does not compute the specified model is not timed, since its speed would mean nothing."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple
from xml.etree import ElementTree

from vae_rosetta.benchmarks import processes
from vae_rosetta.shared import checks

CHAPTERS: Final = ("forward", "loss", "gradients", "training")
_NAMED: Final = 3  # failing cases that a refusal names


class Verdict(NamedTuple):
    """What the conformance suite said of a module."""

    passed: int  # cases
    skipped: int
    refusal: str  # why the module is refused, in one line; empty if it is not


def grade(module: str, dtype: str = "float32") -> Verdict:
    """Runs the suite's `CHAPTERS` on `module` in float32 and, if `dtype` is the mixed one, its own grading; each in a
    process of its own."""
    verdict = _grade(module)
    if dtype != checks.MIXED or verdict.refusal:
        return verdict
    try:
        processes.output(["-m", "vae_rosetta.conformance", "mixed", module])
    except RuntimeError as error:
        return verdict._replace(refusal=str(error))
    return verdict


def _grade(module: str) -> Verdict:
    """In float32."""
    with tempfile.TemporaryDirectory(prefix="vae-gate-") as folder:
        report = Path(folder, "report.xml")
        chosen = " or ".join(f"test_{chapter}.py" for chapter in CHAPTERS)
        options = ["--vae-dtype", "float32", "-q", "-k", chosen, f"--junitxml={report}"]
        command = [sys.executable, "-m", "vae_rosetta.conformance", module, *options]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if not report.exists():  # not even collected
            last = [line for line in done.stdout.splitlines() if line.strip()][-1:] or ["it said nothing"]
            return Verdict(0, 0, f"cannot be graded: {last[0].removeprefix('ERROR: ')}")
        return _verdict(ElementTree.parse(report).getroot(), done.returncode)


def _verdict(report: ElementTree.Element, exit_code: int) -> Verdict:
    passed: dict[str, int] = dict.fromkeys(CHAPTERS, 0)
    failing: list[str] = []
    reasons: dict[str, list[str]] = {}  # of what was skipped, by chapter
    for case in report.iter("testcase"):
        chapter = case.get("classname", "").rpartition("test_")[2]
        if case.find("failure") is not None or case.find("error") is not None:
            failing.append(f"{chapter}: {case.get('name', '').removeprefix('test_')}")
        elif (skipped := case.find("skipped")) is not None:
            reasons.setdefault(chapter, []).append(skipped.get("message", ""))
        elif chapter in passed:
            passed[chapter] += 1
    total = sum(passed.values())
    refusal = ""
    if failing:
        more = f" and {len(failing) - _NAMED} more" if len(failing) > _NAMED else ""
        refusal = f"does not conform: {'; '.join(failing[:_NAMED])}{more}"
    elif absent := [chapter for chapter, count in passed.items() if not count]:
        reason = next((reasons[chapter][0] for chapter in absent if chapter in reasons), "no case was run")
        refusal = f"passes nothing of {', '.join(absent)}: {reason}"
    elif exit_code:
        refusal = f"cannot be graded: the suite ended with exit code {exit_code}"
    return Verdict(total, sum(map(len, reasons.values())), refusal)
