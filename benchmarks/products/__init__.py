"""The machine's own limit: the matrix products of a training step and nothing else, by every library at hand.

The fastest of the libraries, by the median of its turns, is the roofline of a run.
"""

import importlib
import importlib.util
from types import MappingProxyType
from typing import Final, Protocol, cast

from vae_rosetta.benchmarks.products.shapes import Operands
from vae_rosetta.shared.spec import Sizes


class Products(Protocol):
    """A library's module in this package."""

    def version(self) -> str:
        """Of the library that multiplies."""
        ...

    def step(self, operands: list[Operands]) -> "Step":
        """What makes all products once; it is over when the call is."""
        ...


class Step(Protocol):
    """All products of a training step, once."""

    def __call__(self) -> None: ...


# Module and package of each. PyTorch comes twice: its own products, and those of the oneDNN that it brings along.
KNOWN: Final = MappingProxyType(
    {
        "numpy": ("vae_rosetta.benchmarks.products.with_numpy", "numpy"),
        "torch": ("vae_rosetta.benchmarks.products.with_torch", "torch"),
        "torch-onednn": ("vae_rosetta.benchmarks.products.with_torch_onednn", "torch"),
        "tensorflow": ("vae_rosetta.benchmarks.products.with_tensorflow", "tensorflow"),
        "jax": ("vae_rosetta.benchmarks.products.with_jax", "jax"),
    }
)


def installed() -> list[str]:
    """The libraries that are installed, without importing them."""
    return [name for name, (_, package) in KNOWN.items() if importlib.util.find_spec(package) is not None]


def load(name: str) -> Products:
    """The products of library `name`, which is imported now.

    Raises:
        ImportError: it cannot be imported.
    """
    return cast(Products, importlib.import_module(KNOWN[name][0]))


def step(name: str, sizes: Sizes, batch: int) -> Step:
    """All products of a training step, by library `name`."""
    from vae_rosetta.benchmarks.products.shapes import operands

    return load(name).step(operands(sizes, batch))
