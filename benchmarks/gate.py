"""The gate: a backend that does not compute the specified model is not timed, since its speed would mean nothing."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from vae_rosetta.benchmarks import processes
from vae_rosetta.conformance import certificate
from vae_rosetta.conformance.certificate import Certificate
from vae_rosetta.conformance.outcome import Result, named
from vae_rosetta.shared import checks

CHAPTERS: Final = ("forward", "loss", "gradients", "training")
_DTYPE: Final = "float32"
_NAMED: Final = 3  # failing cases that a refusal names


class Verdict(NamedTuple):
    """What the conformance suite found of a module."""

    passed: int  # cases
    skipped: int
    refusal: str  # why the module is refused, in one line; empty if it is not


def grade(module: str, dtype: str = _DTYPE) -> Verdict:
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
        report = Path(folder, "certificate.json")
        chosen = " or ".join(f"test_{chapter}.py" for chapter in CHAPTERS)
        options = ["--dtype", _DTYPE, "-q", "-k", chosen, "--report", str(report)]
        done = subprocess.run(
            [sys.executable, "-m", "vae_rosetta.conformance", module, *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if not report.exists():  # the suite has refused to grade, and says why in its last line
            last = [line for line in done.stderr.splitlines() if line.strip()][-1:] or [f"exit code {done.returncode}"]
            return Verdict(0, 0, f"cannot be graded: {last[0].removeprefix('Error: ')}")
        return _verdict(certificate.read(report))


def _verdict(found: Certificate) -> Verdict:
    counts = {c["name"]: c["dtypes"][_DTYPE]["counts"] for c in found["chapters"] if c["name"] in CHAPTERS}
    passed = {chapter: counts[chapter][Result.PASSED] for chapter in CHAPTERS}
    skipped = sum(count[Result.SKIPPED] + count[Result.ABSENT] for count in counts.values())
    refusal = ""
    if failing := [named(entry) for entry in found["failures"]]:
        more = f" and {len(failing) - _NAMED} more" if len(failing) > _NAMED else ""
        refusal = f"does not conform: fails {', '.join(failing[:_NAMED])}{more}"
    elif cut := [chapter for chapter, count in counts.items() if count[Result.NOT_RUN]]:
        refusal = f"cannot be graded: {', '.join(cut)} ended early: {found['incomplete'][0]}"
    elif empty := [chapter for chapter, count in passed.items() if not count]:
        reasons = [f"it lacks {absent['ability']} ({absent['reason']})" for absent in found["absent"]]
        refusal = f"passes nothing of {', '.join(empty)}: {(reasons or found['incomplete'])[0]}"
    return Verdict(sum(passed.values()), skipped, refusal)
