"""Trained weights as whole numbers, so small that float64 adds up any product of them exactly.

Every layer's weights are multiplied by a power of two and rounded. Pixels are 0 or 1 and latents are grid positions,
relu keeps whole numbers whole, and nothing is rounded between the layers: so all values are whole numbers, and as long
as the terms of a sum together stay below 2^53, every partial sum is exact in float64, in any order, with or without
fused multiplication, for any batch size. The model's arithmetic is then the same in every framework and on every
machine. Bounds are computed from the weights, in unlimited integers; weights that cannot meet them are refused.

Rounding is exact too (a float32 times a power of two), so one set of weights gives one integer network everywhere.
"""

import hashlib
import math
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vae_rosetta.applications.compression import tables
from vae_rosetta.shared import parameters, spec
from vae_rosetta.shared.contract import Array, Tensors
from vae_rosetta.shared.spec import Sizes

EXACT_LIMIT: Final = 2**53  # float64 holds every whole number up to here
WEIGHT_BITS: Final = 12  # of the largest weight in each layer, its sign included; 8 would cost 0.15 % of the rate
LEAST_WEIGHT_BITS: Final = 8
_MOST_SHIFT: Final = 24  # fraction bits of a layer whose weights are all tiny

_Integers = npt.NDArray[np.int64]
_LAYERS: Final = tuple(name.removesuffix(".weight") for name in spec.PARAMETER_NAMES if name.endswith(".weight"))
# Which layer's output is a layer's input.
_INPUT: Final = {
    "encoder.fc2_mu": "encoder.fc1",
    "encoder.fc2_logvar": "encoder.fc1",
    "decoder.fc4": "decoder.fc3",
}


class IntegerNetwork(NamedTuple):
    """Whole numbers in place of parameters, and how many binary digits of each output are fraction."""

    sizes: Sizes
    tensors: dict[str, _Integers]  # under the canonical names
    shifts: dict[str, int]  # of each layer's output: value = integer / 2^shift
    weight_bits: int
    sha256: bytes  # of all that decides the coding: sizes, shifts, tensors, tables

    def params(self) -> dict[str, Array]:
        """The same numbers as parameters in float64, for any backend."""
        return {name: tensor.astype(np.float64) for name, tensor in self.tensors.items()}


def quantise(params: Tensors, weight_bits: int = WEIGHT_BITS) -> IntegerNetwork:
    """The integer network of trained parameters: the finest of at most `weight_bits` bits a weight that stays exact.

    Raises:
        TypeError, ValueError: see `parameters.sizes_of`; also for weights that no such network can stand for.
    """
    sizes = parameters.sizes_of(params)
    for bits in range(weight_bits, LEAST_WEIGHT_BITS - 1, -1):
        tensors, shifts = _rounded(params, bits)
        if tensors is not None and largest_sum(tensors) < EXACT_LIMIT:
            return IntegerNetwork(sizes, tensors, shifts, bits, _sha256(sizes, tensors, shifts))
    raise ValueError(
        f"weights: got layers whose sums need more than 53 bits at {LEAST_WEIGHT_BITS} bits a weight; "
        "expected trained weights of ordinary size"
    )


def largest_sum(tensors: dict[str, _Integers]) -> int:
    """A bound on every partial sum of every layer: |bias| + sum of |weight| times the input's own bound."""
    inputs = {
        "encoder.fc1": np.full(tensors["encoder.fc1.weight"].shape[1], 1, dtype=object),
        "decoder.fc3": np.full(tensors["decoder.fc3.weight"].shape[1], tables.GRID_LIMIT, dtype=object),
    }
    outputs: dict[str, Any] = {}
    for layer in _LAYERS:
        weight, bias = (np.abs(tensors[f"{layer}.{kind}"]).astype(object) for kind in ("weight", "bias"))
        outputs[layer] = weight @ (inputs[layer] if layer in inputs else outputs[_INPUT[layer]]) + bias
    return max(int(bound.max()) for bound in outputs.values())


def _rounded(params: Tensors, bits: int) -> tuple[dict[str, _Integers] | None, dict[str, int]]:
    """Weights and biases as integers, None where one does not fit; and the fraction bits of each layer's output."""
    tensors: dict[str, _Integers] = {}
    shifts: dict[str, int] = {}
    for layer in _LAYERS:
        weight, bias = (params[f"{layer}.{kind}"].astype(np.float64) for kind in ("weight", "bias"))
        shift = _weight_shift(weight, bits)
        start = tables.GRID_BITS if layer == "decoder.fc3" else 0  # pixels are whole, latents are grid positions
        shifts[layer] = shift + (shifts[_INPUT[layer]] if layer in _INPUT else start)
        bias = np.rint(np.ldexp(bias, shifts[layer]))
        if not np.abs(bias).max() < EXACT_LIMIT:
            return None, shifts
        tensors[f"{layer}.weight"] = np.rint(np.ldexp(weight, shift)).astype(np.int64)
        tensors[f"{layer}.bias"] = bias.astype(np.int64)
    return tensors, shifts


def _weight_shift(weight: Array, bits: int) -> int:
    """The greatest shift at which every weight, rounded, is below 2^(bits - 1) in magnitude."""
    largest = float(np.abs(weight).max())
    if largest == 0.0:
        return _MOST_SHIFT
    shift = min(bits - 1 - math.frexp(largest)[1], _MOST_SHIFT)
    return shift - 1 if round(math.ldexp(largest, shift)) == 2 ** (bits - 1) else shift


def _sha256(sizes: Sizes, tensors: dict[str, _Integers], shifts: dict[str, int]) -> bytes:
    """Of lines "tables SHA256", "sizes D H L", and "NAME SHIFT" with the tensor in int64, little end first."""
    digest = hashlib.sha256(f"tables {tables.SHA256}\nsizes {' '.join(map(str, sizes))}\n".encode("ascii"))
    for name in spec.PARAMETER_NAMES:
        digest.update(f"{name} {shifts[name.rpartition('.')[0]]}\n".encode("ascii"))
        digest.update(tensors[name].astype("<i8").tobytes())
    return digest.digest()
