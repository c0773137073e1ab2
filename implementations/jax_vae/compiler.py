"""How XLA is to compile the training loop of `backend.py` for CPUs.

Wide vectors: by default XLA's compiler uses 256 of AVX-512's 512 bits. Plain products: some XLA versions fuse products
with what follows by a library (YNNPACK) that is slower at it than their own two kernels, here by up to 7 %.
"""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, Final, ParamSpec, TypeVar

import jax

P = ParamSpec("P")
R = TypeVar("R")

# By XLA's names (xla/xla.proto, DebugOptions); an empty list of kinds of fusion is none.
_WANTED: Final = {"xla_cpu_prefer_vector_width": 512, "xla_cpu_experimental_ynn_fusion_type": ""}


def jit(function: Callable[P, R], **settings: Any) -> Callable[P, R]:
    """`jax.jit` with those of the options that this XLA knows; they are tried when the function is first called."""

    @cache
    def compiled() -> Callable[P, R]:
        known = {name: value for name, value in _WANTED.items() if _knows(name, value)}
        return jax.jit(function, compiler_options=known, **settings)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return compiled()(*args, **kwargs)

    return call


def _knows(name: str, value: Any) -> bool:
    """Whether XLA takes an option: it refuses to compile with one that it does not know."""
    try:
        jax.jit(lambda: 0).lower().compile(compiler_options={name: value})
    except jax.errors.JaxRuntimeError:
        return False
    return True
