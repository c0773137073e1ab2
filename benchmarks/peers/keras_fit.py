"""Keras' `model.fit`, on the backend that the variable KERAS_BACKEND names: layers, a loss, compile, fit.

The KL term is added by the sampling layer (`add_loss`), as Keras' guide to custom layers does it.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from vae_rosetta.benchmarks import peers
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes


class Sampling(keras.layers.Layer):
    """mu and logvar (B, L) -> z (B, L); adds the KL term, averaged over the batch, to the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, posterior: Any) -> Any:
        """(mu, logvar) -> z."""
        mu, logvar = posterior
        self.add_loss(ops.mean(0.5 * ops.sum(ops.square(mu) + ops.exp(logvar) - 1.0 - logvar, axis=1)))
        return mu + ops.exp(logvar / 2) * keras.random.normal(ops.shape(mu), seed=self.seeds)


def network(sizes: Sizes) -> Any:
    """Images to logits, 784-400-20 with the layers' own initial weights."""
    x = keras.Input((sizes.input_dim,))
    hidden = keras.layers.Dense(sizes.hidden_dim, activation="relu")(x)
    mu, logvar = (keras.layers.Dense(sizes.latent_dim)(hidden) for _ in range(2))
    z = Sampling()((mu, logvar))
    hidden = keras.layers.Dense(sizes.hidden_dim, activation="relu")(z)
    return keras.Model(x, keras.layers.Dense(sizes.input_dim)(hidden))


def cross_entropy(x: Any, logits: Any) -> Any:
    """x and logits (B, D) -> summed over the pixels, (B,)."""
    return ops.sum(ops.binary_crossentropy(x, logits, from_logits=True), axis=-1)


class PeerModel:
    """See `benchmarks.peers.Peer`."""

    versions = peers.versions(
        "keras", {"tensorflow": "tensorflow", "torch": "torch"}.get(keras.backend.backend(), "jax")
    )
    differs = (
        "the mean over the batch is minimised, by Keras' Adam, which adds epsilon before the bias correction; initial "
        "weights by Glorot; Keras' own random numbers"
    )

    def start(self, x: Array, batch: int) -> None:
        keras.utils.set_random_seed(0)
        self._x, self._batch = np.asarray(x), batch
        self._model = network(Sizes(input_dim=x.shape[1]))
        self._model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=cross_entropy)

    def epoch(self) -> float:
        history = self._model.fit(self._x, self._x, batch_size=self._batch, epochs=1, verbose=0)
        return float(history.history["loss"][0])

    def test(self, x: Array) -> float:
        return float(self._model.evaluate(x, x, batch_size=1000, verbose=0))
