"""The process of one part: `python -m vae_rosetta.benchmarks.gpu.part FRAGMENT.json KIND SUBJECT VARIANT DEVICE
AMOUNTS`.

It writes all that it has found until then after each finding, atomically: whoever ends it loses nothing.
"""

import importlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol, cast

from vae_rosetta.benchmarks.gpu import plan
from vae_rosetta.benchmarks.gpu.finding import Finding
from vae_rosetta.benchmarks.gpu.plan import Amounts, Part
from vae_rosetta.shared import files


class Work(Protocol):
    """A module of this package that does a kind of part."""

    def findings(self, part: Part, amounts: Amounts) -> Iterator[Finding]:
        """One after the other, as they come."""
        ...


def record(found: Iterable[Finding], fragment: Path) -> None:
    """Writes the findings to `fragment` as they come."""
    lines = []
    for finding in found:
        lines.append(finding.json())
        files.write_text(fragment, json.dumps(lines))


def main() -> None:
    """The entry point."""
    fragment, kind, subject, variant, device, amounts = sys.argv[1:]
    work = cast(Work, importlib.import_module(f"{plan.HERE}.{kind}"))
    part = Part(kind, subject, variant, device, seconds=0)
    record(work.findings(part, plan.AMOUNTS[amounts]), Path(fragment))


if __name__ == "__main__":
    main()
