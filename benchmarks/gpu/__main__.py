"""`python -m vae_rosetta.benchmarks.gpu`, which `benchmarks/gpu.sh` calls."""

import importlib.metadata
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from vae_rosetta.benchmarks import machine
from vae_rosetta.benchmarks.gpu import cuda, plan
from vae_rosetta.benchmarks.gpu.run import MISSING, Outcome, Run
from vae_rosetta.shared import files
from vae_rosetta.shared.command_line import DONE, NO, Command, Interrupted

FORMAT: Final = 1
_PACKAGES: Final = ("torch", "triton", "jax", "jaxlib", "flax", "optax", "tensorflow", "keras", "numpy", "constriction")
_MOST_TOGETHER: Final = 16  # processes on one GPU


@click.command(cls=Command)
@click.option(
    "--device",
    type=click.Choice(["cuda", "cpu"]),
    default="cuda",
    show_default=True,
    help="Grade and time the ports on this device. On the CPU the counts are small: that tries the script.",
)
@click.option(
    "--part", "words", multiple=True, metavar="WORD", help="Run the parts with this word in their names only."
)
@click.option("--list", "listed", is_flag=True, help="Show the parts and their limits, and run none.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default="gpu.json",
    show_default=True,
    help="Write all findings to this file, anew after each part.",
)
@click.option("--force", is_flag=True, help="Replace --out if it exists.")
def gpu(device: str, words: tuple[str, ...], listed: bool, out: Path, force: bool) -> int:
    """Grade and time the ports on a GPU, within six minutes.

    The parts that grade run side by side, the parts that time one after the other. Each has a process and a limit of
    its own. A part whose package is missing is a line of the table. The answer is yes if nothing is wrong and every
    other part came to its end.
    """
    chosen = plan.parts(device, words)
    if listed:
        for part in chosen:
            click.echo(f"{part.name:<40} {part.seconds:4.0f} s")
        return DONE
    if out.exists() and not force:
        raise FileExistsError(f"--out: {str(out)!r} exists; --force replaces it")
    if not out.absolute().parent.is_dir():
        raise FileNotFoundError(f"--out: got {str(out)!r}; there is no folder {str(out.parent)!r}")
    from rich.console import Console

    from vae_rosetta.benchmarks.gpu import table

    cards = cuda.driver()
    if device == "cuda" and not cuda.is_here():
        raise ValueError("--device: got 'cuda', but there is no NVIDIA GPU here; expected cpu (DEVICE=cpu)")
    head = {"format": FORMAT, "device": device, "cards": cards.splitlines(), "packages": _versions()}
    head |= {
        "machine": machine.machine(),
        "software": machine.software(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    started, outcomes = time.monotonic(), list[Outcome]()

    def over(outcome: Outcome) -> None:
        outcomes.append(outcome)
        click.echo(f"{outcome.part.name}: {outcome.state} in {outcome.seconds:.0f} s", err=True)
        _write(out, head, outcomes, time.monotonic() - started)

    try:
        Run(plan.LIMIT[device], over).all(chosen, together=min(os.cpu_count() or 1, _MOST_TOGETHER))
    except KeyboardInterrupt:
        kept = f"{out} has what {len(outcomes)} of {len(chosen)} parts found." if outcomes else "Nothing was written."
        raise Interrupted(f"Interrupted. {kept}") from None
    table.show(outcomes, Console(highlight=False))
    click.echo(f"{out}: every finding; {time.monotonic() - started:.0f} s")
    nothing = all(outcome.state == MISSING for outcome in outcomes)
    return NO if nothing or not all(outcome.good for outcome in outcomes) else DONE


def _versions() -> dict[str, str | None]:
    """Of what parts may need; None for what is not installed."""

    def version(package: str) -> str | None:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return None

    return {package: version(package) for package in _PACKAGES}


def _write(out: Path, head: dict[str, Any], outcomes: Sequence[Outcome], seconds: float) -> None:
    report = {**head, "seconds": seconds, "parts": [outcome.json() for outcome in outcomes]}
    files.write_text(out, json.dumps(report, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    gpu()
