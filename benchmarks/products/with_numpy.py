"""Products by NumPy and the BLAS that it was built with."""

from typing import Any

import numpy as np

from vae_rosetta.benchmarks.products import Step
from vae_rosetta.benchmarks.products.shapes import Operands, Vectors


def version() -> str:
    """NumPy's, and its BLAS'."""
    build: Any = np.show_config(mode="dicts")
    blas = build.get("Build Dependencies", {}).get("blas", {})
    return " ".join([np.__version__, *(blas[key] for key in ("name", "version") if key in blas)])


def step(operands: list[Operands]) -> Step:
    """See `benchmarks.products.Products`."""
    work = [(a, b, np.empty((a.shape[0], b.shape[1]), dtype=np.float32)) for a, b in operands]

    def run() -> None:
        for a, b, out in work:
            np.matmul(a, b, out=out)

    return run


def traffic(vectors: Vectors) -> Step:
    """See `benchmarks.products.Traffic`."""
    params, gradient, m, v = vectors

    def run() -> None:
        np.add(params, gradient, out=params)
        for moment in (m, v):
            np.negative(moment, out=moment)

    return run
