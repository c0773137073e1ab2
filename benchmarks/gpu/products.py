"""The device's own limits: the matrix products of a training step, and the launch of as many empty kernels."""

import importlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from vae_rosetta.benchmarks import products
from vae_rosetta.benchmarks.gpu import cuda, timing
from vae_rosetta.benchmarks.gpu.finding import Finding
from vae_rosetta.benchmarks.gpu.plan import Amounts, Part
from vae_rosetta.benchmarks.products import shapes
from vae_rosetta.implementations import ports
from vae_rosetta.shared import parameters, spec
from vae_rosetta.shared.spec import Sizes


def findings(part: Part, amounts: Amounts) -> Iterator[Finding]:
    """See `part.Work`."""
    return _by_torch(part, amounts) if part.subject == "torch" else _by(part.subject, amounts)


def _by(library: str, amounts: Amounts) -> Iterator[Finding]:
    """By a library that takes the GPU if there is one."""
    for batch in amounts.batches:
        taken = shapes.fastest(products.step(library, Sizes(), batch), amounts.turn_seconds)
        yield Finding(f"batch {batch}: products, float32", batch / taken, "images/s")


def _by_torch(part: Part, amounts: Amounts) -> Iterator[Finding]:
    import torch

    from vae_rosetta.benchmarks.products import with_torch

    if part.device == "cuda":
        yield Finding("card", cuda.card())
    torch.set_float32_matmul_precision("highest")
    count = operators_of_a_step(part.device)
    one = torch.zeros(1, device=part.device)
    yield Finding("operators of a step of torch_vae", count)

    def launch() -> None:
        for _ in range(count):
            one.add_(1.0)

    for how, launched in _ways(part.device):  # what may be refused comes last
        taken = timing.seconds(launched(launch), part.device, amounts.turn_seconds)
        yield Finding(f"as many on one number{how}", 1e6 * taken, "µs")
        for batch, dtype in itertools.product(amounts.batches, (torch.float32, torch.bfloat16)):
            work = launched(with_torch.queued(shapes.operands(Sizes(), batch), part.device, dtype))
            taken = timing.seconds(work, part.device, amounts.turn_seconds)
            what = f"batch {batch}: products, {str(dtype).removeprefix('torch.')}{how}"
            yield Finding(what, batch / taken, "images/s")


def _ways(device: str) -> Iterator[tuple[str, Callable[[cuda.Work], cuda.Work]]]:
    """How work is launched, and what makes it so: as it is, and on a GPU all at once."""
    yield "", lambda work: work
    if device == "cuda":
        yield ", in a CUDA graph", cuda.captured


def operators_of_a_step(device: str) -> int:
    """How many of PyTorch's operators a training step calls that compute something: at least as many kernels."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
        calls = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            returned = [result.alias_info for result in func._schema.returns]
            is_view = any(alias is not None and not alias.is_write for alias in returned)
            self.calls += not is_view and "empty" not in func.__name__
            return func(*args, **(kwargs or {}))

    model = importlib.import_module(ports.PORTS["torch"].module).load(parameters.initial(0), device=device)
    x = np.zeros((4, spec.INPUT_DIM), dtype=np.float32)
    counted: list[int] = []
    for steps in (1, 2):
        with Count() as count:  # type: ignore[no-untyped-call]
            model.train(x, np.zeros((steps, 4), dtype=np.int64), np.zeros((steps, 4, spec.LATENT_DIM), np.float32))
        counted.append(count.calls)
    return counted[1] - counted[0]
