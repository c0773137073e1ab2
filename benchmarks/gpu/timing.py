"""Seconds of a call that only queues its work."""

import time
from typing import Final

from vae_rosetta.benchmarks.gpu import cuda
from vae_rosetta.benchmarks.gpu.cuda import Work
from vae_rosetta.benchmarks.products.shapes import fastest

_IN_A_ROW: Final = {"cuda": 20, "cpu": 1}  # calls between two waits: with many, the wait is no part of the time


def seconds(work: Work, device: str, least: float) -> float:
    """Of one call: the average of the fastest burst of those that fit into `least` seconds."""
    calls = _IN_A_ROW[device]

    def burst() -> None:
        for _ in range(calls):
            work()
        cuda.wait(device)

    burst()
    return fastest(burst, least) / calls


def elapsed(work: Work, device: str) -> float:
    """Of one call, with all that it has queued."""
    cuda.wait(device)
    started = time.perf_counter()
    work()
    cuda.wait(device)
    return time.perf_counter() - started
