"""An oracle that carries a bug: the specification's model computed under `Rules`, of which any may be replaced.

`shared.oracle` is the truth and stays closed. A hypothesis replaces one or two rules and asks what a model with that
bug answers. With no rule replaced the answers are the oracle's (tested).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from vae_rosetta.conformance.explainer.rules import Params, Rules, gradients_kept
from vae_rosetta.shared import parameters, spec
from vae_rosetta.shared.contract import Array, Losses, Tensors
from vae_rosetta.shared.oracle import FUNCTION, Real, loss_on_probabilities, sigmoid

T = TypeVar("T")

_PIECE: Final = 16_384  # numbers that Adam works on at once: few enough to stay in the processor's cache


class RuledOutError(Exception):
    """The objective of a step is already another one than that seen: the rest of the run need not be computed."""


class Forward(NamedTuple):
    """What the backward pass needs."""

    before: Real  # (B, H), before the activation
    hidden: Real  # (B, H)
    mu: Real  # (B, L)
    logvar: Real  # (B, L)
    noise: Real  # (B, L)
    z: Real  # (B, L)
    before3: Real  # (B, H)
    hidden3: Real  # (B, H)
    logits: Real  # (B, D)


# The rules that decide the forward pass of a batch, and those that decide the gradients of the first training step.
_OF_FORWARD: Final = (
    "heads",
    "transposed",
    "unbiased",
    "pixels",
    "activation",
    "activation3",
    "noise",
    "std",
    "arithmetic",
    "in_order",
)
_OF_GRADIENTS: Final = (
    *_OF_FORWARD,
    "activation_slope",
    "activation3_slope",
    "targets",
    "std_slope",
    "through_mu",
    "through_std",
    "seen",
    "seen_slope",
    "cross_entropy_slope",
    "kl_slopes",
    "reconstruction_weight",
    "kl_weight",
    "per_image",
    "gradients",
)
Memory = dict[tuple[object, ...], Any]


class Suspect:
    """The model of the contract under `rules`.

    Args:
        params: initial parameters; they are not changed.
        dtype: of what is stored and returned.
        rules: what this model does otherwise than the specification.
        watch: is told each objective of training, in turn, and may raise `RuledOutError`.
        glance: is told the first gradient, before the rest is computed, and may raise `RuledOutError`.
        memory: shared by the models that answer one question, so that they compute common first passes once.
    """

    def __init__(
        self,
        params: Tensors,
        dtype: str,
        rules: Rules,
        *,
        watch: Callable[[int, float], None] | None = None,
        glance: Callable[[str, Real], None] | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._dtype, self._rules, self._watch, self._glance = np.dtype(dtype), rules, watch, glance
        self._memory: Memory = {} if memory is None else memory
        self._shapes = {name: params[name].shape for name in spec.PARAMETER_NAMES}
        self._flat = self._once((), lambda: np.concatenate([params[n].ravel() for n in self._shapes]).astype(dtype))
        self._m, self._v = np.zeros(self._flat.shape, dtype), np.zeros(self._flat.shape, dtype)
        self._owned = False  # the initial parameters are shared with other models
        self._held: Real = np.zeros(())  # gradients that were never set to zero
        self._step = self._reported = self._full = 0

    def params(self) -> dict[str, Array]:
        return {name: value.copy() for name, value in self._parts(self._flat).items()}

    def encode(self, x: Array) -> tuple[Array, Array]:
        _, _, mu, logvar = self._encode(self._exact(), _real(x))
        return self._out(mu), self._out(logvar)

    def reparameterize(self, mu: Array, logvar: Array, noise: Array) -> Array:
        return self._out(self._z(_real(mu), _real(logvar), self._rules.noise(_real(noise))))

    def decode(self, z: Array) -> Array:
        return self._out(self._rules.logits(self._decode(self._exact(), _real(z))[2]))

    def losses(self, x: Array, noise: Array) -> Losses:
        step = self._once(_OF_FORWARD, lambda: self._forward(self._exact(), _real(x), _real(noise)))
        reconstruction, kl = self._losses(step, _real(x))
        return Losses(self._out(reconstruction), self._out(kl))

    def loss_on_probabilities(self, recon_x: Array, x: Array, mu: Array, logvar: Array) -> Array:
        return self._out(loss_on_probabilities(*map(_real, (recon_x, x, mu, logvar))))

    def gradients(self, x: Array, noise: Array) -> dict[str, Array]:
        params = self._exact()
        step = self._once(_OF_FORWARD, lambda: self._forward(params, _real(x), _real(noise)))
        gradients = self._backward(params, step, _real(x))
        return {name: self._out(gradients[name]) for name in spec.PARAMETER_NAMES}

    def train(self, x: Array, order: npt.NDArray[np.int64], noise: Array) -> Array:
        rules, real = self._rules, _real(x)
        self._full = max(self._full, order.shape[1])
        if rules.in_order:
            order = np.arange(order.size).reshape(order.shape) % len(x)
        if rules.first_noise:
            noise = np.broadcast_to(noise[:1], noise.shape)
        if rules.short == "padded" and order.shape[1] < self._full:
            rows = np.arange(self._full) % order.shape[1]
            order, noise = order[:, rows], noise[:, rows]
        if rules.forgetful:
            self._step, self._m, self._v = 0, self._m * 0, self._v * 0
        return self._out(np.array([self._train_step(real[r], _real(n)) for r, n in zip(order, noise, strict=True)]))

    def state(self) -> dict[str, Array]:
        moments = {"m": self._parts(self._m), "v": self._parts(self._v)}
        named = {f"adam.{k}.{name}": value.copy() for k, values in moments.items() for name, value in values.items()}
        return {**self.params(), **named, "adam.step": np.array(self._step, dtype=np.int64)}

    def load_state(self, state: Tensors) -> None:
        parameters.check_state(state, parameters.sizes_of(self.params()))
        self._flat, self._m, self._v = (
            np.concatenate([state[prefix + name].ravel() for name in self._shapes]).astype(self._dtype)
            for prefix in ("", "adam.m.", "adam.v.")
        )
        self._step = int(state["adam.step"])

    def sample(self, x: Array, seed: int) -> Array:
        mu, logvar = self.encode(x)
        return self.reparameterize(mu, logvar, np.random.default_rng(seed).standard_normal(mu.shape))

    def generate(self, n: int, seed: int) -> Array:
        z = np.random.default_rng(seed).standard_normal((n, *self._shapes["encoder.fc2_mu.bias"]))
        return self._out(sigmoid(self._decode(self._exact(), z)[2]))

    def _linear(self, params: Params, layer: str, x: Real) -> Real:
        weight, ar = params[f"{layer}.weight"], self._rules.arithmetic
        product = ar.matmul(x, weight if layer in self._rules.transposed else weight.T)
        return ar.rounded(product if layer in self._rules.unbiased else product + params[f"{layer}.bias"])

    def _encode(self, params: Params, x: Real) -> tuple[Real, Real, Real, Real]:
        before = self._linear(params, "encoder.fc1", self._rules.pixels(x))
        hidden = self._rules.activation(before)
        mu, logvar = (self._linear(params, layer, hidden) for layer in self._rules.heads)
        return before, hidden, mu, logvar

    def _z(self, mu: Real, logvar: Real, noise: Real) -> Real:
        ar = self._rules.arithmetic
        std = ar.rounded(self._rules.std(logvar), roundings=FUNCTION)
        return ar.rounded(mu + ar.rounded(std * noise))

    def _decode(self, params: Params, z: Real) -> tuple[Real, Real, Real]:
        before = self._linear(params, "decoder.fc3", z)
        hidden = self._rules.activation3(before)
        return before, hidden, self._linear(params, "decoder.fc4", hidden)

    def _forward(self, params: Params, x: Real, noise: Real) -> Forward:
        before, hidden, mu, logvar = self._encode(params, x)
        noise = self._rules.noise(noise)
        z = self._z(mu, logvar, noise)
        return Forward(before, hidden, mu, logvar, noise, z, *self._decode(params, z))

    def _losses(self, step: Forward, x: Real) -> tuple[Real, Real]:
        rules, ar = self._rules, self._rules.arithmetic
        pixels = ar.rounded(rules.cross_entropy(rules.seen(step.logits), self._targets(x)), roundings=FUNCTION)
        latents = ar.rounded(rules.kl(step.mu, step.logvar), roundings=FUNCTION)
        return rules.reconstruction_weight * ar.sum(pixels, axis=1), rules.kl_weight * ar.sum(latents, axis=1)

    def _backward(self, params: Params, step: Forward, x: Real) -> dict[str, Real]:
        rules, ar = self._rules, self._rules.arithmetic
        slope = rules.cross_entropy_slope(rules.seen(step.logits), self._targets(x)) * rules.seen_slope(step.logits)
        d_logits = rules.reconstruction_weight * ar.rounded(slope, roundings=FUNCTION)
        if self._glance is not None and rules.gradients is gradients_kept and "decoder.fc4" not in rules.unbiased:
            self._glance("decoder.fc4.bias", ar.sum(d_logits, axis=0))
        kl_mu, kl_logvar = rules.kl_slopes(step.mu, step.logvar)
        d_hidden3 = self._back(params, "decoder.fc4", d_logits) * rules.activation3_slope(step.before3)
        d_z = self._back(params, "decoder.fc3", d_hidden3)
        d_mu = ar.rounded(rules.through_mu * d_z + rules.kl_weight * kl_mu)
        from_z = rules.through_std * d_z * step.noise * rules.std_slope(step.logvar)
        d_logvar = ar.rounded(from_z + rules.kl_weight * kl_logvar, roundings=FUNCTION)
        first, second = rules.heads
        d_heads = self._back(params, first, d_mu) + self._back(params, second, d_logvar)
        d_hidden = ar.rounded(d_heads) * rules.activation_slope(step.before)
        layers = {
            "encoder.fc1": (d_hidden, rules.pixels(x)),
            first: (d_mu, step.hidden),
            second: (d_logvar, step.hidden),
            "decoder.fc3": (d_hidden3, step.z),
            "decoder.fc4": (d_logits, step.hidden3),
        }
        gradients = {}
        for layer, (d_output, inputs) in layers.items():
            product = ar.matmul(d_output.T, inputs)  # (out, in)
            gradients[f"{layer}.weight"] = product.T if layer in rules.transposed else product
            gradients[f"{layer}.bias"] = np.zeros(len(product)) if layer in rules.unbiased else ar.sum(d_output, axis=0)
        return rules.gradients(gradients, params)

    def _targets(self, x: Real) -> Real:
        return self._rules.targets(self._rules.pixels(x))

    def _back(self, params: Params, layer: str, d_output: Real) -> Real:
        weight = params[f"{layer}.weight"]
        return self._rules.arithmetic.matmul(d_output, weight.T if layer in self._rules.transposed else weight)

    def _objective(self, step: Forward, x: Real) -> float:
        rules, batch = self._rules, len(x)
        total = rules.reported_factor * float(np.sum([np.sum(loss) for loss in self._losses(step, x)]))
        if rules.short == "reweighted":
            total *= self._full / batch
        return total / batch if rules.reported_per_image else total

    def _train_step(self, x: Real, noise: Real) -> float:
        rules = self._rules
        if rules.short == "dropped" and len(x) < self._full:
            return self._seen(0.0)
        params, first = self._exact(), self._reported == 0
        forward = partial(self._forward, params, x, noise)
        step = self._once(_OF_FORWARD, forward) if first else forward()
        if rules.short == "untrained" and len(x) < self._full:
            return self._seen(self._objective(step, x))
        objective = 0.0 if rules.reported_after else self._seen(self._objective(step, x))
        backward = partial(self._flat_gradient, params, step, x)
        gradient = self._once(_OF_GRADIENTS, backward) if first else backward()
        if rules.accumulated:
            self._held = gradient = gradient + self._held
        self._step += 1
        self._update(gradient)
        if rules.reported_after:
            return self._seen(self._objective(self._forward(self._exact(), x, noise), x))
        return objective

    def _update(self, gradient: Real) -> None:
        """Adam, in pieces that stay in the processor's cache: several times as fast on a large model."""
        if not self._owned:
            self._flat, self._owned = self._flat.copy(), True
        arrays = (self._flat, self._m, self._v)
        for start in range(0, len(gradient), _PIECE):
            piece = slice(start, start + _PIECE)
            param, m, v = (_real(array[piece]) for array in arrays)
            new = self._rules.adam.step(param, m, v, gradient[piece], self._step)
            ar = self._rules.arithmetic
            for array, value in zip(arrays, (ar.stored(new[0]), *map(ar.rounded, new[1:])), strict=True):
                array[piece] = value

    def _seen(self, objective: float) -> float:
        if self._watch is not None:
            self._watch(self._reported, objective)
        self._reported += 1
        return objective

    def _flat_gradient(self, params: Params, step: Forward, x: Real) -> Real:
        gradients = self._backward(params, step, x)
        flat = np.concatenate([gradients[name].ravel() for name in self._shapes])
        return flat / len(x) if self._rules.per_image else flat

    def _once(self, fields: tuple[str, ...], compute: Callable[[], T]) -> T:
        key = (fields, *(getattr(self._rules, name) for name in fields))
        if key not in self._memory:
            self._memory[key] = compute()
        found: T = self._memory[key]
        return found

    def _exact(self) -> Params:
        return self._parts(_real(self._flat))

    def _parts(self, flat: Array) -> dict[str, Array]:
        parts, start = {}, 0
        for name, shape in self._shapes.items():
            stop = start + math.prod(shape)
            parts[name] = flat[start:stop].reshape(shape)
            start = stop
        return parts

    def _out(self, value: Real) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(value).astype(self._dtype, copy=False)


def _real(value: Array) -> Real:
    return value.astype(np.float64, copy=False)
