"""Products by TensorFlow, compiled by XLA as its training steps are."""

from typing import Any

import tensorflow as tf

from vae_rosetta.benchmarks.products import Step
from vae_rosetta.benchmarks.products.shapes import Operands, Vectors, stored


def version() -> str:
    """TensorFlow's."""
    return str(tf.__version__)


def step(operands: list[Operands]) -> Step:
    """See `benchmarks.products.Products`."""
    # What is stored is passed, and transposed inside, so that the compiler sees the layout that training has.
    lying = [(stored(a), stored(b)) for a, b in operands]
    arguments = [(tf.constant(a), tf.constant(b)) for (a, _), (b, _) in lying]
    flags = [(turned_a, turned_b) for (_, turned_a), (_, turned_b) in lying]

    @tf.function(jit_compile=True, autograph=False)
    def products(factors: Any) -> Any:
        return [
            tf.matmul(a, b, transpose_a=turned_a, transpose_b=turned_b)
            for (a, b), (turned_a, turned_b) in zip(factors, flags, strict=True)
        ]

    def run() -> None:
        products(arguments)[-1].numpy()

    run()  # compiles
    return run


def traffic(vectors: Vectors) -> Step:
    """See `benchmarks.products.Traffic`."""
    params, m, v = (tf.Variable(vector) for vector in (vectors.params, vectors.m, vectors.v))
    gradient = tf.constant(vectors.gradient)

    @tf.function(jit_compile=True, autograph=False)
    def once() -> Any:
        params.assign_add(gradient)
        m.assign(-m)
        v.assign(-v)
        return params[0]

    def run() -> None:
        once().numpy()

    run()  # compiles
    return run
