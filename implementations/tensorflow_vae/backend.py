"""The contract (`shared/contract.py`) around the TensorFlow model: NumPy in, NumPy out.

`train` takes the steps of `model.py` in one compiled loop. Mixed precision is Keras' policy of that name.
"""

import importlib.metadata
import os
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from vae_rosetta.implementations.tensorflow_vae.model import VAE, Adam, Tensor, loss_function, update
from vae_rosetta.shared import checks, parameters, spec, stream
from vae_rosetta.shared.contract import Array, Held, Losses, Tensors


def describe() -> dict[str, str]:
    """The identity that reports print."""
    return {
        "framework": "tensorflow",
        "version": f"{tf.__version__} (keras {importlib.metadata.version('keras')})",
        "device": "cuda" if tf.config.list_physical_devices("GPU") else "cpu",
        "precision": "float32 matrix products: highest",
        "threads": str(tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count()),
    }


def load(params: Tensors, *, dtype: str = "float32", device: str = "auto") -> "Model":
    """A model holding copies of `params`; dtype may also be "mixed_bfloat16" (`spec.MIXED_PRECISION`).

    Turns TF32 products off for the whole process: the specification wants float32.

    Raises:
        TypeError, ValueError: see `parameters.sizes_of`; also for an unknown dtype or a device that is not there.
    """
    sizes = parameters.sizes_of(params)
    checks.one_of("dtype", dtype, checks.PRECISIONS)
    tf.config.experimental.enable_tensor_float_32_execution(False)
    return Model(params, sizes, dtype, _device(device))


class Model:
    """The contract around a `VAE`: all of `FullModel` in `shared/contract.py`."""

    def __init__(self, params: Tensors, sizes: spec.Sizes, dtype: str, device: str) -> None:
        self.sizes = sizes
        self._dtype, self._device = checks.held_in(dtype), device
        self._place = f"{self._dtype} by TensorFlow on {device}"
        with tf.device(device):
            self._vae = VAE(sizes.input_dim, sizes.latent_dim, sizes.hidden_dim, dtype=dtype)
            # A callable, because Keras would hold a plain learning rate in float32 whatever the dtype of the model.
            self._optimizer = Adam(learning_rate=lambda: tf.constant(spec.LEARNING_RATE, self._dtype))
            self._optimizer.build(self._vae.trainable_variables)
        self._variables = {name: _variable(self._vae, name) for name in spec.PARAMETER_NAMES}
        self._set_params(params)

    def params(self) -> dict[str, Array]:
        return {name: _canonical(name, variable) for name, variable in self._variables.items()}

    def encode(self, x: Array) -> tuple[Array, Array]:
        mu, logvar = self._run(self._encode, checks.images(x, self.sizes.input_dim))
        return _array(mu), _array(logvar)

    def reparameterize(self, mu: Array, logvar: Array, noise: Array) -> Array:
        return _array(self._run(self._reparameterize, *checks.posterior(mu, logvar, noise, self.sizes.latent_dim)))

    def decode(self, z: Array) -> Array:
        return _array(self._run(self._decode, checks.latents("z", z, self.sizes.latent_dim)))

    def losses(self, x: Array, noise: Array) -> Losses:
        batch = checks.batch(x, noise, self.sizes.input_dim, self.sizes.latent_dim)
        reconstruction, kl = self._run(self._losses, *batch)
        return Losses(_array(reconstruction), _array(kl))

    def loss_on_probabilities(self, recon_x: Array, x: Array, mu: Array, logvar: Array) -> Array:
        sizes = self.sizes
        checked = checks.reconstructions(recon_x, x, mu, logvar, sizes.input_dim, sizes.latent_dim)
        return _array(self._run(self._loss_on_probabilities, *checked))

    def gradients(self, x: Array, noise: Array) -> dict[str, Array]:
        batch = checks.batch(x, noise, self.sizes.input_dim, self.sizes.latent_dim)
        gradients = dict(zip(map(id, self._vae.trainable_variables), self._run(self._gradients, *batch), strict=True))
        return {name: _canonical(name, gradients[id(variable)]) for name, variable in self._variables.items()}

    def hold(self, x: Array) -> Held[Tensor]:
        images = checks.images(x, self.sizes.input_dim, rows="N")
        return Held(self._put(images), images.shape, self._place)

    def train(self, x: Array | Held[Tensor], order: npt.NDArray[np.int64], noise: Array) -> Array:
        data = x if isinstance(x, Held) else self.hold(x)
        images = checks.held(data, self.sizes.input_dim, self._place)  # (N, D)
        order, noise = checks.schedule(order, noise, len(data), self.sizes.latent_dim)
        with tf.device(self._device):
            rows = tf.constant(order, dtype=tf.int32)  # (K, B)
            return _array(self._training_steps(images, rows, self._put(noise)))

    def state(self) -> dict[str, Array]:
        moments = {
            f"adam.{k}.{name}": _canonical(name, moment[name]) for k, moment in self._moments.items() for name in moment
        }
        return {**self.params(), **moments, "adam.step": np.array(int(self._optimizer.iterations), dtype=np.int64)}

    def load_state(self, state: Tensors) -> None:
        parameters.check_state(state, self.sizes)
        self._set_params(state)
        for k, moment in self._moments.items():
            for name, variable in moment.items():
                _assign(name, variable, state[f"adam.{k}.{name}"])
        self._optimizer.iterations.assign(int(state["adam.step"]))

    def sample(self, x: Array, seed: int) -> Array:
        mu, logvar = self.encode(x)
        return self.reparameterize(mu, logvar, self._noise(len(x), seed))

    def generate(self, n: int, seed: int) -> Array:
        return _array(self._run(self._generate, self._noise(checks.count("n", n), seed)))

    @property
    def _moments(self) -> dict[str, dict[str, Any]]:
        """Adam's variables under the canonical names of the parameters they belong to."""
        index = {name: self._optimizer._get_variable_index(variable) for name, variable in self._variables.items()}
        stores = {"m": self._optimizer._momentums, "v": self._optimizer._velocities}
        return {k: {name: store[i] for name, i in index.items()} for k, store in stores.items()}

    def _noise(self, rows: int, seed: int) -> Array:
        seed = stream.check_seed(seed)
        halves = np.array([seed >> 32, seed & 0xFFFF_FFFF], dtype=np.uint32).view(np.int32)
        return _array(tf.random.stateless_normal((rows, self.sizes.latent_dim), halves, dtype=self._dtype))

    def _set_params(self, params: Tensors) -> None:
        for name, variable in self._variables.items():
            _assign(name, variable, params[name])

    def _run(self, function: Any, *arrays: Array) -> Any:
        with tf.device(self._device):
            return function(*map(self._put, arrays))

    def _put(self, array: Array) -> Tensor:
        with tf.device(self._device):
            return tf.constant(array, dtype=self._dtype)

    # Graphs, traced for each model and shape.

    @tf.function(reduce_retracing=True)
    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._vae.encoder.encode(x)

    @tf.function(reduce_retracing=True)
    def _reparameterize(self, mu: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
        return self._vae.reparameterize(mu, logvar, noise)

    @tf.function(reduce_retracing=True)
    def _decode(self, z: Tensor) -> Tensor:
        return self._vae.decoder.decode(z)

    @tf.function(reduce_retracing=True)
    def _losses(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        return self._vae.negative_elbo(x, noise)

    @tf.function(reduce_retracing=True)
    def _loss_on_probabilities(self, recon_x: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        return loss_function(recon_x, x, mu, logvar)

    @tf.function(reduce_retracing=True)
    def _gradients(self, x: Tensor, noise: Tensor) -> list[Tensor]:
        with tf.GradientTape() as tape:
            reconstruction, kl = self._vae.negative_elbo(x, noise)
            objective = tf.reduce_sum(reconstruction + kl)
        gradients: list[Tensor] = tape.gradient(objective, self._vae.trainable_variables)
        return gradients

    @tf.function(reduce_retracing=True)
    def _generate(self, z: Tensor) -> Tensor:
        return self._vae.generate(z)

    @tf.function(jit_compile=True)
    def _training_steps(self, images: Tensor, order: Tensor, noise: Tensor) -> Tensor:
        """images (N, D), order (K, B), noise (K, B, L) -> objectives (K,): all steps in one compiled loop."""
        objectives = tf.TensorArray(images.dtype, size=order.shape[0], element_shape=())
        for k in tf.range(order.shape[0]):
            objective = update(self._vae, self._optimizer, tf.gather(images, order[k]), noise[k])
            objectives = objectives.write(k, objective)
        return objectives.stack()


def _variable(vae: VAE, name: str) -> Any:
    """The variable with a canonical name; Keras calls a weight kernel and stores it (in, out)."""
    half, layer, kind = name.split(".")
    return getattr(getattr(getattr(vae, half), layer), "kernel" if kind == "weight" else kind)


def _canonical(name: str, variable: Any) -> Array:
    array = _array(tf.convert_to_tensor(variable))
    return array.T.copy() if name.endswith("weight") else array


def _assign(name: str, variable: Any, array: Array) -> None:
    variable.assign(array.T if name.endswith("weight") else array)


def _device(device: str) -> str:
    checks.one_of("device", device, checks.DEVICES)
    available = bool(tf.config.list_physical_devices("GPU"))
    if device == "cuda" and not available:
        raise ValueError("device: got 'cuda', but TensorFlow sees no GPU here; expected auto or cpu")
    return "/GPU:0" if device != "cpu" and available else "/CPU:0"


def _array(tensor: Tensor) -> Array:
    return np.array(tensor)
