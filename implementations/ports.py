"""The scripts: the same VAE in PyTorch, TensorFlow and JAX. Importing this package imports none of them.

`BACKENDS` maps the one word that names a backend everywhere (command line, extra, test session) to its module.
"""

import importlib
import importlib.util
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:  # what is known of a backend without importing it costs nothing, not even NumPy
    from vae_rosetta.shared.contract import Backend

BACKENDS: Final = MappingProxyType(  # the first that is installed is the default
    {
        "torch": "vae_rosetta.implementations.torch_vae",
        "tensorflow": "vae_rosetta.implementations.tensorflow_vae",
        "jax": "vae_rosetta.implementations.jax_vae",
        "oracle": "vae_rosetta.shared.oracle",
    }
)

REQUIRES: Final = MappingProxyType(
    {"torch": ("torch",), "tensorflow": ("tensorflow", "keras"), "jax": ("jax", "flax", "optax"), "oracle": ()}
)


def installed() -> list[str]:
    """The backends whose frameworks are installed, without importing them; `oracle` is always among them."""
    return [name for name in BACKENDS if not missing_packages(name)]


def missing_packages(name: str) -> list[str]:
    """The packages that backend `name` needs and that are not installed."""
    return [package for package in REQUIRES[name] if importlib.util.find_spec(package) is None]


def backend(name: str) -> "Backend":
    """The module of backend `name`, imported now.

    Raises:
        ValueError: unknown name; the message lists the known ones.
        ModuleNotFoundError: its framework is not installed; the message says how to get it.
    """
    if name not in BACKENDS:
        raise ValueError(f"backend: got {name!r}; expected one of {', '.join(BACKENDS)}")
    if missing := missing_packages(name):
        raise ModuleNotFoundError(
            f"backend: {name!r} needs {', '.join(missing)}: not installed; try: pip install 'vae-rosetta[{name}]'",
            name=missing[0],
        )
    return cast("Backend", importlib.import_module(BACKENDS[name]))
