"""PyTorch's profiler: the time of every operator, without that of the operators which it calls."""

from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity

from vae_rosetta.benchmarks.profiles.operations import Operation


def operations(work: Callable[[], None]) -> list[Operation]:
    """Every operation of `work`."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    with torch.profiler.profile(activities=activities) as profiler:
        work()
    return [Operation(event.key, event.self_cpu_time_total / 1e6) for event in profiler.key_averages()]
