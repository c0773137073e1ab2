"""A port as a stranger would write it around a `model.py`: its own `train`, its framework's autodiff and its Adam.

The variable `OWN_PORT` of the environment names the framework. What `backend.py` does faster is not used here.
"""

import importlib
import os
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vae_rosetta.shared import checks, parameters, spec
from vae_rosetta.shared.contract import Array, Losses, Tensors

_framework: Final[Any] = importlib.import_module(f"with_{os.environ['OWN_PORT']}")


def describe() -> dict[str, str]:
    """The identity that reports print."""
    described: dict[str, str] = _framework.module.describe()
    return {**described, "device": "cpu"}


def load(params: Tensors, *, dtype: str = "float32", device: str = "auto") -> "Model":
    """See `shared/contract.py`."""
    sizes = parameters.sizes_of(params)
    checks.one_of("dtype", dtype, checks.DTYPES)
    checks.one_of("device", device, ("auto", "cpu"))
    return Model(params, sizes, dtype)


class Model:
    """The contract around the classes and functions of a `model.py`."""

    def __init__(self, params: Tensors, sizes: spec.Sizes, dtype: str) -> None:
        self.sizes, self._dtype = sizes, np.dtype(dtype)
        with _framework.precision(dtype):
            self._vae = _framework.model(sizes.input_dim, sizes.latent_dim, sizes.hidden_dim, dtype=dtype)
            self._adam = _framework.optimizer(self._vae, dtype)
            self._variables = _framework.variables(self._vae, self._adam)
        self._steps = 0
        self._write({name: params[name] for name in spec.PARAMETER_NAMES})

    def params(self) -> dict[str, Array]:
        return {name: self._variables[name][0]() for name in spec.PARAMETER_NAMES}

    def encode(self, x: Array) -> tuple[Array, Array]:
        mu, logvar = self._call(self._vae.encoder.encode, checks.images(x, self.sizes.input_dim))
        return mu, logvar

    def reparameterize(self, mu: Array, logvar: Array, noise: Array) -> Array:
        (z,) = self._call(self._vae.reparameterize, *checks.posterior(mu, logvar, noise, self.sizes.latent_dim))
        return z

    def decode(self, z: Array) -> Array:
        (logits,) = self._call(self._vae.decoder.decode, checks.latents("z", z, self.sizes.latent_dim))
        return logits

    def losses(self, x: Array, noise: Array) -> Losses:
        return Losses(*self._call(self._vae.negative_elbo, *self._batch(x, noise)))

    def loss_on_probabilities(self, recon_x: Array, x: Array, mu: Array, logvar: Array) -> Array:
        sizes = self.sizes
        checked = checks.reconstructions(recon_x, x, mu, logvar, sizes.input_dim, sizes.latent_dim)
        (objective,) = self._call(_framework.module.loss_function, *checked)
        return objective

    def gradients(self, x: Array, noise: Array) -> dict[str, Array]:
        batch = self._batch(x, noise)
        with _framework.precision(self._dtype.name):
            found: dict[str, Array] = _framework.gradients(self._vae, *map(self._tensor, batch))
        return found

    def train(self, x: Array, order: npt.NDArray[np.int64], noise: Array) -> Array:
        """Each step is an epoch of the file's own `train`, over a loader of one batch."""
        x = checks.images(x, self.sizes.input_dim, rows="N")
        order, noise = checks.schedule(order, noise, len(x), self.sizes.latent_dim)
        objectives = []
        with _framework.precision(self._dtype.name):
            for rows, step_noise in zip(order, noise, strict=True):
                batches, noises = [self._tensor(x[rows])], [self._tensor(step_noise)]
                average = _framework.module.train(self._vae, batches, self._adam, noises)
                objectives.append(average * len(rows))
        self._steps += len(order)
        return np.array(objectives, dtype=self._dtype)

    def state(self) -> dict[str, Array]:
        tensors = {name: read() for name, (read, _) in self._variables.items()}
        return {**tensors, "adam.step": np.array(self._steps, dtype=np.int64)}

    def load_state(self, state: Tensors) -> None:
        parameters.check_state(state, self.sizes)
        self._write({name: state[name] for name in self._variables})
        self._steps = int(state["adam.step"])
        with _framework.precision(self._dtype.name):
            _framework.count(self._adam, self._steps)

    def _batch(self, x: Array, noise: Array) -> tuple[Array, Array]:
        return checks.batch(x, noise, self.sizes.input_dim, self.sizes.latent_dim)

    def _write(self, tensors: Tensors) -> None:
        with _framework.precision(self._dtype.name):
            for name, tensor in tensors.items():
                self._variables[name][1](tensor.astype(self._dtype))

    def _tensor(self, array: Array) -> Any:
        return _framework.tensor(np.array(array, dtype=self._dtype, order="C"))

    def _call(self, function: Any, *arrays: Array) -> tuple[Array, ...]:
        with _framework.precision(self._dtype.name):
            found = function(*map(self._tensor, arrays))
            return tuple(map(_framework.array, found if isinstance(found, tuple) else (found,)))
