"""The version of this project, which reports, certificates and results name."""

import importlib.metadata


def project_version() -> str:
    """The installed version, or "not installed" where the project runs from a checkout alone."""
    try:
        return importlib.metadata.version("vae-rosetta")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
