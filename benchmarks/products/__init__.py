"""The machine's own limit: the matrix products of a training step and nothing else, by every library at hand.

The fastest of the libraries, by the median of its turns, is the roofline of a run.
"""

import importlib
import importlib.util
from pathlib import Path
from typing import Protocol, cast

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


def known() -> list[str]:
    """All libraries, each a module of this package: `with_torch_onednn.py` is torch-onednn, of the package torch."""
    files = sorted(Path(__file__).parent.glob("with_*.py"))
    return [file.stem.removeprefix("with_").replace("_", "-") for file in files]


def installed() -> list[str]:
    """The libraries that are installed, without importing them."""
    return [name for name in known() if importlib.util.find_spec(name.partition("-")[0]) is not None]


def load(name: str) -> Products:
    """The products of library `name`, which is imported now.

    Raises:
        ImportError: it cannot be imported.
    """
    return cast(Products, importlib.import_module(f"{__name__}.with_{name.replace('-', '_')}"))


def step(name: str, sizes: Sizes, batch: int) -> Step:
    """All products of a training step, by library `name`."""
    from vae_rosetta.benchmarks.products.shapes import operands

    return load(name).step(operands(sizes, batch))
