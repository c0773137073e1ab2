"""What else people train this model with, measured beside the backends: as its users write it, at this model's sizes.

A peer is not graded by the suite: it keeps to no contract, and none of them computes exactly what the specification
says. `Peer.differs` tells what each computes instead; its objective after the first epoch stands beside its speed.
"""

import importlib
import importlib.util
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, cast

from vae_rosetta.shared.contract import Array


class Peer(Protocol):
    """One of them, in a process of its own."""

    packages: tuple[str, ...]  # distributions whose versions are told
    differs: str  # from the specification, in one line

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
    needs: tuple[str, ...]  # packages to import
    environment: tuple[tuple[str, str], ...] = ()  # of its process


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
    }
)


def installed() -> list[str]:
    """The peers whose packages are installed, without importing them."""
    return [name for name, known in KNOWN.items() if all(map(importlib.util.find_spec, known.needs))]


def choose(names: Sequence[str], *, everyone: bool) -> list[str]:
    """The peers `names`; if there are none, all that are installed, or, unless `everyone` is wanted, none.

    Raises:
        ModuleNotFoundError: one of `names` is not installed.
        ValueError: one of `names` is not known.
    """
    present = installed()
    for name in names:
        if name not in KNOWN:
            raise ValueError(f"--peer: got {name!r}; expected one of {', '.join(KNOWN)}")
        if name not in present:
            needs = ["pillow" if package == "PIL" else package for package in KNOWN[name].needs]
            raise ModuleNotFoundError(f"--peer: {name!r} needs {', '.join(needs)}; try: pip install {' '.join(needs)}")
    return list(dict.fromkeys(names)) or (present if everyone else [])


def load(module: str) -> Peer:
    """The peer in `module`, imported now.

    Raises:
        ImportError: it cannot be imported.
    """
    return cast(Peer, importlib.import_module(module).PeerModel())
