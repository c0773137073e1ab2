"""Coarser arithmetic than the model says it has."""

from typing import Any, Final

import numpy as np

from vae_rosetta.conformance.meta.mutants.base import Mutant, Patch, both, on, on_arithmetic, on_method
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.oracle import Arithmetic, Real

_SCALE = ("forward/full", "gradients/full", "training/full")


def keep_bits(values: Any, bits: int) -> Any:
    """Values rounded to so many bits of significand: 11 in TF32 and float16, 8 in bfloat16, 24 in float32."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(mantissa * 2.0**bits) / 2.0**bits, exponent)


def _half(values: Any) -> Any:
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(np.float16).astype(np.float64)


def _products(bits: int) -> Patch:
    """Factors of matrix products rounded, products summed in full: what tensor cores do."""
    return on_arithmetic("matmul", lambda true, ar, a, b: true(ar, keep_bits(a, bits), keep_bits(b, bits)))


def _params_rounded(true: Any, model: Any) -> Any:
    return {name: _half(value) for name, value in true(model).items()}


def _moments_rounded(
    true: Any, param: Real, m: Real, v: Real, gradient: Real, step: int, ar: Arithmetic
) -> tuple[Real, Real, Real]:
    param, m, v = true(param, m, v, gradient, step, ar)
    return param, keep_bits(m, 8), keep_bits(v, 8)


def _single_inside() -> Patch:
    """float64 in and out, float32 between: what a framework does that has float64 switched off."""
    return both(
        on_arithmetic(
            "matmul", lambda true, ar, a, b: (a.astype(np.float32) @ b.astype(np.float32)).astype(np.float64)
        ),
        on_method("_out", lambda true, model, value: true(model, np.asarray(value).astype(np.float32))),
    )


def _single(name: str) -> Patch:
    """The result of one function passes through float32."""
    return on(name, lambda true, *arguments: np.asarray(true(*arguments)).astype(np.float32).astype(np.float64))


def _answers_in_float64(true: Any, model: Any, value: Any) -> Array:
    return np.asarray(value, dtype=np.float64)


MUTANTS: Final = (
    Mutant("coarse-products", "TF32", (*_SCALE, "forward/precision-probe"), _products(11)),
    Mutant("coarse-products", "bfloat16", (*_SCALE, "forward/precision-probe"), _products(8)),
    Mutant("coarse-products", "three passes of bfloat16", ("forward/full",), _products(16)),
    Mutant(
        "coarse-products",
        "TF32, in the backward pass alone",
        ("gradients/full", "training/full"),
        on(
            "backward",
            lambda true, params, step, x, noise, ar: true(
                {name: keep_bits(value, 11) for name, value in params.items()}, step, x, noise, ar
            ),
        ),
    ),
    Mutant(
        "sixteen-bit-storage",
        "logits, in float16",
        ("forward/full",),
        on(
            "decode",
            lambda true, params, z, ar: (
                found := true(params, z, ar),
                (found[0], _half(found[1])),
            )[1],
        ),
    ),
    Mutant(
        "sixteen-bit-storage",
        "weights, in float16",
        ("forward/full", "gradients/full"),
        on_method("_exact", _params_rounded),
    ),
    Mutant(
        "coarse-sums",
        "",
        ("loss/full",),
        on_arithmetic("sum", lambda true, ar, terms, axis: _half(true(ar, terms, axis))),
    ),
    Mutant("sixteen-bit-storage", "Adam's moments, in bfloat16", ("training/full",), on("adam_step", _moments_rounded)),
    Mutant("float64-off", "between input and output", (*_SCALE, "loss/full"), _single_inside(), dtype="float64"),
    Mutant("float64-off", "in the KL terms alone", ("loss/full",), _single("kl_terms"), dtype="float64"),
    Mutant(
        "float64-answers",
        "",
        ("forward/full", "contract::test_shapes_and_dtypes_at_any_size"),
        on_method("_out", _answers_in_float64),
    ),
)
