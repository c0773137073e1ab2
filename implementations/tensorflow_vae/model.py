"""The classic VAE in TensorFlow: Keras models, `tf.function`.

This file stands alone: copy it, and it works beside nothing but TensorFlow. Symbols: B images, D pixels, H hidden
units, L latents. Neither Keras' initial weights (Glorot's, and zero biases) nor its Adam (epsilon before the bias
correction) are the specification's: both are set here.
"""

import math
import os
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, TypeAlias

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
        return tf.cast(self.fc2_mu(hidden), x.dtype), tf.cast(self.fc2_logvar(hidden), x.dtype)  # bfloat16 if mixed


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
        # 1 - beta^t without cancellation: in float32 it would be off by 1e-5 at first, by 3e-6 after 3,000 steps.
        step = tf.cast(self.iterations + 1, variable.dtype)
        c1, c2 = (-tf.math.expm1(step * math.log(beta)) for beta in (self.beta_1, self.beta_2))
        m, v = (moments[self._get_variable_index(variable)] for moments in (self._momentums, self._velocities))
        m.assign(self.beta_1 * m + (1 - self.beta_1) * gradient)
        v.assign(self.beta_2 * v + (1 - self.beta_2) * tf.square(gradient))
        variable.assign_sub(tf.cast(learning_rate, variable.dtype) * (m / c1) / (tf.sqrt(v / c2) + self.epsilon))


def train(
    model: VAE, data_loader: Iterable[Any], optimizer: keras.Optimizer, noise: Iterable[Tensor] | None = None
) -> float:
    """One epoch over a loader of images (B, D), alone or before their labels. Returns the average loss per image.

    noise: (B, L) for each batch, where two runs are to be the same; else TensorFlow's generator draws it.
    """
    optimizer.build(model.trainable_variables)
    total, images = 0.0, 0
    for batch, batch_noise in zip(data_loader, repeat(None) if noise is None else noise, strict=noise is not None):
        x = tf.convert_to_tensor(batch[0] if isinstance(batch, Sequence) else batch)
        x = tf.reshape(x, (len(x), -1))  # (B, D)
        if batch_noise is None:  # drawn here, because compiled code does not heed tf.random.set_seed
            batch_noise = tf.random.normal((len(x), model.latent_dim), dtype=model.dtype)  # (B, L)
        total += float(update(model, optimizer, x, batch_noise))
        images += len(x)
    return total / images


@tf.function(jit_compile=True)
def update(model: VAE, optimizer: keras.Optimizer, x: Tensor, noise: Tensor) -> Tensor:
    """One step of the optimizer. Returns the objective, summed over the batch, as it was before."""
    with tf.GradientTape() as tape:
        reconstruction, kl = model.negative_elbo(x, noise)
        objective = tf.reduce_sum(reconstruction + kl)
    gradients = tape.gradient(objective, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    return objective
