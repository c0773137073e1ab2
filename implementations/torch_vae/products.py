"""The matrix products of `step.py`, by the faster of the two libraries that PyTorch brings along for CPUs.

PyTorch's own `mm` and `addmm` go to MKL, which on AMD's CPUs with AVX-512 of 512 bits throughout (Zen 5, 2024) reaches
half of what they can, and oneDNN nearly all: 61,000 and 108,000 images/s at batch 128 if training were the products
alone. On an older EPYC with AVX-512, without AVX-VNNI, both took the same there (53,000 and 54,000), and MKL less at
larger batches. On Intel's, MKL stays: it is PyTorch's own choice for float32, and a public comparison found both alike
(intel/intel-extension-for-pytorch#475). It has not been measured here.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor

# Elements of a weight: for its gradient MKL was the faster at 16,000, and oneDNN at 313,600.
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
