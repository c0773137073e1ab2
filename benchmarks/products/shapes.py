"""The machine's limit for this model: its matrix products, in float32, with nothing in between.

A training step is fourteen products and some arithmetic on their results. No backend that computes what the
specification says can be faster than these products alone by the best library there is. With a layer of i inputs and o
outputs and a batch of B, the products are

    forward             x W^T   (B, i) (i, o)
    gradient to W       g^T x   (o, B) (B, i)
    gradient to x       g W     (B, o) (o, i)    but for the first layer: no one asks for the gradient to the images

Then Adam reads every parameter, its gradient and its two moments, and writes all but the gradient. It does so once a
step, however few images a batch has, so that at small batches the products alone are a limit that cannot be reached.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from vae_rosetta.shared import spec
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes


class Product(NamedTuple):
    """(rows, inner) times (inner, columns)."""

    name: str
    rows: int
    inner: int
    columns: int

    @property
    def flops(self) -> int:
        """A multiplication and an addition for each term."""
        return 2 * self.rows * self.inner * self.columns


def products(sizes: Sizes, batch: int) -> list[Product]:
    """Every matrix product of one training step."""
    return list(_products(sizes, batch))


def flops_per_image(sizes: Sizes) -> int:
    """Floating-point operations that the products of a training step spend on one image; 3,280,000 at full size."""
    return sum(product.flops for product in products(sizes, 1))


class Operands(NamedTuple):
    """Factors of one product, lying as they do in training: transposed views, nothing is copied."""

    a: Array  # (rows, inner)
    b: Array  # (inner, columns)


def operands(sizes: Sizes, batch: int) -> list[Operands]:
    """Random operands of every product of one training step, in the order of `products`, float32."""
    random = np.random.default_rng(0)
    factors = []
    for layer, out, into in _layers(sizes):
        shapes = {"x": (batch, into), "g": (batch, out), "w": (out, into)}
        x, g, w = (random.standard_normal(shape, dtype=np.float32) for shape in shapes.values())
        factors += [Operands(x, w.T), Operands(g.T, x)] + ([] if layer == _FIRST else [Operands(g, w)])
    return factors


class Vectors(NamedTuple):
    """What Adam reads and writes, (P,) each, float32."""

    params: Array
    gradient: Array  # the only one that is not written
    m: Array
    v: Array


def vectors(sizes: Sizes) -> Vectors:
    """Random vectors of as many elements as the model has parameters."""
    count = sum(math.prod(shape) for shape in spec.parameter_shapes(sizes).values())
    return Vectors(*np.random.default_rng(0).random((4, count), dtype=np.float32))


def adam_bytes(sizes: Sizes) -> int:
    """Bytes that Adam reads and writes in a step: four vectors read and three written; 18,279,072 at full size."""
    return 7 * vectors(sizes).params.nbytes


def stored(operand: Array) -> tuple[Array, bool]:
    """The array as it lies in memory, and whether the operand is its transpose."""
    return (operand, False) if operand.flags.c_contiguous else (operand.T, True)


def fastest(step: Callable[[], None], seconds: float) -> float:
    """Seconds of the fastest call of `step` among those that fit into `seconds`; at least two are made."""
    best, taken, started = float("inf"), 0, time.perf_counter()
    while taken < 2 or time.perf_counter() - started < seconds:
        before = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - before)
        taken += 1
    return best


_FIRST = "encoder.fc1"


def _layers(sizes: Sizes) -> Iterator[tuple[str, int, int]]:
    """Name, outputs and inputs of each layer."""
    for name, shape in spec.parameter_shapes(sizes).items():
        if name.endswith(".weight"):
            yield name.removesuffix(".weight"), shape[0], shape[1]


def _products(sizes: Sizes, batch: int) -> Iterator[Product]:
    for layer, out, into in _layers(sizes):
        yield Product(f"{layer} forward", batch, into, out)
        yield Product(f"{layer} gradient to W", out, batch, into)
        if layer != _FIRST:
            yield Product(f"{layer} gradient to x", batch, out, into)
