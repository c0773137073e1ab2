"""The contract (`shared/contract.py`) around the JAX model: NumPy in, NumPy out.

`train` takes the steps of `model.py` in one compiled loop; `compiler.py` has its options.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from flax import nnx
from jax import Array as Tensor

from vae_rosetta.implementations.jax_vae import compiler
from vae_rosetta.implementations.jax_vae.model import VAE, adam, loss_function, update
from vae_rosetta.shared import checks, parameters, spec, stream
from vae_rosetta.shared.contract import Array, Held, Losses, Tensors


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
        self._place = f"{self._dtype} by JAX on {device}"
        with self._placed():
            # Shapes alone: initial weights that are to be replaced need not be drawn.
            self._vae = nnx.eval_shape(partial(VAE, sizes.input_dim, sizes.latent_dim, sizes.hidden_dim, dtype=dtype))
            self._vae.rngs = nnx.Rngs(0)
            self._set_params(params)
            self._optimizer = nnx.Optimizer(self._vae, _ADAM, wrt=nnx.Param)

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

    def hold(self, x: Array) -> Held[Tensor]:
        images = checks.images(x, self.sizes.input_dim, rows="N")
        return Held(self._put(images), images.shape, self._place)

    def train(self, x: Array | Held[Tensor], order: npt.NDArray[np.int64], noise: Array) -> Array:
        data = x if isinstance(x, Held) else self.hold(x)
        images = checks.held(data, self.sizes.input_dim, self._place)  # (N, D)
        order, noise = checks.schedule(order, noise, len(data), self.sizes.latent_dim)
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
    def objective(model: VAE) -> Tensor:
        reconstruction, kl = model.negative_elbo(x, noise)
        return (reconstruction + kl).sum()

    gradients: nnx.State[Any, Any] = nnx.grad(objective)(model)
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


@partial(compiler.jit, static_argnums=0)
def _loop(graph: Any, state: Any, images: Tensor, order: Tensor, noise: Tensor) -> tuple[Any, Tensor]:
    """The state of model and optimizer, whose graph is `graph`, after all steps, and their objectives (K,)."""

    def step(state: Any, batch: tuple[Tensor, Tensor]) -> tuple[Any, Tensor]:
        rows, step_noise = batch
        model, optimizer = nnx.merge(graph, state)
        objective = update(model, optimizer, images[rows], step_noise)
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
