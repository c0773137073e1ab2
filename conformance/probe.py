"""The precision probe: in which arithmetic a backend's matrix products really run, asked before anything is graded.

TF32 and bfloat16 are defaults on some devices (jax-ml/jax#10413, tensorflow/tensorflow#127577). A device that computes
in them cannot be graded as float32: every vector would fail, for a reason that none of them names.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from vae_rosetta.shared import parameters
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes

_SIDE: Final = 1024  # pixels: as many terms as make a library choose its fast kernels
_UNITS: Final = 64  # rows, hidden units and latents
_COARSEST: Final = 2.0**-7  # error of bfloat16, which keeps 8 bits
_SMALL: Final = 2.0**-30  # below what float16 can hold
EXPECTED: Final[Mapping[str, int]] = {"float32": 24, "float64": 53}  # bits of significand


def refusal(backend: Any, dtype: str, device: str = "auto") -> str | None:
    """Why a backend cannot be graded in a precision: a message that names the mode found, or None if it can be."""
    bits, wide = significand(backend, dtype, device)
    if bits >= EXPECTED[dtype]:
        return None
    mode = mode_name(bits, wide=wide)
    return (
        f"precision: got matrix products in {mode} from a model loaded as {dtype}; expected IEEE {dtype} "
        f"({EXPECTED[dtype]} bits of significand); switch the faster mode off, or grade another --vae-dtype"
    )


def significand(backend: Any, dtype: str, device: str = "auto") -> tuple[int, bool]:
    """Bits of significand that a factor of a matrix product keeps, and whether the exponent goes below float16's.

    Picture k is white at pixel k alone, and the weights of pixel k are 1 + 2^-k: hidden unit and mean are that weight
    times 1, exact in any precision that can hold it. The last picture meets weights of 2^-30. Answers that are off by
    more than bfloat16 explains have another cause, which is for the tests to find: then all bits count as kept.
    """
    bits = EXPECTED[dtype]
    params: dict[str, Array] = {
        name: np.zeros(value.shape, dtype)
        for name, value in parameters.initial(0, Sizes(_SIDE, _UNITS, _UNITS)).items()
    }
    weights = 1.0 + 2.0 ** -np.arange(1.0, bits)  # (bits - 1,)
    params["encoder.fc1.weight"][:, : bits - 1] = weights
    params["encoder.fc1.weight"][:, bits - 1] = _SMALL
    params["encoder.fc2_mu.weight"][...] = np.eye(_UNITS)
    x = np.eye(_UNITS, _SIDE, dtype=dtype)
    mu = backend.load(params, dtype=dtype, device=device).encode(x)[0][:, 0].astype(np.float64)  # (_UNITS,)
    lost = np.flatnonzero(mu[: bits - 1] != weights)
    if not lost.size or not np.all(np.abs(mu[: bits - 1] - weights) <= _COARSEST):
        return bits, True
    return int(lost[0]) + 1, bool(mu[bits - 1] != 0.0)


def mode_name(bits: int, *, wide: bool) -> str:
    """The common name of a precision with so many bits of significand."""
    match bits, wide:
        case 8, True:
            return "bfloat16"
        case 11, True:
            return "TF32"
        case 11, False:
            return "float16"
        case 24, True:
            return "float32"
    return f"a precision of {bits} bits"
