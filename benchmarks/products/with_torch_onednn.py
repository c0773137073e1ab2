"""Products by the oneDNN that PyTorch brings along, through the operator that its compiler uses for linear layers."""

import torch

from vae_rosetta.benchmarks.products import Step
from vae_rosetta.benchmarks.products.shapes import Operands


def version() -> str:
    """PyTorch's."""
    return torch.__version__


def step(operands: list[Operands]) -> Step:
    """See `benchmarks.products.Products`."""
    linear = torch.ops.mkldnn._linear_pointwise
    work = [(torch.from_numpy(a), torch.from_numpy(b.T)) for a, b in operands]  # it takes b transposed

    @torch.inference_mode()
    def run() -> None:
        for a, b in work:
            linear(a, b, None, "none", [], "")

    return run
