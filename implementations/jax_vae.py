"""The classic VAE in JAX: Flax NNX modules, Optax' Adam.

The first part stands alone: the model, its losses and a training epoch as a JAX user writes them. The second part is
the contract (`shared/contract.py`): NumPy in, NumPy out, seeds and parameters that mean the same in every framework.

Symbols: B images, D pixels, H hidden units, L latents. Flax' own initial weights are not the specification's (a
truncated normal, 1.7 times as wide, and zero biases); Optax' Adam is, up to digits that float32 loses: both are set
here.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
from flax import nnx
from jax import Array as Tensor


def _linear(in_features: int, out_features: int, dtype: str, rngs: nnx.Rngs) -> nnx.Linear:
    """A layer with weights and biases uniform in +-1/sqrt(in), and IEEE products where the default is coarser.

    dtype may be "mixed_bfloat16", as Keras has it: float32 parameters, and bfloat16 in the layer.
    """
    bound = in_features**-0.5
    return nnx.Linear(
        in_features,
        out_features,
        kernel_init=nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
        bias_init=lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound),
        dtype="bfloat16" if dtype == "mixed_bfloat16" else dtype,
        param_dtype="float32" if dtype == "mixed_bfloat16" else dtype,
        precision="highest",
        rngs=rngs,
    )


class Encoder(nnx.Module):
    """q(z|x): images to the mean and log-variance of a normal distribution."""

    def __init__(
        self, input_dim: int, hidden_dim: int, latent_dim: int, *, dtype: str = "float32", rngs: nnx.Rngs
    ) -> None:
        self.fc1 = _linear(input_dim, hidden_dim, dtype, rngs)
        self.fc2_mu = _linear(hidden_dim, latent_dim, dtype, rngs)
        self.fc2_logvar = _linear(hidden_dim, latent_dim, dtype, rngs)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, D) -> mu (B, L), logvar (B, L)."""
        hidden = nnx.relu(self.fc1(x))  # (B, H)
        return self.fc2_mu(hidden).astype(x.dtype), self.fc2_logvar(hidden).astype(x.dtype)


class Decoder(nnx.Module):
    """p(x|z): latents to the logits of a Bernoulli distribution for each pixel."""

    def __init__(
        self, input_dim: int, hidden_dim: int, latent_dim: int, *, dtype: str = "float32", rngs: nnx.Rngs
    ) -> None:
        self.fc3 = _linear(latent_dim, hidden_dim, dtype, rngs)
        self.fc4 = _linear(hidden_dim, input_dim, dtype, rngs)

    def decode(self, z: Tensor) -> Tensor:
        """z (B, L) -> logits (B, D)."""
        hidden = nnx.relu(self.fc3(z))  # (B, H)
        return self.fc4(hidden).astype(z.dtype)  # (B, D)


class VAE(nnx.Module):
    """Encoder and decoder, joined by the reparameterisation z = mu + exp(logvar / 2) noise."""

    def __init__(
        self,
        input_dim: int = 784,
        latent_dim: int = 20,
        hidden_dim: int = 400,
        *,
        dtype: str = "float32",
        rngs: nnx.Rngs | None = None,
    ) -> None:
        self.rngs = rngs = nnx.Rngs(0) if rngs is None else rngs
        self.encoder = Encoder(input_dim, hidden_dim, latent_dim, dtype=dtype, rngs=rngs)
        self.decoder = Decoder(input_dim, hidden_dim, latent_dim, dtype=dtype, rngs=rngs)

    def reparameterize(self, mu: Tensor, logvar: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B, L) each -> z (B, L); noise from the model's own generator where none is given."""
        noise = self.rngs.noise.normal(mu.shape, mu.dtype) if noise is None else noise
        return mu + jnp.exp(logvar / 2) * noise

    def __call__(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, D) -> recon_x (B, D) probabilities, mu (B, L), logvar (B, L)."""
        mu, logvar = self.encoder.encode(x)
        logits = self.decoder.decode(self.reparameterize(mu, logvar, noise))
        return jax.nn.sigmoid(logits), mu, logvar

    def negative_elbo(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, D) -> its two terms, reconstruction (B,) and kl (B,), on logits: what training minimises."""
        mu, logvar = self.encoder.encode(x)
        logits = self.decoder.decode(self.reparameterize(mu, logvar, noise))
        # Optax' own sigmoid_binary_cross_entropy takes two log-sigmoids of every pixel.
        reconstruction = (jax.nn.softplus(logits) - x * logits).sum(axis=1)  # (B,)
        return reconstruction, kl_divergence(mu, logvar)

    def generate(self, z: Tensor) -> Tensor:
        """z (B, L) -> probabilities (B, D)."""
        return jax.nn.sigmoid(self.decoder.decode(z))


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(q(z|x) || N(0, I)) per image: (B, L) -> (B,). Kingma & Welling 2014, appendix B."""
    return 0.5 * (mu**2 + jnp.exp(logvar) - 1.0 - logvar).sum(axis=1)


def loss_function(recon_x: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """The common published loss on probabilities, summed over the batch, each log clamped at -100 as PyTorch does.

    Where a pixel saturates, that clamp loses the gradient: `VAE.negative_elbo` works on logits, and training uses it.
    """
    log_p = jnp.maximum(jnp.log(recon_x), -100.0)
    log_q = jnp.maximum(jnp.log1p(-recon_x), -100.0)
    return -(x * log_p + (1 - x) * log_q).sum() + kl_divergence(mu, logvar).sum()


def adam(
    learning_rate: float = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
    """Algorithm 1 of Kingma & Ba 2015, with bias corrections that are right to the last digits.

    Optax' own Adam computes 1 - beta^t as it stands: in float32 that is off by 1e-5 at first, 3e-6 after 3,000 steps.
    """

    def update(gradients: Any, state: optax.ScaleByAdamState, params: Any = None) -> tuple[Any, Any]:
        count = state.count + 1
        m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mu, gradients)
        v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g**2, state.nu, gradients)
        correction1, correction2 = (-jnp.expm1(count * math.log(beta)) for beta in (b1, b2))

        def step(m: Tensor, v: Tensor) -> Tensor:
            return -learning_rate * (m / correction1) / (jnp.sqrt(v / correction2) + eps)

        return jax.tree.map(step, m, v), optax.ScaleByAdamState(count=count, mu=m, nu=v)

    return optax.GradientTransformation(optax.scale_by_adam().init, update)


def train(model: VAE, data_loader: Iterable[Any], optimizer: nnx.Optimizer[VAE]) -> float:
    """One epoch over a loader of images (B, D), alone or before their labels. Returns the average loss per image."""
    total, images = 0.0, 0
    for batch in data_loader:
        x = jnp.asarray(batch[0] if isinstance(batch, Sequence) else batch)
        x = x.reshape(len(x), -1)  # (B, D)
        total += float(_update(model, optimizer, x))
        images += len(x)
    return total / images


@nnx.jit
def _update(model: VAE, optimizer: nnx.Optimizer[VAE], x: Tensor, noise: Tensor | None = None) -> Tensor:
    """One step of the optimizer. Returns the objective, summed over the batch, as it was before."""
    objective: Tensor
    objective, gradients = nnx.value_and_grad(_objective)(model, x, noise)
    optimizer.update(model, gradients)
    return objective


def _objective(model: VAE, x: Tensor, noise: Tensor | None) -> Tensor:
    reconstruction, kl = model.negative_elbo(x, noise)
    return (reconstruction + kl).sum()


# The contract
# -----------------------------------------------------------------------------------------------------------

from implementations import jax_compiler  # noqa: E402 -- nothing above needs this project
from shared import checks, parameters, spec, stream  # noqa: E402
from shared.contract import Array, Losses, Tensors  # noqa: E402
from shared.resident import ResidentImages  # noqa: E402


def describe() -> dict[str, str]:
    """The identity that reports print."""
    return {
        "framework": "jax",
        "version": jax.__version__,
        "device": "cuda" if jax.default_backend() == "gpu" else jax.default_backend(),
        "precision": "float32 matrix products: highest",
        "threads": str(os.cpu_count()),  # XLA's CPU runtime takes what is there
    }


def load(params: Tensors, *, dtype: str = "float32", device: str = "auto") -> "Model":
    """A model holding copies of `params`; dtype may also be "mixed_bfloat16" (`spec.MIXED_PRECISION`).

    Raises:
        TypeError, ValueError: see `parameters.sizes_of`; also for an unknown dtype or a device that is not there.
    """
    sizes = parameters.sizes_of(params)
    checks.one_of("dtype", dtype, checks.PRECISIONS)
    return Model(params, sizes, dtype, _device(device))


class Model:
    """The contract around a `VAE`: all of `FullModel` in `shared/contract.py`."""

    def __init__(self, params: Tensors, sizes: spec.Sizes, dtype: str, device: jax.Device) -> None:
        self.sizes = sizes
        self._dtype, self._device = checks.held_in(dtype), device
        with self._placed():
            # Shapes alone: initial weights that are to be replaced need not be drawn.
            self._vae = nnx.eval_shape(partial(VAE, sizes.input_dim, sizes.latent_dim, sizes.hidden_dim, dtype=dtype))
            self._vae.rngs = nnx.Rngs(0)
            self._set_params(params)
            self._optimizer = nnx.Optimizer(self._vae, _ADAM, wrt=nnx.Param)
        self._resident = ResidentImages(sizes.input_dim, self._put)

    def params(self) -> dict[str, Array]:
        return _canonical(nnx.state(self._vae, nnx.Param))

    def encode(self, x: Array) -> tuple[Array, Array]:
        mu, logvar = self._run(_encode, checks.images(x, self.sizes.input_dim))
        return _array(mu), _array(logvar)

    def reparameterize(self, mu: Array, logvar: Array, noise: Array) -> Array:
        return _array(self._run(_reparameterize, *checks.posterior(mu, logvar, noise, self.sizes.latent_dim)))

    def decode(self, z: Array) -> Array:
        return _array(self._run(_decode, checks.latents("z", z, self.sizes.latent_dim)))

    def losses(self, x: Array, noise: Array) -> Losses:
        batch = checks.batch(x, noise, self.sizes.input_dim, self.sizes.latent_dim)
        reconstruction, kl = self._run(_losses, *batch)
        return Losses(_array(reconstruction), _array(kl))

    def loss_on_probabilities(self, recon_x: Array, x: Array, mu: Array, logvar: Array) -> Array:
        sizes = self.sizes
        checked = checks.reconstructions(recon_x, x, mu, logvar, sizes.input_dim, sizes.latent_dim)
        return _array(self._run(_loss_on_probabilities, *checked))

    def gradients(self, x: Array, noise: Array) -> dict[str, Array]:
        batch = checks.batch(x, noise, self.sizes.input_dim, self.sizes.latent_dim)
        return _canonical(self._run(_gradients, *batch))

    def train(self, x: Array, order: npt.NDArray[np.int64], noise: Array) -> Array:
        images = self._resident(x)  # (N, D)
        order, noise = checks.schedule(order, noise, len(x), self.sizes.latent_dim)
        with self._placed():
            rows = jnp.asarray(order, dtype=jnp.int32)  # (K, B)
            return _array(_training_steps(self._vae, self._optimizer, images, rows, self._put(noise)))

    def state(self) -> dict[str, Array]:
        adam = self._adam
        moments = {"m": _canonical(adam.mu), "v": _canonical(adam.nu)}
        flat = {f"adam.{k}.{name}": value for k, values in moments.items() for name, value in values.items()}
        return {**self.params(), **flat, "adam.step": np.array(adam.count.get_value(), dtype=np.int64)}

    def load_state(self, state: Tensors) -> None:
        parameters.check_state(state, self.sizes)
        with self._placed():
            self._set_params(state)
            for k, moment in (("m", self._adam.mu), ("v", self._adam.nu)):
                self._assign(moment, {name: state[f"adam.{k}.{name}"] for name in spec.PARAMETER_NAMES})
            self._adam.count.set_value(jnp.asarray(state["adam.step"], dtype=jnp.int32))

    def sample(self, x: Array, seed: int) -> Array:
        mu, logvar = self.encode(x)
        return self.reparameterize(mu, logvar, self._noise(len(x), seed))

    def generate(self, n: int, seed: int) -> Array:
        return _array(self._run(_generate, self._noise(checks.count("n", n), seed)))

    @property
    def _adam(self) -> Any:
        return self._optimizer.opt_state

    def _noise(self, rows: int, seed: int) -> Array:
        seed = stream.check_seed(seed)
        halves = np.array([seed >> 32, seed & 0xFFFF_FFFF], dtype=np.uint32)
        with self._placed():
            key = jax.random.wrap_key_data(jnp.asarray(halves), impl="threefry2x32")  # takes all 64 bits without x64
            return _array(jax.random.normal(key, (rows, self.sizes.latent_dim), self._dtype))

    def _set_params(self, params: Tensors) -> None:
        self._assign(nnx.state(self._vae, nnx.Param), params)

    def _assign(self, state: Any, tensors: Tensors) -> None:
        for name in spec.PARAMETER_NAMES:
            variable = _variable(state, name)
            variable.set_value(self._put(tensors[name].T if name.endswith("weight") else tensors[name]))

    def _run(self, function: Callable[..., Any], *arrays: Array) -> Any:
        with self._placed():
            return function(self._vae, *map(self._put, arrays))

    def _put(self, array: Array) -> Tensor:
        with self._placed():
            # A copy whatever happens: `device_put` takes over the memory of some arrays, even with `may_alias=False`.
            return jnp.array(array, dtype=self._dtype)

    @contextmanager
    def _placed(self) -> Iterator[None]:
        """Work in this model's precision and on its device, whatever the caller's JAX is set to."""
        with jax.enable_x64(self._dtype == "float64"), jax.default_device(self._device):
            yield


# Compiled once per shape and dtype, and shared by all models: hence one Adam, since a compiled function knows its
# optimizer by identity.

_ADAM = adam()


@nnx.jit
def _encode(model: VAE, x: Tensor) -> tuple[Tensor, Tensor]:
    return model.encoder.encode(x)


@nnx.jit
def _reparameterize(model: VAE, mu: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    return model.reparameterize(mu, logvar, noise)


@nnx.jit
def _decode(model: VAE, z: Tensor) -> Tensor:
    return model.decoder.decode(z)


@nnx.jit
def _losses(model: VAE, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    return model.negative_elbo(x, noise)


@nnx.jit
def _loss_on_probabilities(model: VAE, recon_x: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    return loss_function(recon_x, x, mu, logvar)


@nnx.jit
def _gradients(model: VAE, x: Tensor, noise: Tensor) -> nnx.State[Any, Any]:
    gradients: nnx.State[Any, Any] = nnx.grad(_objective)(model, x, noise)
    return gradients


@nnx.jit
def _generate(model: VAE, z: Tensor) -> Tensor:
    return model.generate(z)


def _training_steps(model: VAE, optimizer: nnx.Optimizer[VAE], images: Tensor, order: Tensor, noise: Tensor) -> Tensor:
    """images (N, D), order (K, B), noise (K, B, L) -> objectives (K,): all steps in one compiled loop."""
    graph, state = nnx.split((model, optimizer))
    state, objectives = _loop(graph, state, images, order, noise)
    nnx.update((model, optimizer), state)
    return objectives


@partial(jax_compiler.jit, static_argnums=0)
def _loop(graph: Any, state: Any, images: Tensor, order: Tensor, noise: Tensor) -> tuple[Any, Tensor]:
    """The state of model and optimizer, whose graph is `graph`, after all steps, and their objectives (K,)."""

    def step(state: Any, batch: tuple[Tensor, Tensor]) -> tuple[Any, Tensor]:
        rows, step_noise = batch
        model, optimizer = nnx.merge(graph, state)
        objective = _update(model, optimizer, images[rows], step_noise)
        return nnx.state((model, optimizer)), objective

    return jax.lax.scan(step, state, (order, noise))


def _variable(tree: Any, name: str) -> nnx.Variable[Any]:
    """The variable with a canonical name in an NNX state; Flax calls a weight kernel and stores it (in, out)."""
    half, layer, kind = name.split(".")
    variable: nnx.Variable[Any] = tree[half][layer]["kernel" if kind == "weight" else kind]
    return variable


def _canonical(tree: Any) -> dict[str, Array]:
    """An NNX state as canonical tensors."""
    arrays = {name: _array(_variable(tree, name).get_value()) for name in spec.PARAMETER_NAMES}
    return {name: array.T.copy() if name.endswith("weight") else array for name, array in arrays.items()}


def _device(device: str) -> jax.Device:
    checks.one_of("device", device, checks.DEVICES)
    if device == "auto":
        return jax.devices()[0]
    try:
        return jax.devices(device)[0]
    except RuntimeError:
        raise ValueError(f"device: got {device!r}, but JAX sees none here; expected auto or cpu") from None


def _array(tensor: Tensor) -> Array:
    return np.array(tensor)
