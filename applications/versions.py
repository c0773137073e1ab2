"""Which ports can be used here, with the versions of their packages, told without importing them."""

import importlib.metadata
import platform
from typing import Final

from vae_rosetta.implementations.ports import MIXED, PORTS, Port
from vae_rosetta.shared.version import project_version

# Headings for what ports offer. (The published loss on probabilities is for the suite alone.)
_ABILITIES: Final = {"train": "train", "sample": "sample", "float64": "float64", MIXED: "bfloat16"}


def versions(backend: str) -> dict[str, str]:
    """Versions of Python, this project, NumPy and the packages of `backend` that are installed."""
    found = {"python": platform.python_version(), "vae-rosetta": project_version()}
    for package in ("numpy", "safetensors", *PORTS[backend].packages):
        if version := _version(package):
            found[package] = version
    return found


def print_backends() -> None:
    """Prints a table of the ports: versions if they can be used, and what they offer; below, how to get the others."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("backend", "language", "installed", *_ABILITIES.values()):
        table.add_column(heading, overflow="fold")
    for port in PORTS.values():
        offered = ("yes" if ability in port.offers else "no" for ability in _ABILITIES)
        table.add_row(port.word, port.language, "no" if port.lacks() else _installed(port), *offered)
    console = Console(highlight=False)
    console.print(table)
    for port in PORTS.values():
        if lacks := port.lacks():
            console.print(f"{port.word} {lacks}", markup=False, soft_wrap=True)  # to be copied as one line


def _installed(port: Port) -> str:
    """The versions of what the port stands on."""
    if port.program is not None:
        return "yes"
    found = ((package, _version(package)) for package in port.packages or ("numpy",))
    return ", ".join(f"{package} {version}" for package, version in found if version)


def _version(package: str) -> str | None:
    """The version of a distribution, or of one that provides a package of that name, as tensorflow-cpu does."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        providers = importlib.metadata.packages_distributions().get(package, [])
        return importlib.metadata.version(providers[0]) if providers else None
