"""A port as a stranger writes it from conformance/README.md alone: Keras on its JAX backend, with what Keras has.

Two parts of Keras are not the specification's, and the suite must say which: its Adam adds epsilon before the bias
correction, and its cross-entropy on probabilities clips them at 1e-7. All else is right, and quick: JAX compiles once
for each size and precision, not for each model that is loaded.
"""

import functools
import os
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_ENABLE_X64", "1")  # float64 would be float32 without a word

import jax
import keras
import numpy as np
from shared.layers import LAYERS  # type: ignore[import-not-found]  # of the stranger's own

from vae_rosetta.shared import checks, parameters, spec, stream
from vae_rosetta.shared.contract import Losses


def describe() -> dict[str, str]:
    versions = {"framework": "keras", "version": f"{keras.__version__} on jax {jax.__version__}"}
    return {**versions, "device": jax.default_backend(), "precision": "as asked", "threads": str(os.cpu_count())}


def load(params: Any, *, dtype: str = "float32", device: str = "auto") -> "Model":
    checks.one_of("dtype", dtype, checks.DTYPES)
    checks.one_of("device", device, ("auto", "cpu"))
    return Model(network(parameters.sizes_of(params), dtype), params)


class Model:
    """The contract's methods: NumPy and (out, in) outside, JAX and Keras' (in, out) inside."""

    def __init__(self, network: "Network", params: Any) -> None:
        self.network, self.sizes, self.dtype = network, network.sizes, network.dtype
        self.values, self.adam = self.taken(params), network.adam_at_start

    def taken(self, tensors: Any, prefix: str = "") -> list[Any]:
        return [jax.numpy.array(tensors[prefix + name].T, self.dtype) for name in spec.PARAMETER_NAMES]

    def given(self, values: Any, prefix: str = "") -> dict[str, Any]:
        return {prefix + name: np.array(value).T.copy() for name, value in zip(spec.PARAMETER_NAMES, values)}

    def cast(self, array: Any) -> Any:
        return np.asarray(array, self.dtype)

    def params(self) -> Any:
        return self.given(self.values)

    def encode(self, x: Any) -> Any:
        checks.images(x, self.sizes.input_dim)
        mu, logvar = self.network.run_encode(self.values, self.cast(x))
        return np.array(mu), np.array(logvar)

    def reparameterize(self, mu: Any, logvar: Any, noise: Any) -> Any:
        checks.posterior(mu, logvar, noise, self.sizes.latent_dim)
        return np.array(self.network.run_reparameterize(self.cast(mu), self.cast(logvar), self.cast(noise)))

    def decode(self, z: Any) -> Any:
        checks.latents("z", z, self.sizes.latent_dim)
        return np.array(self.network.run_decode(self.values, self.cast(z)))

    def losses(self, x: Any, noise: Any) -> Losses:
        checks.batch(x, noise, self.sizes.input_dim, self.sizes.latent_dim)
        return Losses(*map(np.array, self.network.run_losses(self.values, self.cast(x), self.cast(noise))))

    def gradients(self, x: Any, noise: Any) -> Any:
        checks.batch(x, noise, self.sizes.input_dim, self.sizes.latent_dim)
        return self.given(self.network.run_gradients(self.values, self.cast(x), self.cast(noise)))

    def train(self, x: Any, order: Any, noise: Any) -> Any:
        x = self.cast(checks.images(x, self.sizes.input_dim, rows="N"))
        order, noise = checks.schedule(order, noise, len(x), self.sizes.latent_dim)
        objectives = []
        for rows, drawn in zip(order, self.cast(noise)):
            objective, self.values, self.adam = self.network.run_step(self.values, self.adam, x[rows], drawn)
            objectives.append(objective)
        return np.array(objectives, self.dtype)

    def state(self) -> Any:
        step, _rate, *moments = self.adam  # m and v of each variable in turn
        m, v = self.given(moments[0::2], "adam.m."), self.given(moments[1::2], "adam.v.")
        return {**self.params(), **m, **v, "adam.step": np.array(step, np.int64)}

    def load_state(self, state: Any) -> None:
        parameters.check_state(state, self.sizes)
        step, rate, *_ = self.adam
        pairs = zip(self.taken(state, "adam.m."), self.taken(state, "adam.v."))
        step = jax.numpy.array(state["adam.step"], step.dtype)
        self.values, self.adam = self.taken(state), [step, rate, *(moment for pair in pairs for moment in pair)]

    def sample(self, x: Any, seed: int) -> Any:
        key = jax.random.key(np.uint64(stream.check_seed(seed)))
        mu, logvar = self.encode(x)
        return np.array(self.network.run_reparameterize(mu, logvar, jax.random.normal(key, mu.shape, self.dtype)))

    def generate(self, n: int, seed: int) -> Any:
        key = jax.random.key(np.uint64(stream.check_seed(seed)))
        z = jax.random.normal(key, (checks.count("n", n), self.sizes.latent_dim), self.dtype)
        return np.array(self.network.run_probabilities(self.values, z))


class Network:
    """Keras' layers and optimiser for one size and precision; what their variables hold comes in as an argument."""

    def __init__(self, sizes: Any, dtype: str) -> None:
        self.sizes, self.dtype = sizes, np.dtype(dtype)
        keras.config.set_floatx(dtype)  # of the learning rate
        self.layers, shapes = {}, spec.parameter_shapes(sizes)
        for layer in LAYERS:
            width, inputs = shapes[f"{layer}.weight"]
            activation = "relu" if layer in ("encoder.fc1", "decoder.fc3") else None
            self.layers[layer] = keras.layers.Dense(width, activation=activation, dtype=dtype)
            self.layers[layer].build((None, inputs))
        self.variables = [v for layer in self.layers.values() for v in (layer.kernel, layer.bias)]
        self.optimizer = keras.optimizers.Adam(1e-3, epsilon=1e-8)
        self.optimizer.build(self.variables)
        self.adam_at_start = [jax.numpy.array(variable) for variable in self.optimizer.variables]
        self.run_encode, self.run_decode, self.run_losses, self.run_probabilities = (
            jax.jit(self.of_values(f)) for f in (self.encode, self.decode, self.losses, self.probabilities)
        )
        self.run_reparameterize, self.run_step = jax.jit(self.reparameterize), jax.jit(self.step)
        self.run_gradients = jax.jit(jax.grad(self.objective))

    def of_values(self, function: Any) -> Any:
        """`function` with the variables' values as its first argument."""

        def pure(values: Any, *arguments: Any) -> Any:
            with keras.StatelessScope(state_mapping=list(zip(self.variables, values))):
                return function(*arguments)

        return pure

    def encode(self, x: Any) -> Any:
        h = self.layers["encoder.fc1"](x)  # (B, H)
        return self.layers["encoder.fc2_mu"](h), self.layers["encoder.fc2_logvar"](h)  # (B, L) each

    def reparameterize(self, mu: Any, logvar: Any, noise: Any) -> Any:
        return mu + keras.ops.exp(logvar / 2) * noise  # (B, L)

    def decode(self, z: Any) -> Any:
        return self.layers["decoder.fc4"](self.layers["decoder.fc3"](z))  # (B, D)

    def probabilities(self, z: Any) -> Any:
        return keras.ops.sigmoid(self.decode(z))  # (B, D)

    def losses(self, x: Any, noise: Any) -> Any:
        mu, logvar = self.encode(x)
        probabilities = self.probabilities(self.reparameterize(mu, logvar, noise))
        # keras.losses.binary_crossentropy is its mean, which Keras takes in float32 even of float64.
        reconstruction = keras.ops.sum(keras.ops.binary_crossentropy(x, probabilities), axis=-1)  # (B,)
        return reconstruction, keras.ops.sum(mu**2 + keras.ops.exp(logvar) - 1 - logvar, axis=-1) / 2  # (B,) each

    def objective(self, values: Any, x: Any, noise: Any) -> Any:
        reconstruction, kl = self.of_values(self.losses)(values, x, noise)
        return keras.ops.sum(reconstruction + kl)

    def step(self, values: Any, adam: Any, x: Any, noise: Any) -> Any:
        objective, gradients = jax.value_and_grad(self.objective)(values, x, noise)
        return objective, *self.optimizer.stateless_apply(adam, gradients, values)


network = functools.cache(Network)
