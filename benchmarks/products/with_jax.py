"""Products by JAX, compiled by XLA."""

from typing import Any

import jax
import jax.numpy as jnp

from vae_rosetta.benchmarks.products import Step
from vae_rosetta.benchmarks.products.shapes import Operands, Vectors, stored


def version() -> str:
    """JAX's."""
    return str(jax.__version__)


def step(operands: list[Operands]) -> Step:
    """See `benchmarks.products.Products`."""
    # What is stored is passed, and transposed inside, so that the compiler sees the layout that training has.
    lying = [(stored(a), stored(b)) for a, b in operands]
    arguments = [(jnp.asarray(a), jnp.asarray(b)) for (a, _), (b, _) in lying]
    flags = [(turned_a, turned_b) for (_, turned_a), (_, turned_b) in lying]

    @jax.jit
    def products(factors: Any) -> Any:
        return [
            jnp.matmul(a.T if turned_a else a, b.T if turned_b else b, precision="highest")
            for (a, b), (turned_a, turned_b) in zip(factors, flags, strict=True)
        ]

    def run() -> None:
        for product in products(arguments):
            product.block_until_ready()

    run()  # compiles
    return run


def traffic(vectors: Vectors) -> Step:
    """See `benchmarks.products.Traffic`."""
    params, gradient, m, v = map(jnp.array, vectors)
    written = (params, m, v)
    # What is donated is written in place.
    once = jax.jit(lambda p, m, v, gradient: (p + gradient, -m, -v), donate_argnums=(0, 1, 2))

    def run() -> None:
        nonlocal written
        written = once(*written, gradient)
        for vector in written:
            vector.block_until_ready()

    run()  # compiles
    return run
