"""The classic VAE in TensorFlow: Keras models, `tf.function`.

The first part stands alone: the model, its losses and a training epoch as a TensorFlow user writes them. The second
part is the contract (`shared/contract.py`): NumPy in, NumPy out, seeds and parameters that mean the same in every
framework.

Symbols: B images, D pixels, H hidden units, L latents. Neither Keras' initial weights (Glorot's, and zero biases) nor
its Adam (epsilon before the bias correction) are the specification's: both are set here.
"""

import math
import os
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # Keras reads it once, when first imported
import keras
import tensorflow as tf

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"KERAS_BACKEND: got {keras.backend.backend()!r}; expected 'tensorflow', set before Keras is first imported"
    )

Tensor: TypeAlias = Any  # tf.Tensor or keras.KerasTensor: TensorFlow ships no types


def _dense(in_features: int, out_features: int, activation: str | None, dtype: str) -> keras.layers.Dense:
    """A layer with weights and biases uniform in +-1/sqrt(in)."""
    bound = in_features**-0.5
    layer = keras.layers.Dense(
        out_features,
        activation=activation,
        kernel_initializer=keras.initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform"),
        bias_initializer=keras.initializers.RandomUniform(-bound, bound),
        dtype=dtype,
    )
    layer.build((None, in_features))
    return layer


class Encoder(keras.Model):
    """q(z|x): images to the mean and log-variance of a normal distribution."""

    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int, *, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)
        self.fc1 = _dense(input_dim, hidden_dim, "relu", dtype)
        self.fc2_mu = _dense(hidden_dim, latent_dim, None, dtype)
        self.fc2_logvar = _dense(hidden_dim, latent_dim, None, dtype)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, D) -> mu (B, L), logvar (B, L)."""
        hidden = self.fc1(x)  # (B, H)
        return tf.cast(self.fc2_mu(hidden), x.dtype), tf.cast(self.fc2_logvar(hidden), x.dtype)  # of mixed precision


class Decoder(keras.Model):
    """p(x|z): latents to the logits of a Bernoulli distribution for each pixel."""

    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int, *, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)
        self.fc3 = _dense(latent_dim, hidden_dim, "relu", dtype)
        self.fc4 = _dense(hidden_dim, input_dim, None, dtype)

    def decode(self, z: Tensor) -> Tensor:
        """z (B, L) -> logits (B, D)."""
        hidden = self.fc3(z)  # (B, H)
        return tf.cast(self.fc4(hidden), z.dtype)  # (B, D)


class VAE(keras.Model):
    """Encoder and decoder, joined by the reparameterisation z = mu + exp(logvar / 2) noise."""

    def __init__(
        self, input_dim: int = 784, latent_dim: int = 20, hidden_dim: int = 400, *, dtype: str = "float32"
    ) -> None:
        super().__init__(dtype=dtype, autocast=False)  # layers cast what they take; the losses are for full precision
        self.encoder = Encoder(input_dim, hidden_dim, latent_dim, dtype=dtype)
        self.decoder = Decoder(input_dim, hidden_dim, latent_dim, dtype=dtype)
        self.latent_dim = latent_dim
        self.built = True  # the layers are: nothing waits for a first batch

    def reparameterize(self, mu: Tensor, logvar: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B, L) each -> z (B, L); noise from TensorFlow's generator where none is given."""
        noise = tf.random.normal(tf.shape(mu), dtype=mu.dtype) if noise is None else noise
        return mu + tf.exp(logvar / 2) * noise

    def call(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, D) -> recon_x (B, D) probabilities, mu (B, L), logvar (B, L)."""
        mu, logvar = self.encoder.encode(x)
        logits = self.decoder.decode(self.reparameterize(mu, logvar, noise))
        return tf.sigmoid(logits), mu, logvar

    def negative_elbo(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, D) -> its two terms, reconstruction (B,) and kl (B,), on logits: what training minimises."""
        mu, logvar = self.encoder.encode(x)
        logits = self.decoder.decode(self.reparameterize(mu, logvar, noise))
        # TensorFlow's own sigmoid_cross_entropy_with_logits has a gradient through exp, log1p and two wheres.
        reconstruction = tf.reduce_sum(tf.nn.softplus(logits) - x * logits, axis=1)  # (B,)
        return reconstruction, kl_divergence(mu, logvar)

    def generate(self, z: Tensor) -> Tensor:
        """z (B, L) -> probabilities (B, D)."""
        return tf.sigmoid(self.decoder.decode(z))


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(q(z|x) || N(0, I)) per image: (B, L) -> (B,). Kingma & Welling 2014, appendix B."""
    return 0.5 * tf.reduce_sum(tf.square(mu) + tf.exp(logvar) - 1.0 - logvar, axis=1)


def loss_function(recon_x: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """The common published loss on probabilities, summed over the batch, each log clamped at -100 as PyTorch does.

    Where a pixel saturates, that clamp loses the gradient: `VAE.negative_elbo` works on logits, and training uses it.
    """
    log_p = tf.maximum(tf.math.log(recon_x), -100.0)
    log_q = tf.maximum(tf.math.log1p(-recon_x), -100.0)
    return -tf.reduce_sum(x * log_p + (1 - x) * log_q) + tf.reduce_sum(kl_divergence(mu, logvar))


class Adam(keras.optimizers.Adam):
    """Algorithm 1 of Kingma & Ba 2015: epsilon is added to sqrt(v_hat), after the bias correction.

    Keras' own Adam adds it to sqrt(v): its first step is up to 32 times shorter where gradients are near epsilon.
    """

    def __init__(self, learning_rate: Any = 1e-3, epsilon: float = 1e-8, **kwargs: Any) -> None:
        if kwargs.get("amsgrad"):
            raise ValueError("amsgrad: got True; expected False, as in Algorithm 1")
        super().__init__(learning_rate=learning_rate, epsilon=epsilon, **kwargs)

    def update_step(self, gradient: Tensor, variable: Tensor, learning_rate: Tensor) -> None:
        dtype = variable.dtype
        step = tf.cast(self.iterations + 1, dtype)
        # 1 - beta^t without cancellation: in float32 it would be off by 1e-5 at first, by 3e-6 after 3,000 steps.
        correction1 = -tf.math.expm1(step * math.log(self.beta_1))
        correction2 = -tf.math.expm1(step * math.log(self.beta_2))
        m = self._momentums[self._get_variable_index(variable)]
        v = self._velocities[self._get_variable_index(variable)]
        m.assign(self.beta_1 * m + (1 - self.beta_1) * gradient)
        v.assign(self.beta_2 * v + (1 - self.beta_2) * tf.square(gradient))
        update = (m / correction1) / (tf.sqrt(v / correction2) + self.epsilon)
        variable.assign_sub(tf.cast(learning_rate, dtype) * update)


def train(model: VAE, data_loader: Iterable[Any], optimizer: keras.optimizers.Optimizer) -> float:
    """One epoch over a loader of images (B, D), alone or before their labels. Returns the average loss per image."""
    optimizer.build(model.trainable_variables)
    total, images = 0.0, 0
    for batch in data_loader:
        x = tf.convert_to_tensor(batch[0] if isinstance(batch, Sequence) else batch)
        x = tf.reshape(x, (len(x), -1))  # (B, D)
        # Drawn here, because compiled code does not heed tf.random.set_seed.
        noise = tf.random.normal((len(x), model.latent_dim), dtype=model.dtype)  # (B, L)
        total += float(_update(model, optimizer, x, noise))
        images += len(x)
    return total / images


@tf.function(jit_compile=True)
def _update(model: VAE, optimizer: keras.optimizers.Optimizer, x: Tensor, noise: Tensor) -> Tensor:
    """One step of the optimizer. Returns the objective, summed over the batch, as it was before."""
    objective, gradients = _objective_and_gradients(model, x, noise)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    return objective


def _objective_and_gradients(model: VAE, x: Tensor, noise: Tensor) -> tuple[Tensor, list[Tensor]]:
    with tf.GradientTape() as tape:
        reconstruction, kl = model.negative_elbo(x, noise)
        objective = tf.reduce_sum(reconstruction + kl)
    return objective, tape.gradient(objective, model.trainable_variables)


# The contract
# -----------------------------------------------------------------------------------------------------------

from shared import checks, parameters, spec, stream  # noqa: E402 -- nothing above needs this project
from shared.contract import Array, Losses, Tensors  # noqa: E402
from shared.resident import ResidentImages  # noqa: E402


def describe() -> dict[str, str]:
    """The identity that reports print."""
    return {
        "framework": "tensorflow",
        "version": f"{tf.__version__} (keras {keras.__version__})",
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
        with tf.device(device):
            self._vae = VAE(sizes.input_dim, sizes.latent_dim, sizes.hidden_dim, dtype=dtype)
            # A callable, because Keras would hold a plain learning rate in float32 whatever the dtype of the model.
            self._optimizer = Adam(learning_rate=lambda: tf.constant(spec.LEARNING_RATE, self._dtype))
            self._optimizer.build(self._vae.trainable_variables)
        self._variables = {name: _variable(self._vae, name) for name in spec.PARAMETER_NAMES}
        self._set_params(params)
        self._resident = ResidentImages(sizes.input_dim, self._put)

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

    def train(self, x: Array, order: npt.NDArray[np.int64], noise: Array) -> Array:
        images = self._resident(x)  # (N, D)
        order, noise = checks.schedule(order, noise, len(x), self.sizes.latent_dim)
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
        return _objective_and_gradients(self._vae, x, noise)[1]

    @tf.function(reduce_retracing=True)
    def _generate(self, z: Tensor) -> Tensor:
        return self._vae.generate(z)

    @tf.function(jit_compile=True)
    def _training_steps(self, images: Tensor, order: Tensor, noise: Tensor) -> Tensor:
        """images (N, D), order (K, B), noise (K, B, L) -> objectives (K,): all steps in one compiled loop."""
        objectives = tf.TensorArray(images.dtype, size=order.shape[0], element_shape=())
        for k in tf.range(order.shape[0]):
            objective = _update(self._vae, self._optimizer, tf.gather(images, order[k]), noise[k])
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
