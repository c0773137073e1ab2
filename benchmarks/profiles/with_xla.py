"""The profilers of JAX and TensorFlow, which write the same format; JAX reads it, and so has to be installed."""

import re
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import jax
from jax.profiler import ProfileData

from vae_rosetta.benchmarks.profiles.operations import Operation

# What contains other events, waits for them, or is a Python function.
_CONTAINERS: Final = re.compile(r"ThunkExecutor|while|call|\$|.*[Ww]ait")
_NUMBER: Final = re.compile(r"\.\d+$")  # of a compiled operation among those with its name


def operations(framework: str, work: Callable[[], None]) -> list[Operation]:
    """Every operation of `work`; those whose names differ in the number at the end are one."""
    with tempfile.TemporaryDirectory(prefix="vae-profile-") as folder:
        if framework == "jax":
            with jax.profiler.trace(folder):
                work()
        else:
            import tensorflow as tf

            tf.profiler.experimental.start(folder)
            try:
                work()
            finally:
                tf.profiler.experimental.stop()
        (written,) = Path(folder).rglob("*.xplane.pb")
        return _read(written)


def _read(path: Path) -> list[Operation]:
    seconds: Counter[str] = Counter()
    for plane in ProfileData.from_file(str(path)).planes:
        for line in plane.lines:
            if "XLA" in line.name or "Eigen" in line.name:  # the threads that compiled code runs on
                for event in line.events:
                    if not _CONTAINERS.match(event.name):
                        seconds[_NUMBER.sub("", event.name)] += event.duration_ns / 1e9
    return [Operation(name, spent) for name, spent in seconds.items()]
