"""JAX's words for the tests of this folder."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from vae_rosetta.implementations import jax_vae as module
from vae_rosetta.shared import spec
from vae_rosetta.shared.contract import Array

name: Final = "jax"
tensor = jnp.asarray
array = np.array

# What a reader of model.py writes beside it.
LIFTED: Final = """
import jax.numpy as jnp
from flax import nnx
optimizer = nnx.Optimizer(vae, lifted.adam(1e-3), wrt=nnx.Param)
loader = [jnp.tile(jnp.linspace(0, 1, 784), (8, 1))]
"""

_ADAM: Final = module.adam(1e-3)  # one, because compiled code knows an optimizer by identity


def seed(_: int) -> None:
    """Models start from Rngs(0)."""


def model(*sizes: int, dtype: str = "float32") -> module.VAE:
    """Of input, latent and hidden size."""
    return module.VAE(*sizes, dtype=dtype)


def optimizer(vae: module.VAE, dtype: str = "float32") -> nnx.Optimizer[module.VAE]:
    """The specification's Adam."""
    return nnx.Optimizer(vae, _ADAM, wrt=nnx.Param)


def precision(dtype: str) -> AbstractContextManager[None]:
    """Where a model of this dtype works."""
    context: AbstractContextManager[None] = jax.enable_x64(dtype == "float64")
    return context


def gradients(vae: module.VAE, x: jax.Array, noise: jax.Array) -> dict[str, Array]:
    """Of the summed objective, by `grad`, under the canonical names."""
    found = _gradients(vae, x, noise)
    return {name: _access(_variable(found, name))[0]() for name in spec.PARAMETER_NAMES}


@nnx.jit
def _gradients(vae: module.VAE, x: jax.Array, noise: jax.Array) -> Any:
    def objective(vae: module.VAE) -> jax.Array:
        reconstruction, kl = vae.negative_elbo(x, noise)
        return (reconstruction + kl).sum()

    return nnx.grad(objective)(vae)


def variables(vae: module.VAE, adam: Any) -> dict[str, tuple[Callable[[], Array], Callable[[Array], object]]]:
    """How each tensor of the state is read and written, but Adam's count, under its canonical name."""
    found: dict[str, tuple[Callable[[], Array], Callable[[Array], object]]] = {}
    trees = {"": nnx.state(vae, nnx.Param), "adam.m.": adam.opt_state.mu, "adam.v.": adam.opt_state.nu}
    for prefix, tree in trees.items():
        found |= {f"{prefix}{name}": _access(_variable(tree, name)) for name in spec.PARAMETER_NAMES}
    return found


def _access(held: Any) -> tuple[Callable[[], Array], Callable[[Array], object]]:
    read = lambda: np.array(held.get_value()).T.copy()  # noqa: E731 -- a kernel lies (in, out)
    return read, lambda new: held.set_value(jnp.array(new.T, dtype=held.get_value().dtype))


def count(adam: Any, steps: int) -> None:
    """Lets Adam go on after so many steps."""
    adam.opt_state.count.set_value(jnp.asarray(steps, dtype=jnp.int32))


def _variable(tree: Any, name: str) -> Any:
    half, layer, kind = name.split(".")
    return tree[half][layer]["kernel" if kind == "weight" else kind]
