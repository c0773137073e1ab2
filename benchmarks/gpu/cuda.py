"""What needs CUDA and cannot be tried without: all of it that this package has. Imports PyTorch when it is called."""

import subprocess
from collections.abc import Callable
from pathlib import Path

Work = Callable[[], object]


def wait(device: str) -> None:
    """Until all work that was queued on `device` is done; on a CPU it is."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def captured(work: Work) -> Work:
    """`work`, which only queues kernels, as one launch."""
    import torch

    work()  # what a library does on its first call cannot be captured
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def is_here() -> bool:
    """Whether the driver's device is there, or its tool knows of a GPU."""
    return Path("/dev/nvidiactl").exists() or bool(driver())


def card() -> str:
    """The GPU's name and the CUDA that PyTorch was built with."""
    import torch

    return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"


def driver() -> str:
    """Of each GPU its name, the driver's version and the memory, as nvidia-smi says; empty where there is none."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
