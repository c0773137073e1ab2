"""Where the time of training goes, operation by operation, as each framework's own profiler tells it.

`python -m vae_rosetta.benchmarks.profiles MODULE IMAGES.npy BATCH DTYPE` profiles the calls to `train` of one epoch,
after an epoch that compiles, and prints {"seconds": S, "steps": K, "operations": [{"name": ..., "seconds": ...}, ...]}.
The times are those of all threads together: with two threads at work, a second has two.
"""

import importlib
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from rich.console import Console

from vae_rosetta.benchmarks import data, processes, table
from vae_rosetta.benchmarks.plan import Plan
from vae_rosetta.benchmarks.profiles.operations import Operation, Profile
from vae_rosetta.shared.datasets import Dataset


class Profiler(Protocol):
    """A framework's module in this package: `with_torch.py`, by what a backend's `describe` calls its framework."""

    def operations(self, work: Callable[[], None]) -> list[Operation]:
        """Every operation of `work`, with the time that it took."""
        ...


def profiler(framework: str) -> Profiler:
    """The profiler of a framework, which is imported now.

    Raises:
        ValueError: none is known here.
    """
    known = [file.stem.removeprefix("with_") for file in sorted(Path(__file__).parent.glob("with_*.py"))]
    if framework not in known:
        raise ValueError(
            f"got the framework {framework!r}, whose profiler is not known here; expected {', '.join(known)}"
        )
    return cast(Profiler, importlib.import_module(f"{__name__}.with_{framework}"))


def profile(module: str, images: Path, batch: int, dtype: str) -> Profile:
    """Profiles `module` in a process of its own.

    Raises:
        RuntimeError: it failed; the message is one line.
    """
    try:
        line = processes.output(["-m", "vae_rosetta.benchmarks.profiles", module, str(images), str(batch), dtype])
    except RuntimeError as error:
        raise RuntimeError(f"{module}: {str(error).removeprefix('ValueError: ')}") from None
    found: dict[str, Any] = json.loads(line)
    operations = [Operation(**operation) for operation in found["operations"]]
    return Profile(found["seconds"], found["steps"], operations)


def show(modules: Sequence[str], plan: Plan, dataset: Dataset, console: Console) -> list[str]:
    """Profiles each module at each batch size of `plan`, and prints a table for each; returns what failed, in lines."""
    failed = []
    with tempfile.TemporaryDirectory(prefix="vae-benchmark-") as folder:
        images = data.write(dataset, plan.images, Path(folder))
        for module in modules:
            try:
                for batch in plan.batches:
                    found = profile(module, images.path, batch, plan.dtype)
                    table.show_profile(f"{module}, batch {batch}, {plan.dtype}", found, console)
            except RuntimeError as error:
                failed.append(str(error))
    return failed
