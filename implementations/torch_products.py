"""The matrix products of `torch_step.py`, by the faster of the two libraries that PyTorch brings along for CPUs.

PyTorch's own `mm` and `addmm` go to MKL, which keeps to AVX2 on CPUs that are not Intel's. On AMD's with AVX-512 of 512
bits throughout (Zen 5, 2024) that is half of what they can, and oneDNN nearly all: 61,000 and 108,000 images/s at batch
128 if training were the products alone. Where AVX-512 takes two turns of 256 bits (Zen 4), MKL is no slower.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor

# Elements of a weight below which MKL is the faster for its gradient.
_SMALL: Final = 40_000


class Products:
    """Products for tensors on one device and of one dtype. Results may be in `out`, or in new memory."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._onednn = _onednn() if device.type == "cpu" and dtype == torch.float32 else None

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor, *, out: Tensor, relu: bool = False) -> Tensor:
        """x (B, in), weight (out, in), bias (out,) -> x weight^T + bias (B, out), or its relu."""
        if self._onednn is not None:
            return self._onednn(x, weight, bias, "relu" if relu else "none", [], "")
        torch.addmm(bias, x, weight.T, out=out)
        return out.relu_() if relu else out

    def d_input(self, d_output: Tensor, weight: Tensor, *, out: Tensor) -> Tensor:
        """d_output (B, out), weight (out, in) -> d_output weight (B, in)."""
        if self._onednn is not None:
            return self._onednn(d_output, weight.T, None, "none", [], "")
        return torch.mm(d_output, weight, out=out)

    def d_weight(self, d_output: Tensor, x: Tensor, *, out: Tensor) -> Tensor:
        """d_output (B, out), x (B, in) -> d_output^T x (out, in), always in `out`."""
        if self._onednn is None or out.numel() < _SMALL:
            return torch.mm(d_output.T, x, out=out)
        # oneDNN's operator first makes its left factor contiguous: that of the two ways which transposes less.
        if d_output.numel() <= x.numel() + out.numel():
            return out.copy_(self._onednn(d_output.T, x.T, None, "none", [], ""))
        return out.copy_(self._onednn(x.T, d_output.T, None, "none", [], "").T)


def _onednn() -> Callable[..., Tensor] | None:
    """The operator that PyTorch's compiler uses for linear layers, on CPUs where it is the faster; else None."""
    if not torch.backends.mkldnn.enabled:  # the user's switch
        return None
    capabilities: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    # AMD alone has SSE4a, and of AMD's CPUs with AVX-512 those alone have AVX-VNNI that are 512 bits wide throughout.
    if not all(capabilities().get(feature) for feature in ("sse4a", "avx512_f", "avx_vnni")):
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)
