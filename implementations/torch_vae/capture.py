"""Many kernels as one launch: a training step in a CUDA graph.

A step at batch 128 is some forty kernels. A GPU is through with each of them sooner than the host can launch the next.
A graph launches all of them at once.

What is captured is what the kernels are called with, numbers and addresses; nothing is computed. So a captured function
takes nothing that lies elsewhere the next time: the noise is copied to a place of its own first, images are gathered to
`Step.x`, and Adam's number of updates is in a tensor.

Nobody has run this on a GPU yet. Where PyTorch refuses, every step goes on as it would without, and `how` says why.
"""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

EAGER_CALLS: Final = 2  # before a capture: what a library does when it is first called cannot be captured

_refusal = ""  # PyTorch's, in this process: it is not asked again


def is_wanted(device: torch.device) -> bool:
    """Whether steps on this device are to be captured."""
    return device.type == "cuda" and not _refusal


def how() -> str:
    """How steps on a GPU are launched, for reports."""
    return f"a kernel at a time, since a CUDA graph was refused: {_refusal}" if _refusal else "CUDA graph"


class Captured:
    """A function of the noise that only launches kernels: as one launch from its third call on."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        """`function` takes noise (B, L) and returns the objective, shape ()."""
        self._function = function
        self._calls = 0
        self._noise: Tensor | None = None
        self._objective: Tensor | None = None
        self._replay: Callable[[], None] | None = None

    def __call__(self, noise: Tensor) -> Tensor:
        """noise (B, L) -> the objective, shape (), which the next call may overwrite."""
        if self._calls < EAGER_CALLS or _refusal:
            self._calls += 1
            return self._function(noise)
        if self._noise is None:
            self._noise = torch.empty_like(noise)
        self._noise.copy_(noise)
        if self._replay is None:
            self._capture(self._noise)
        if self._replay is None or self._objective is None:
            return self._function(noise)
        self._replay()
        return self._objective

    def _capture(self, noise: Tensor) -> None:
        global _refusal
        try:
            self._replay, self._objective = record(lambda: self._function(noise))
        except RuntimeError as error:
            _refusal = (str(error).splitlines() or [type(error).__name__])[0]


def record(function: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Captures `function`: what launches it, and where its result will be.

    Raises:
        RuntimeError: PyTorch cannot capture it.
    """
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
    try:
        with torch.cuda.graph(graph):
            result = function()
    finally:
        torch.cuda.set_stream(stream)  # PyTorch leaves its own in place if it refuses
    return graph.replay, result
