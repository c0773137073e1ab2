"""TensorFlow's words for the tests of this folder."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import numpy as np
import tensorflow as tf

from vae_rosetta.implementations import tensorflow_vae as module  # before Keras, which it tells its backend
from vae_rosetta.shared import spec
from vae_rosetta.shared.contract import Array

import keras  # isort: skip

name: Final = "tensorflow"
seed = keras.utils.set_random_seed  # of initial weights and noise, for the model made next
tensor = tf.constant
array = np.array

# What a reader of model.py writes beside it.
LIFTED: Final = """
import tensorflow as tf
optimizer = lifted.Adam(1e-3)
loader = [tf.tile(tf.linspace(0.0, 1.0, 784)[None], (8, 1))]
"""


def model(*sizes: int, dtype: str = "float32") -> Any:
    """Of input, latent and hidden size."""
    return module.VAE(*sizes, dtype=dtype)


def optimizer(vae: Any, dtype: str = "float32") -> Any:
    """The specification's Adam. Keras holds a plain learning rate in float32, whatever the dtype of the model."""
    return module.Adam(lambda: tf.constant(1e-3, dtype))


def precision(dtype: str) -> AbstractContextManager[None]:
    """Where a model of this dtype works."""
    return nullcontext()


def gradients(vae: Any, x: Any, noise: Any) -> dict[str, Array]:
    """Of the summed objective, by the tape, under the canonical names."""
    kernels = {name: _variable(vae, name) for name in spec.PARAMETER_NAMES}
    with tf.GradientTape() as tape:
        reconstruction, kl = vae.negative_elbo(x, noise)
        objective = tf.reduce_sum(reconstruction + kl)
    found = tape.gradient(objective, [kernel.value for kernel in kernels.values()])
    return {name: np.array(g).T.copy() if g.ndim == 2 else np.array(g) for name, g in zip(kernels, found, strict=True)}


def variables(vae: Any, adam: Any) -> dict[str, tuple[Callable[[], Array], Callable[[Array], object]]]:
    """How each tensor of the state is read and written, but Adam's count, under its canonical name."""
    adam.build(vae.trainable_variables)
    found = {}
    for name in spec.PARAMETER_NAMES:
        variable = _variable(vae, name)
        i = adam._get_variable_index(variable)
        found[name] = _access(variable)
        found[f"adam.m.{name}"] = _access(adam._momentums[i])
        found[f"adam.v.{name}"] = _access(adam._velocities[i])
    return found


def _access(held: Any) -> tuple[Callable[[], Array], Callable[[Array], object]]:
    return lambda: np.array(held.numpy()).T.copy(), lambda new: held.assign(new.T)  # a kernel lies (in, out)


def count(adam: Any, steps: int) -> None:
    """Lets Adam go on after so many steps."""
    adam.iterations.assign(steps)


def _variable(vae: Any, name: str) -> Any:
    half, layer, kind = name.split(".")
    return getattr(getattr(getattr(vae, half), layer), "kernel" if kind == "weight" else kind)
