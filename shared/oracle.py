"""The oracle: the specification as NumPy float64, with a backward pass and an Adam written out by hand.

Every backend is compared with this file and never with another backend. It meets the whole contract, so that the suite,
the command line and the applications run with no framework at all.

Each function takes an `Arithmetic`. The exact one does nothing; `shared.rounding` passes one that disturbs every
operation the way a coarser precision would, which is how the golden vectors' tolerances are derived.

Reading order: arithmetic, forward pass, losses, backward pass, Adam, the contract.
"""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vae_rosetta.shared import checks, parameters, spec, stream
from vae_rosetta.shared.contract import Array, Held, Losses, Tensors

Real = npt.NDArray[np.float64]
Params = Mapping[str, Real]


class Arithmetic:
    """Exact arithmetic, or as exact as float64 is. Subclasses model the rounding of another precision."""

    def constant(self, value: float) -> float:
        """A constant of the specification, as the working precision holds it."""
        return value

    def rounded(self, value: Real, magnitude: Real | None = None, *, roundings: float = 1.0) -> Real:
        """`value`, an operation's result; `magnitude` is that of its terms where they may cancel."""
        return value

    def stored(self, value: Real) -> Real:
        """A sum of many like terms, as it is kept until the next one is added."""
        return value

    def matmul(self, a: Real, b: Real) -> Real:
        """(m, n), (n, k) -> (m, k)."""
        return a @ b

    def sum(self, terms: Real, axis: int) -> Real:
        """The sum along one axis."""
        total: Real = np.sum(terms, axis=axis)
        return total

    def linear(self, x: Real, weight: Real, bias: Real) -> Real:
        """A layer: x (B, in) -> (B, out)."""
        return self.rounded(self.matmul(x, weight.T) + bias)

    def d_linear(self, d_output: Real, x: Real) -> tuple[Real, Real]:
        """Gradients of a layer's weight (out, in) and bias (out,), from that of its output (B, out)."""
        return self.matmul(d_output.T, x), self.sum(d_output, axis=0)


EXACT = Arithmetic()
# Roundings that an exp, log or sigmoid is worth: vectorised ones err by up to four units in the last place.
FUNCTION = 8.0


class Forward(NamedTuple):
    """Every tensor of a forward pass that the backward pass needs."""

    hidden: Real  # (B, H), after relu
    mu: Real  # (B, L)
    logvar: Real  # (B, L)
    std: Real  # (B, L)
    z: Real  # (B, L)
    hidden3: Real  # (B, H), after relu
    logits: Real  # (B, D)


def linear(params: Params, layer: str, x: Real, ar: Arithmetic = EXACT) -> Real:
    """x W^T + b: (B, in) -> (B, out)."""
    return ar.linear(x, params[f"{layer}.weight"], params[f"{layer}.bias"])


def encode(params: Params, x: Real, ar: Arithmetic = EXACT) -> tuple[Real, Real, Real]:
    """x (B, D) -> hidden (B, H), mu (B, L), logvar (B, L)."""
    hidden = np.maximum(linear(params, "encoder.fc1", x, ar), 0.0)
    return hidden, linear(params, "encoder.fc2_mu", hidden, ar), linear(params, "encoder.fc2_logvar", hidden, ar)


def reparameterize(mu: Real, logvar: Real, noise: Real, ar: Arithmetic = EXACT) -> tuple[Real, Real]:
    """(B, L) each -> std (B, L), z (B, L) = mu + exp(logvar / 2) noise."""
    std = ar.rounded(np.exp(logvar / 2), roundings=FUNCTION)
    scaled = ar.rounded(std * noise)
    return std, ar.rounded(mu + scaled)


def decode(params: Params, z: Real, ar: Arithmetic = EXACT) -> tuple[Real, Real]:
    """z (B, L) -> hidden3 (B, H), logits (B, D)."""
    hidden3 = np.maximum(linear(params, "decoder.fc3", z, ar), 0.0)
    return hidden3, linear(params, "decoder.fc4", hidden3, ar)


def forward(params: Params, x: Real, noise: Real, ar: Arithmetic = EXACT) -> Forward:
    """x (B, D), noise (B, L) -> every intermediate tensor."""
    hidden, mu, logvar = encode(params, x, ar)
    std, z = reparameterize(mu, logvar, noise, ar)
    return Forward(hidden, mu, logvar, std, z, *decode(params, z, ar))


def sigmoid(logits: Real) -> Real:
    """1 / (1 + exp(-logits)), without overflow on either side."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, small) / (1.0 + small)


def relu_slope(hidden: Real) -> npt.NDArray[np.bool_]:
    """The derivative of relu, from its result: 1 above 0, and 0 at 0."""
    return hidden > 0.0


def cross_entropy(logits: Real, x: Real, ar: Arithmetic = EXACT) -> Real:
    """softplus(l) - x l per pixel, (B, D), in a form without cancellation: x softplus(-l) + (1 - x) softplus(l)."""
    tail = np.log1p(np.exp(-np.abs(logits)))
    exact = x * np.maximum(-logits, 0.0) + (1.0 - x) * np.maximum(logits, 0.0) + tail
    # A port may compute softplus(l) - x l as it stands, or (1 - x) l - log(sigmoid(l)): it rounds terms as large as l.
    return ar.rounded(exact, np.abs(logits) + tail, roundings=FUNCTION)


def cross_entropy_slope(logits: Real, x: Real, ar: Arithmetic = EXACT) -> Real:
    """sigmoid(l) - x per pixel, (B, D), in a form without cancellation: (1 - x) sigmoid(l) - x sigmoid(-l)."""
    # A port may take sigmoid(l) as exp(l - softplus(l)), the derivative of a log-sum-exp (jax 0.10.2 does): it rounds a
    # number as large as l, and loses no more than the tail.
    tail = np.log1p(np.exp(-np.abs(logits)))
    lost1, lost2 = (np.clip(ar.rounded(np.zeros_like(logits), np.abs(logits)), -tail, tail) for _ in range(2))
    slope = (1.0 - x) * sigmoid(logits) * (1.0 + lost1) - x * sigmoid(-logits) * (1.0 + lost2)
    return ar.rounded(slope, sigmoid(logits) + x, roundings=FUNCTION)


def kl_terms(mu: Real, logvar: Real, ar: Arithmetic = EXACT) -> Real:
    """1/2 (mu^2 + exp(logvar) - 1 - logvar) per latent, (B, L)."""
    variance = np.exp(logvar)
    magnitude = 0.5 * (mu * mu + variance + 1.0 + np.abs(logvar))
    at_prior = (mu == 0.0) & (logvar == 0.0)  # exp(0) - 1 is 0 in any precision: nothing is rounded there
    return ar.rounded(
        0.5 * (mu * mu + (np.expm1(logvar) - logvar)), np.where(at_prior, 0.0, magnitude), roundings=FUNCTION
    )


def losses(step: Forward, x: Real, ar: Arithmetic = EXACT) -> tuple[Real, Real]:
    """reconstruction (B,) and kl (B,), in nats."""
    reconstruction = ar.sum(cross_entropy(step.logits, x, ar), axis=1)
    return reconstruction, ar.sum(kl_terms(step.mu, step.logvar, ar), axis=1)


def loss_on_probabilities(recon_x: Real, x: Real, mu: Real, logvar: Real, *, ar: Arithmetic = EXACT) -> Real:
    """The clause `loss.probabilities`: cross-entropy with each log clamped at -100, plus kl, over the batch: ()."""
    with np.errstate(divide="ignore"):
        log_p, log_q = clamped(np.log(recon_x), ar), clamped(np.log1p(-recon_x), ar)
    # A port may take log(1 - p), and rounds 1 - p.
    log_q = ar.rounded(log_q, np.where((recon_x > 0.0) & (log_q > spec.PROBABILITY_LOG_CLAMP), 1.0, 0.0))
    reconstruction = ar.sum(ar.rounded(-(x * log_p + (1.0 - x) * log_q), roundings=2), axis=1)  # (B,)
    return ar.sum(reconstruction + ar.sum(kl_terms(mu, logvar, ar), axis=1), axis=0)


def clamped(log: Real, ar: Arithmetic = EXACT) -> Real:
    """A log, no lower than -100: where it is clamped, nothing is rounded."""
    clamp = spec.PROBABILITY_LOG_CLAMP
    return ar.rounded(np.maximum(log, clamp), np.where(log > clamp, np.abs(log), 0.0), roundings=FUNCTION)


def backward(params: Params, step: Forward, x: Real, noise: Real, ar: Arithmetic = EXACT) -> dict[str, Real]:
    """Gradients of the summed objective, by the chain rule from the logits back to the first layer."""
    d_logits = cross_entropy_slope(step.logits, x, ar)  # (B, D)
    d_hidden3 = ar.matmul(d_logits, params["decoder.fc4.weight"]) * relu_slope(step.hidden3)  # (B, H)
    d_z = ar.matmul(d_hidden3, params["decoder.fc3.weight"])  # (B, L)
    d_mu = ar.rounded(d_z + step.mu)  # (B, L)
    variance = np.exp(step.logvar)
    from_z = ar.rounded(d_z * noise * step.std / 2.0, roundings=2)
    magnitude = np.where(step.logvar == 0.0, 0.0, (variance + 1.0) / 2.0)
    from_kl = ar.rounded(np.expm1(step.logvar) / 2.0, magnitude, roundings=FUNCTION)
    d_logvar = ar.rounded(from_z + from_kl)  # (B, L)
    d_hidden = ar.rounded(
        ar.matmul(d_mu, params["encoder.fc2_mu.weight"]) + ar.matmul(d_logvar, params["encoder.fc2_logvar.weight"])
    ) * relu_slope(step.hidden)  # (B, H)
    layers = {
        "encoder.fc1": (d_hidden, x),
        "encoder.fc2_mu": (d_mu, step.hidden),
        "encoder.fc2_logvar": (d_logvar, step.hidden),
        "decoder.fc3": (d_hidden3, step.z),
        "decoder.fc4": (d_logits, step.hidden3),
    }
    gradients = {}
    for layer, (d_output, inputs) in layers.items():
        gradients[f"{layer}.weight"], gradients[f"{layer}.bias"] = ar.d_linear(d_output, inputs)
    return gradients


def adam_step(
    param: Real, m: Real, v: Real, gradient: Real, step: int, ar: Arithmetic = EXACT
) -> tuple[Real, Real, Real]:
    """One step of Algorithm 1 of Kingma & Ba for one tensor; `step` counts from 1. Returns the new param, m and v."""
    beta1, beta2 = ar.constant(spec.BETA1), ar.constant(spec.BETA2)
    # 1 - beta is a constant of its own: the difference of 1 and a float32 0.999 would be off by 1.3e-5.
    rest1, rest2 = ar.constant(1.0 - spec.BETA1), ar.constant(1.0 - spec.BETA2)
    m = ar.rounded(beta1 * m + rest1 * gradient, beta1 * np.abs(m) + rest1 * np.abs(gradient))
    v = ar.rounded(beta2 * v + rest2 * gradient * gradient, roundings=2)
    correction1, correction2 = (bias_correction(beta, step, ar) for beta in (beta1, beta2))
    denominator = ar.rounded(np.sqrt(v / correction2) + ar.constant(spec.EPSILON), roundings=2)
    update = ar.rounded(ar.constant(spec.LEARNING_RATE) * (m / correction1) / denominator, roundings=3)
    return ar.stored(param - update), m, v


def bias_correction(beta: float, step: int, ar: Arithmetic = EXACT) -> Real:
    """1 - beta^t, which cancels at small t: a port may compute it as it stands, in float32 too (optax 0.2.8 does), and
    is then off by 1e-5. At t = 1 the power is beta itself, and rounded no further."""
    power = np.asarray(beta**step)
    return 1.0 - (power if step == 1 else ar.rounded(power))


class Oracle:
    """The contract. float32 means float32 in, out and in what is stored; the arithmetic is float64."""

    def __init__(self, params: Tensors, dtype: str, arithmetic: Arithmetic = EXACT) -> None:
        self.sizes = parameters.sizes_of(params)
        self._dtype = np.dtype(dtype)
        self._place = f"{dtype} by NumPy"
        self._arithmetic = arithmetic
        self._params = {name: params[name].astype(self._dtype) for name in spec.PARAMETER_NAMES}
        self._moments = {
            moment: {name: np.zeros_like(value) for name, value in self._params.items()} for moment in "mv"
        }
        self._step = 0

    def params(self) -> dict[str, Array]:
        return {name: value.copy() for name, value in self._params.items()}

    def encode(self, x: Array) -> tuple[Array, Array]:
        _, mu, logvar = encode(self._exact(), _real(checks.images(x, self.sizes.input_dim)), self._arithmetic)
        return self._out(mu), self._out(logvar)

    def reparameterize(self, mu: Array, logvar: Array, noise: Array) -> Array:
        checks.posterior(mu, logvar, noise, self.sizes.latent_dim)
        return self._out(reparameterize(_real(mu), _real(logvar), _real(noise), self._arithmetic)[1])

    def decode(self, z: Array) -> Array:
        checks.latents("z", z, self.sizes.latent_dim)
        return self._out(decode(self._exact(), _real(z), self._arithmetic)[1])

    def losses(self, x: Array, noise: Array) -> Losses:
        checks.batch(x, noise, self.sizes.input_dim, self.sizes.latent_dim)
        step = forward(self._exact(), _real(x), _real(noise), self._arithmetic)
        reconstruction, kl = losses(step, _real(x), self._arithmetic)
        return Losses(self._out(reconstruction), self._out(kl))

    def loss_on_probabilities(self, recon_x: Array, x: Array, mu: Array, logvar: Array) -> Array:
        sizes = self.sizes
        checked = checks.reconstructions(recon_x, x, mu, logvar, sizes.input_dim, sizes.latent_dim)
        return self._out(loss_on_probabilities(*map(_real, checked), ar=self._arithmetic))

    def gradients(self, x: Array, noise: Array) -> dict[str, Array]:
        checks.batch(x, noise, self.sizes.input_dim, self.sizes.latent_dim)
        params = self._exact()
        step = forward(params, _real(x), _real(noise), self._arithmetic)
        gradients = backward(params, step, _real(x), _real(noise), self._arithmetic)
        return {name: self._out(gradients[name]) for name in spec.PARAMETER_NAMES}

    def hold(self, x: Array) -> Held[Array]:
        return Held(checks.images(x, self.sizes.input_dim, rows="N").copy(), x.shape, self._place)

    def train(self, x: Array | Held[Array], order: npt.NDArray[np.int64], noise: Array) -> Array:
        sizes = self.sizes
        if isinstance(x, Held):
            images = checks.held(x, sizes.input_dim, self._place)
        else:
            images = checks.images(x, sizes.input_dim, rows="N")
        order, noise = checks.schedule(order, noise, len(images), sizes.latent_dim)
        batches = zip(order, noise, strict=True)
        return self._out(np.array([self._train_step(_real(images[rows]), _real(n)) for rows, n in batches]))

    def state(self) -> dict[str, Array]:
        moments = {f"adam.{k}.{name}": value.copy() for k, m in self._moments.items() for name, value in m.items()}
        return {**self.params(), **moments, "adam.step": np.array(self._step, dtype=np.int64)}

    def load_state(self, state: Tensors) -> None:
        parameters.check_state(state, self.sizes)
        self._params = {name: state[name].astype(self._dtype) for name in spec.PARAMETER_NAMES}
        for moment, values in self._moments.items():
            values.update({name: state[f"adam.{moment}.{name}"].astype(self._dtype) for name in values})
        self._step = int(state["adam.step"])

    def sample(self, x: Array, seed: int) -> Array:
        mu, logvar = self.encode(x)
        noise = np.random.default_rng(stream.check_seed(seed)).standard_normal(mu.shape)
        return self.reparameterize(mu, logvar, noise)

    def generate(self, n: int, seed: int) -> Array:
        shape = (checks.count("n", n), self.sizes.latent_dim)
        z = np.random.default_rng(stream.check_seed(seed)).standard_normal(shape)
        return self._out(sigmoid(decode(self._exact(), z, self._arithmetic)[1]))

    def _train_step(self, x: Real, noise: Real) -> float:
        params = self._exact()
        step = forward(params, x, noise, self._arithmetic)
        reconstruction, kl = losses(step, x, self._arithmetic)
        gradients = backward(params, step, x, noise, self._arithmetic)
        self._step += 1
        m, v = self._moments["m"], self._moments["v"]
        for name, gradient in gradients.items():
            updated = adam_step(params[name], _real(m[name]), _real(v[name]), gradient, self._step, self._arithmetic)
            self._params[name], m[name], v[name] = (self._out(value) for value in updated)
        return float(self._arithmetic.sum(reconstruction + kl, axis=0))

    def _exact(self) -> Params:
        return {name: _real(value) for name, value in self._params.items()}

    def _out(self, value: Any) -> Array:
        with np.errstate(over="ignore"):  # what overflows float32 is its infinity there
            return np.asarray(value).astype(self._dtype)


def describe() -> dict[str, str]:
    """The identity that reports print."""
    return {
        "framework": "numpy",
        "version": np.__version__,
        "device": "cpu",
        "precision": "float64 arithmetic",
        "threads": os.environ.get("OMP_NUM_THREADS", str(os.cpu_count())),
    }


def load(params: Tensors, *, dtype: str = "float32", device: str = "auto") -> Oracle:
    """An oracle holding copies of `params`.

    Raises:
        TypeError, ValueError: see `parameters.sizes_of`; also for an unknown dtype or device, and for "cuda".
    """
    checks.one_of("dtype", dtype, checks.DTYPES)
    checks.one_of("device", device, ("auto", "cpu"))
    return Oracle(params, dtype)


def _real(value: Array) -> Real:
    return value.astype(np.float64, copy=False)
