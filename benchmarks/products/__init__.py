"""The machine's own limits: the matrix products of a training step and nothing else, by every library at hand; and the
reading and writing of what Adam reads and writes, by every library that has `traffic`.

The fastest of the libraries at either, by the median of its turns, is the roofline of a run.
"""

import importlib
import importlib.util
from collections.abc import Collection
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol, cast, runtime_checkable

from vae_rosetta.benchmarks.products.shapes import Operands, Vectors
from vae_rosetta.shared.spec import Sizes

_PROGRAMS: Final = MappingProxyType({"nd4j": {"java_vae", "clojure_vae"}})  # libraries that no package has, by port


class Products(Protocol):
    """A library's module in this package."""

    def version(self) -> str:
        """Of the library that multiplies."""
        ...

    def step(self, operands: list[Operands]) -> "Step":
        """What makes all products once; it is over when the call is."""
        ...


@runtime_checkable
class Traffic(Protocol):
    """A library's module that can also do this."""

    def traffic(self, vectors: Vectors) -> "Step":
        """What reads and writes all that Adam does once, with little arithmetic; it is over when the call is."""
        ...


class Step(Protocol):
    """All products of a training step, once; or all of Adam's traffic."""

    def __call__(self) -> None: ...


def known() -> list[str]:
    """All libraries, each a module of this package: `with_torch_onednn.py` is torch-onednn, of the package torch."""
    files = sorted(Path(__file__).parent.glob("with_*.py"))
    return [file.stem.removeprefix("with_").replace("_", "-") for file in files]


def installed(modules: Collection[str] = ()) -> list[str]:
    """The libraries that are installed, without importing them; those of programs only if one of their ports is among
    the modules that are measured, since they may have to be built."""
    ports = {module.rpartition(".")[2] for module in modules}
    return [name for name in known() if (ports & _PROGRAMS[name] if name in _PROGRAMS else _is_package(name))]


def _is_package(name: str) -> bool:
    return importlib.util.find_spec(name.partition("-")[0]) is not None


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


def offers_traffic(name: str) -> bool:
    """Whether library `name`, which is imported now, has `traffic`."""
    return isinstance(load(name), Traffic)


def traffic(name: str, sizes: Sizes) -> Step:
    """All of Adam's traffic in a training step, by library `name`."""
    from vae_rosetta.benchmarks.products.shapes import vectors

    return cast(Traffic, load(name)).traffic(vectors(sizes))
