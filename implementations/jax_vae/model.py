"""The classic VAE in JAX: Flax NNX modules, Optax' Adam.

This file stands alone: copy it, and it works beside nothing but JAX, Flax and Optax. Symbols: B images, D pixels,
H hidden units, L latents. Flax' own initial weights are not the specification's (a truncated normal, 1.7 times as wide,
and zero biases); Optax' Adam is, up to digits that float32 loses: both are set here.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import jax
import jax.numpy as jnp
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

    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int, dtype: str, rngs: nnx.Rngs) -> None:
        self.fc1 = _linear(input_dim, hidden_dim, dtype, rngs)
        self.fc2_mu = _linear(hidden_dim, latent_dim, dtype, rngs)
        self.fc2_logvar = _linear(hidden_dim, latent_dim, dtype, rngs)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, D) -> mu (B, L), logvar (B, L)."""
        hidden = nnx.relu(self.fc1(x))  # (B, H)
        return self.fc2_mu(hidden).astype(x.dtype), self.fc2_logvar(hidden).astype(x.dtype)


class Decoder(nnx.Module):
    """p(x|z): latents to the logits of a Bernoulli distribution for each pixel."""

    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int, dtype: str, rngs: nnx.Rngs) -> None:
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
        self.encoder = Encoder(input_dim, hidden_dim, latent_dim, dtype, rngs)
        self.decoder = Decoder(input_dim, hidden_dim, latent_dim, dtype, rngs)

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
        c1, c2 = (-jnp.expm1(count * math.log(beta)) for beta in (b1, b2))  # 1 - beta^t
        steps = jax.tree.map(lambda m, v: -learning_rate * (m / c1) / (jnp.sqrt(v / c2) + eps), m, v)
        return steps, optax.ScaleByAdamState(count=count, mu=m, nu=v)

    return optax.GradientTransformation(optax.scale_by_adam().init, update)


def train(
    model: VAE, data_loader: Iterable[Any], optimizer: nnx.Optimizer[VAE], noise: Iterable[Tensor] | None = None
) -> float:
    """One epoch over a loader of images (B, D), alone or before their labels. Returns the average loss per image.

    noise: (B, L) for each batch, where two runs are to be the same; else the model's own generator draws it.
    """
    total, images = 0.0, 0
    for batch, batch_noise in zip(data_loader, repeat(None) if noise is None else noise, strict=noise is not None):
        x = jnp.asarray(batch[0] if isinstance(batch, Sequence) else batch)
        x = x.reshape(len(x), -1)  # (B, D)
        total += float(update(model, optimizer, x, batch_noise))
        images += len(x)
    return total / images


@nnx.jit
def update(model: VAE, optimizer: nnx.Optimizer[VAE], x: Tensor, noise: Tensor | None = None) -> Tensor:
    """One step of the optimizer. Returns the objective, summed over the batch, as it was before."""

    def objective_of(model: VAE) -> Tensor:
        reconstruction, kl = model.negative_elbo(x, noise)
        return (reconstruction + kl).sum()

    objective: Tensor
    objective, gradients = nnx.value_and_grad(objective_of)(model)
    optimizer.update(model, gradients)
    return objective
