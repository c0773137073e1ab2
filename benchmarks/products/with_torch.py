"""Products by PyTorch's `mm`."""

import torch

from vae_rosetta.benchmarks.products import Step
from vae_rosetta.benchmarks.products.shapes import Operands, Vectors


def version() -> str:
    """PyTorch's."""
    return torch.__version__


def step(operands: list[Operands]) -> Step:
    """See `benchmarks.products.Products`."""
    return queued(operands, "cpu")


def queued(operands: list[Operands], device: str, dtype: torch.dtype = torch.float32) -> Step:
    """The same on a device. On a GPU the call returns before the products are made."""
    work = [(torch.from_numpy(a).to(device, dtype), torch.from_numpy(b).to(device, dtype)) for a, b in operands]
    outputs = [torch.empty(a.shape[0], b.shape[1], device=device, dtype=dtype) for a, b in work]

    @torch.inference_mode()
    def run() -> None:
        for (a, b), out in zip(work, outputs, strict=True):
            torch.mm(a, b, out=out)

    return run


def traffic(vectors: Vectors) -> Step:
    """See `benchmarks.products.Traffic`."""
    params, gradient, m, v = map(torch.from_numpy, vectors)

    @torch.inference_mode()
    def run() -> None:
        params.add_(gradient)
        m.neg_()
        v.neg_()

    return run
