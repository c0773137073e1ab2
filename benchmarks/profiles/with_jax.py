"""JAX's profiler."""

import tempfile
from collections.abc import Callable

import jax

from vae_rosetta.benchmarks.profiles import xla
from vae_rosetta.benchmarks.profiles.operations import Operation


def operations(work: Callable[[], None]) -> list[Operation]:
    """Every operation of `work`."""
    with tempfile.TemporaryDirectory(prefix="vae-profile-") as folder:
        with jax.profiler.trace(folder):
            work()
        return xla.operations(folder)
