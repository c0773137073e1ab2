"""What else people train this model with, measured beside the backends: as its users write it, at this model's sizes.

A peer is not graded by the suite: it keeps to no contract, and none of them computes exactly what the specification
says. `Peer.differs` tells what each computes instead; its objective after the first epoch stands beside its speed.
"""

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, cast

from vae_rosetta.implementations.ports import PORTS
from vae_rosetta.shared.contract import Array


class Peer(Protocol):
    """One of them, in a process of its own."""

    differs: str  # from the specification, in one line

    @property
    def versions(self) -> Mapping[str, str]:
        """Of what it stands on."""
        ...

    def start(self, x: Array, batch: int) -> None:
        """A new model, which will train on x (N, D)."""
        ...

    def epoch(self) -> float:
        """Trains for one epoch; the average objective per image during it, in nats."""
        ...

    def test(self, x: Array) -> float:
        """The average objective per image on x (M, D), z drawn once per image, in nats."""
        ...


class Known(NamedTuple):
    """Where a peer is, and what it needs."""

    module: str
    needs: tuple[str, ...] = ()  # packages to import
    environment: tuple[tuple[str, str], ...] = ()  # of its process
    port: str = ""  # in whose program it is: it may have to be built, so it is measured only if it is named

    def lacks(self) -> str:
        """Why it cannot be measured here and what helps; empty if it can."""
        if self.port:
            return PORTS[self.port].lacks()
        if all(map(importlib.util.find_spec, self.needs)):
            return ""
        packages = ["pillow" if package == "PIL" else package for package in self.needs]
        return f"needs {', '.join(packages)}; try: pip install {' '.join(packages)}"


def _keras(backend: str, package: str) -> Known:
    return Known("vae_rosetta.benchmarks.peers.keras_fit", ("keras", package), (("KERAS_BACKEND", backend),))


KNOWN: Final = MappingProxyType(
    {
        "pytorch-listing": Known("vae_rosetta.benchmarks.peers.pytorch_listing", ("torch", "PIL")),
        "pytorch-tensors": Known("vae_rosetta.benchmarks.peers.pytorch_tensors", ("torch",)),
        "pythae": Known("vae_rosetta.benchmarks.peers.pythae_trainer", ("pythae", "torch")),
        "keras-fit-torch": _keras("torch", "torch"),
        "keras-fit-tensorflow": _keras("tensorflow", "tensorflow"),
        "keras-fit-jax": _keras("jax", "jax"),
        "dl4j-layer": Known("vae_rosetta.benchmarks.peers.dl4j_layer", port="java"),
    }
)


def installed() -> list[str]:
    """The peers whose packages are installed, without importing them."""
    return [name for name, known in KNOWN.items() if not known.lacks()]


def choose(names: Sequence[str], *, everyone: bool) -> list[str]:
    """The peers `names`; if there are none, all that are installed, or, unless `everyone` is wanted, none.

    Raises:
        ModuleNotFoundError: one of `names` is not installed.
        ValueError: one of `names` is not known.
    """
    for name in names:
        if name not in KNOWN:
            raise ValueError(f"--peer: got {name!r}; expected one of {', '.join(KNOWN)}")
        if lacks := KNOWN[name].lacks():
            raise ModuleNotFoundError(f"--peer: {name!r} {lacks}")
    usual = [name for name in installed() if not KNOWN[name].port]
    return list(dict.fromkeys(names)) or (usual if everyone else [])


def versions(*packages: str) -> dict[str, str]:
    """The versions of distributions."""
    return {package: importlib.metadata.version(package) for package in packages}


def load(module: str) -> Peer:
    """The peer in `module`, imported now.

    Raises:
        ImportError: it cannot be imported.
    """
    return cast(Peer, importlib.import_module(module).PeerModel())
