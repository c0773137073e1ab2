"""What the profilers of JAX and TensorFlow write: one format, which JAX reads, and so has to be installed."""

import re
from collections import Counter
from pathlib import Path
from typing import Final

from jax.profiler import ProfileData

from vae_rosetta.benchmarks.profiles.operations import Operation

# What contains other events, waits for them, or is a Python function.
_CONTAINERS: Final = re.compile(r"ThunkExecutor|while|call|\$|.*[Ww]ait")
_NUMBER: Final = re.compile(r"\.\d+$")  # of a compiled operation among those with its name


def operations(folder: str) -> list[Operation]:
    """What a profiler wrote to `folder`; operations whose names differ in the number at the end are one."""
    (path,) = Path(folder).rglob("*.xplane.pb")
    seconds: Counter[str] = Counter()
    for plane in ProfileData.from_file(str(path)).planes:
        for line in plane.lines:
            if "XLA" in line.name or "Eigen" in line.name:  # the threads that compiled code runs on
                for event in line.events:
                    if not _CONTAINERS.match(event.name):
                        seconds[_NUMBER.sub("", event.name)] += event.duration_ns / 1e9
    return [Operation(name, spent) for name, spent in seconds.items()]
