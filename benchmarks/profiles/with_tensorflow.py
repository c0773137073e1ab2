"""TensorFlow's profiler."""

import tempfile
from collections.abc import Callable

import tensorflow as tf

from vae_rosetta.benchmarks.profiles import xla
from vae_rosetta.benchmarks.profiles.operations import Operation


def operations(work: Callable[[], None]) -> list[Operation]:
    """Every operation of `work`."""
    with tempfile.TemporaryDirectory(prefix="vae-profile-") as folder:
        tf.profiler.experimental.start(folder)
        try:
            work()
        finally:
            tf.profiler.experimental.stop()
        return xla.operations(folder)
