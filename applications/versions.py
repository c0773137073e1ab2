"""Which backends and packages are installed, told from their metadata without importing them."""

import importlib.metadata
import platform

from vae_rosetta.implementations.ports import BACKENDS, REQUIRES, missing_packages


def project_version() -> str:
    """The version of this project, or "not installed" when it runs from a checkout alone."""
    try:
        return importlib.metadata.version("vae-rosetta")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def versions(backend: str) -> dict[str, str]:
    """Versions of Python, this project, NumPy and the packages of `backend` that are installed."""
    found = {"python": platform.python_version(), "vae-rosetta": project_version()}
    for package in ("numpy", "safetensors", *REQUIRES[backend]):
        if version := _version(package):
            found[package] = version
    return found


def print_backends() -> None:
    """Prints a table of the backends: version if installed, else what is missing and how to install it."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("backend", "installed", ""):
        table.add_column(heading, overflow="fold")
    for name in BACKENDS:
        if missing := missing_packages(name):
            table.add_row(name, "no", f"needs {', '.join(missing)}: pip install 'vae-rosetta\\[{name}]'")
        else:
            packages = ((package, _version(package)) for package in REQUIRES[name] or ("numpy",))
            table.add_row(name, "yes", ", ".join(f"{package} {version}" for package, version in packages if version))
    Console(highlight=False).print(table)


def _version(package: str) -> str | None:
    """The version of a distribution, or of one that provides a package of that name, as tensorflow-cpu does."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        providers = importlib.metadata.packages_distributions().get(package, [])
        return importlib.metadata.version(providers[0]) if providers else None
