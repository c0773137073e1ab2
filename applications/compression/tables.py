"""Probabilities and standard deviations as tables over whole numbers, the same on every machine.

The last bit of exp depends on the library, the processor and the length of the array, and one wrong bit makes garbage
of everything coded after it (Balle, Johnston & Minnen, "Integer Networks for Data Compression with Latent-Variable
Models", ICLR 2019). So nothing evaluates exp while coding. The tables are constants of the file format: computed in
decimal arithmetic, whose exp is correctly rounded by definition (General Decimal Arithmetic Specification), and checked
against their pinned SHA-256.
"""

import hashlib
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

GRID_BITS: Final = 6  # latents lie on multiples of 2^-6: far finer than posteriors are wide, and finer costs seed bits
MEAN_LIMIT: Final = 1024  # grid position of the greatest posterior mean, 16 standard deviations of the prior
# A latent lies within 4 of its posterior's mean, rounded. The coder gives every position of its range a probability of
# 2^-24 or more: were the range all of the grid, one image in 400 would draw an impossible latent and cost hundreds of
# bits, 0.5 % of the rate.
WINDOW: Final = 256
GRID_LIMIT: Final = MEAN_LIMIT + WINDOW  # the greatest grid position
LOGIT_BITS: Final = 6  # logits are looked up in steps of 2^-6: a bit of a pixel costs at most 3e-5 bits more
LOGIT_LIMIT: Final = 1024  # table index of the greatest logit, 16; beyond it a probability is within 2^-23 of 0 or 1
LOGVAR_BITS: Final = 5  # log-variances in steps of 2^-5: standard deviations in steps of 1.6 %
LOGVAR_LOW: Final = -512  # table index of the least log-variance, -16
LOGVAR_HIGH: Final = 128  # of the greatest, 4
PROBABILITY_BITS: Final = 24  # the precision of the coder's own probabilities

SHA256: Final = "9fdd08493615a89f6ab72da8f65ea56465e016b191cdfc827fa93bc4c9ab131e"

_DECIMAL: Final = Context(prec=40, rounding=ROUND_HALF_EVEN)


@cache
def probabilities() -> npt.NDArray[np.float32]:
    """Probabilities of a white pixel for table indices -LOGIT_LIMIT .. LOGIT_LIMIT: multiples of 2^-24, none 0 or 1.

    Raises:
        ArithmeticError: this Python's decimal arithmetic is wrong.
    """
    return _checked()[0]


@cache
def deviations() -> npt.NDArray[np.float64]:
    """Standard deviations in grid steps for table indices LOGVAR_LOW .. LOGVAR_HIGH.

    Raises:
        ArithmeticError: this Python's decimal arithmetic is wrong.
    """
    return _checked()[1]


@cache
def _checked() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    counts = np.array([_white(index) for index in range(-LOGIT_LIMIT, LOGIT_LIMIT + 1)], dtype="<u4")
    scales = np.array([_deviation(index) for index in range(LOGVAR_LOW, LOGVAR_HIGH + 1)], dtype="<f8")
    found = hashlib.sha256(counts.tobytes() + scales.tobytes()).hexdigest()
    if found != SHA256:
        raise ArithmeticError(f"tables: got SHA-256 {found} on this machine; expected {SHA256}")
    shown = counts.astype(np.float32) / np.float32(2**PROBABILITY_BITS)  # exact: 24 bits fit
    shown.setflags(write=False)
    scales = scales.astype(np.float64)
    scales.setflags(write=False)
    return shown, scales


def _white(index: int) -> int:
    """2^24 sigmoid(index / 2^LOGIT_BITS), rounded, and kept above 0 and below 2^24."""
    exponential = _DECIMAL.exp(_DECIMAL.divide(Decimal(-index), Decimal(2**LOGIT_BITS)))
    exact = _DECIMAL.divide(Decimal(2**PROBABILITY_BITS), _DECIMAL.add(Decimal(1), exponential))
    return min(max(int(exact.to_integral_value(ROUND_HALF_EVEN)), 1), 2**PROBABILITY_BITS - 1)


def _deviation(index: int) -> float:
    """exp(index / 2^LOGVAR_BITS / 2) in grid steps, rounded to float64."""
    exponential = _DECIMAL.exp(_DECIMAL.divide(Decimal(index), Decimal(2 ** (LOGVAR_BITS + 1))))
    return float(_DECIMAL.multiply(exponential, Decimal(2**GRID_BITS)))
