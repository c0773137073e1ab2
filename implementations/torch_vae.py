"""The classic VAE in PyTorch.

The first part stands alone: the model, its losses and a training epoch as a PyTorch user writes them. The second part
is the contract (`shared/contract.py`): NumPy in, NumPy out, seeds and parameters that mean the same in every framework.

Symbols: B images, D pixels, H hidden units, L latents. PyTorch's own initial weights are the specification's (uniform
in +-1/sqrt(fan_in)), and so is its Adam. The contract's `train` does by hand what the first part leaves to autograd,
which costs a quarter of a step at batch 128.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Encoder(nn.Module):
    """q(z|x): images to the mean and log-variance of a normal distribution."""

    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(input_dim, hidden_dim)
        self.fc2_mu = nn.Linear(hidden_dim, latent_dim)
        self.fc2_logvar = nn.Linear(hidden_dim, latent_dim)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, D) -> mu (B, L), logvar (B, L)."""
        hidden = F.relu(self.fc1(x))  # (B, H)
        return self.fc2_mu(hidden), self.fc2_logvar(hidden)


class Decoder(nn.Module):
    """p(x|z): latents to the logits of a Bernoulli distribution for each pixel."""

    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.fc3 = nn.Linear(latent_dim, hidden_dim)
        self.fc4 = nn.Linear(hidden_dim, input_dim)

    def decode(self, z: Tensor) -> Tensor:
        """z (B, L) -> logits (B, D)."""
        hidden = F.relu(self.fc3(z))  # (B, H)
        logits: Tensor = self.fc4(hidden)  # (B, D)
        return logits


class VAE(nn.Module):
    """Encoder and decoder, joined by the reparameterisation z = mu + exp(logvar / 2) noise."""

    def __init__(self, input_dim: int = 784, latent_dim: int = 20, hidden_dim: int = 400) -> None:
        super().__init__()
        self.encoder = Encoder(input_dim, hidden_dim, latent_dim)
        self.decoder = Decoder(input_dim, hidden_dim, latent_dim)

    def reparameterize(self, mu: Tensor, logvar: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B, L) each -> z (B, L); noise from PyTorch's generator where none is given."""
        noise = torch.randn_like(mu) if noise is None else noise
        return mu + torch.exp(logvar / 2) * noise

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, D) -> recon_x (B, D) probabilities, mu (B, L), logvar (B, L)."""
        mu, logvar = self.encoder.encode(x)
        logits = self.decoder.decode(self.reparameterize(mu, logvar, noise))
        return torch.sigmoid(logits), mu, logvar

    def negative_elbo(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, D) -> its two terms, reconstruction (B,) and kl (B,), on logits: what training minimises."""
        mu, logvar = self.encoder.encode(x)
        logits = self.decoder.decode(self.reparameterize(mu, logvar, noise))
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=1)  # (B,)
        return reconstruction, kl_divergence(mu, logvar)

    def generate(self, z: Tensor) -> Tensor:
        """z (B, L) -> probabilities (B, D)."""
        return torch.sigmoid(self.decoder.decode(z))


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(q(z|x) || N(0, I)) per image: (B, L) -> (B,). Kingma & Welling 2014, appendix B."""
    return 0.5 * (mu.square() + logvar.exp() - 1.0 - logvar).sum(dim=1)


def loss_function(recon_x: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """The common published loss on probabilities, summed over the batch: PyTorch clamps each log at -100.

    Where a pixel saturates, that clamp loses the gradient: `VAE.negative_elbo` works on logits, and training uses it.
    """
    return F.binary_cross_entropy(recon_x, x, reduction="sum") + kl_divergence(mu, logvar).sum()


def train(model: VAE, data_loader: Iterable[Tensor | Sequence[Tensor]], optimizer: torch.optim.Optimizer) -> float:
    """One epoch over a loader of images (B, D), alone or before their labels. Returns the average loss per image."""
    model.train()
    total, images = 0.0, 0
    for batch in data_loader:
        x = (batch if isinstance(batch, Tensor) else batch[0]).flatten(start_dim=1)  # (B, D)
        optimizer.zero_grad()
        reconstruction, kl = model.negative_elbo(x)
        objective = (reconstruction + kl).sum()
        objective.backward()  # type: ignore[no-untyped-call]  # torch 2.13 leaves Tensor.backward untyped
        optimizer.step()
        total += objective.item()
        images += len(x)
    return total / images


# The contract
# -----------------------------------------------------------------------------------------------------------

from shared import checks, parameters, spec, stream  # noqa: E402 -- nothing above needs this project
from shared.contract import Array, Losses, Tensors  # noqa: E402
from shared.resident import ResidentImages  # noqa: E402


def describe() -> dict[str, str]:
    """The identity that reports print."""
    return {
        "framework": "torch",
        "version": torch.__version__,
        "device": _device("auto").type,
        "precision": "float32 matrix products: highest",
        "threads": str(torch.get_num_threads()),
    }


def load(params: Tensors, *, dtype: str = "float32", device: str = "auto") -> "Model":
    """A model holding copies of `params`. Turns TF32 products off for the whole process: the specification wants
    float32.

    Raises:
        TypeError, ValueError: see `parameters.sizes_of`; also for an unknown dtype or a device that is not there.
    """
    sizes = parameters.sizes_of(params)
    checks.one_of("dtype", dtype, checks.DTYPES)
    torch.set_float32_matmul_precision("highest")
    return Model(params, sizes, dtype, _device(device))


class Model:
    """The contract around a `VAE`: all of `FullModel` in `shared/contract.py`."""

    def __init__(self, params: Tensors, sizes: spec.Sizes, dtype: str, device: torch.device) -> None:
        self.sizes = sizes
        self._dtype, self._numpy_dtype, self._device = getattr(torch, dtype), np.dtype(dtype), device
        self._vae = VAE(sizes.input_dim, sizes.latent_dim, sizes.hidden_dim).to(device, self._dtype)
        self._parameters = dict(self._vae.named_parameters())  # PyTorch's names are the canonical ones
        # All parameters lie in one vector, so that a step of Adam is one kernel; gradient and moments lie beside it.
        count = sum(parameter.numel() for parameter in self._parameters.values())
        vector, gradient, m, v = self._put(np.zeros((4, count)))  # like images, in large pages: see `_put`
        for name, view in _by_name(vector, sizes).items():
            self._parameters[name].data = view  # from here on the module's parameters look into the vector
        self._set_params(params)
        self._vector = nn.Parameter(vector)
        self._vector.grad = gradient
        self._optimizer = torch.optim.Adam(
            [self._vector], lr=spec.LEARNING_RATE, betas=(spec.BETA1, spec.BETA2), eps=spec.EPSILON, fused=True
        )
        # As PyTorch would at the first step. It counts in float32, exact up to 2^24.
        self._adam = {"step": torch.zeros((), dtype=torch.float32, device=device), "exp_avg": m, "exp_avg_sq": v}
        self._optimizer.state[self._vector] = self._adam
        self._steps = 0
        self._resident = ResidentImages(sizes.input_dim, self._put)

    def params(self) -> dict[str, Array]:
        return {name: _array(parameter) for name, parameter in self._parameters.items()}

    @torch.no_grad()
    def encode(self, x: Array) -> tuple[Array, Array]:
        mu, logvar = self._vae.encoder.encode(self._put(checks.images(x, self.sizes.input_dim)))
        return _array(mu), _array(logvar)

    @torch.no_grad()
    def reparameterize(self, mu: Array, logvar: Array, noise: Array) -> Array:
        posterior = checks.posterior(mu, logvar, noise, self.sizes.latent_dim)
        return _array(self._vae.reparameterize(*map(self._put, posterior)))

    @torch.no_grad()
    def decode(self, z: Array) -> Array:
        return _array(self._vae.decoder.decode(self._put(checks.latents("z", z, self.sizes.latent_dim))))

    @torch.no_grad()
    def losses(self, x: Array, noise: Array) -> Losses:
        batch = checks.batch(x, noise, self.sizes.input_dim, self.sizes.latent_dim)
        reconstruction, kl = self._vae.negative_elbo(*map(self._put, batch))
        return Losses(_array(reconstruction), _array(kl))

    @torch.no_grad()
    def loss_on_probabilities(self, recon_x: Array, x: Array, mu: Array, logvar: Array) -> Array:
        sizes = self.sizes
        checked = checks.reconstructions(recon_x, x, mu, logvar, sizes.input_dim, sizes.latent_dim)
        return _array(loss_function(*map(self._put, checked)))

    def gradients(self, x: Array, noise: Array) -> dict[str, Array]:
        batch = checks.batch(x, noise, self.sizes.input_dim, self.sizes.latent_dim)
        reconstruction, kl = self._vae.negative_elbo(*map(self._put, batch))
        gradients = torch.autograd.grad((reconstruction + kl).sum(), list(self._parameters.values()))
        return {name: _array(gradient) for name, gradient in zip(self._parameters, gradients, strict=True)}

    @torch.no_grad()
    def train(self, x: Array, order: npt.NDArray[np.int64], noise: Array) -> Array:
        images = self._resident(x)  # (N, D)
        order, noise = checks.schedule(order, noise, len(x), self.sizes.latent_dim)
        rows = torch.tensor(np.ascontiguousarray(order), device=self._device)  # (K, B)
        noises = self._put(noise)  # (K, B, L)
        objectives = torch.empty(len(order), dtype=self._dtype, device=self._device)  # (K,)
        step = _Step(self._vector, self.sizes, order.shape[1])
        for k, (step_rows, step_noise) in enumerate(zip(rows, noises, strict=True)):
            torch.index_select(images, 0, step_rows, out=step.x)
            objectives[k] = step.forward(step_noise)
            step.backward(step_noise)
            self._optimizer.step()
        self._steps += len(order)
        return _array(objectives)

    def state(self) -> dict[str, Array]:
        moments = {f"adam.{k}.{name}": _array(moment) for k, name, moment in self._moments()}
        return {**self.params(), **moments, "adam.step": np.array(self._steps, dtype=np.int64)}

    def load_state(self, state: Tensors) -> None:
        parameters.check_state(state, self.sizes)
        self._set_params(state)
        self._steps = int(state["adam.step"])
        self._adam["step"].fill_(self._steps)
        for k, name, moment in self._moments():
            moment.copy_(self._put(state[f"adam.{k}.{name}"]))

    @torch.no_grad()
    def sample(self, x: Array, seed: int) -> Array:
        mu, logvar = self._vae.encoder.encode(self._put(checks.images(x, self.sizes.input_dim)))
        return _array(self._vae.reparameterize(mu, logvar, self._noise(len(x), seed)))

    @torch.no_grad()
    def generate(self, n: int, seed: int) -> Array:
        return _array(self._vae.generate(self._noise(checks.count("n", n), seed)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles are made from the state: copied views would have lost their vector."""
        return _restored, (self.state(), str(self._numpy_dtype), self._device.type)

    def _noise(self, rows: int, seed: int) -> Tensor:
        seed = stream.check_seed(seed)
        folded = (seed ^ (seed >> 32)) & 0xFFFF_FFFF  # PyTorch's CPU generator drops the upper half
        generator = torch.Generator(self._device).manual_seed(folded)
        shape = (rows, self.sizes.latent_dim)
        return torch.randn(shape, generator=generator, dtype=self._dtype, device=self._device)

    @torch.no_grad()
    def _set_params(self, params: Tensors) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(self._put(params[name]))

    def _moments(self) -> Iterator[tuple[str, str, Tensor]]:
        """Adam's moments: m or v, the name of a parameter, a view of the vector that holds it."""
        for k, key in (("m", "exp_avg"), ("v", "exp_avg_sq")):
            views = _by_name(self._adam[key], self.sizes)
            yield from ((k, name, views[name]) for name in self._parameters)

    def _put(self, array: Array) -> Tensor:
        # NumPy's copy, because NumPy asks Linux for large pages, in which long arrays are read faster.
        return torch.from_numpy(np.array(array, dtype=self._numpy_dtype, order="C")).to(self._device)


def _restored(state: Tensors, dtype: str, device: str) -> Model:
    model = load({name: state[name] for name in spec.PARAMETER_NAMES}, dtype=dtype, device=device)
    model.load_state(state)
    return model


class _Step:
    """Forward and backward pass of `VAE.negative_elbo` over B images, by hand: without a tape, in memory made once.

    The suite holds both to the same vectors: `gradients` goes through autograd, `train` through here.
    """

    def __init__(self, vector: nn.Parameter, sizes: spec.Sizes, rows: int) -> None:
        assert vector.grad is not None
        self._weights, self._gradients = _by_layer(vector.detach(), sizes), _by_layer(vector.grad, sizes)
        d, h, l = sizes  # noqa: E741 -- D, H, L are the symbols of the text
        self.x, self._logits, self._d_logits = (vector.new_empty(rows, d) for _ in range(3))  # (B, D)
        self._hidden, self._hidden3, self._d_hidden, self._d_hidden3 = (vector.new_empty(rows, h) for _ in range(4))
        self._posterior, self._d_posterior = (vector.new_empty(rows, 2 * l) for _ in range(2))  # mu, logvar: (B, 2 L)
        self._std, self._z, self._d_z = (vector.new_empty(rows, l) for _ in range(3))  # (B, L)

    def forward(self, noise: Tensor) -> Tensor:
        """noise (B, L), for the images in `x` -> the objective, shape ()."""
        mu, logvar = self._posterior.chunk(2, dim=1)  # (B, L) each
        self._linear("fc1", self.x, out=self._hidden).relu_()  # (B, H)
        self._linear("fc2", self._hidden, out=self._posterior)
        torch.exp(logvar / 2, out=self._std)
        torch.addcmul(mu, self._std, noise, out=self._z)
        self._linear("fc3", self._z, out=self._hidden3).relu_()  # (B, H)
        self._linear("fc4", self._hidden3, out=self._logits)
        reconstruction = F.binary_cross_entropy_with_logits(self._logits, self.x, reduction="sum")
        return reconstruction + kl_divergence(mu, logvar).sum()

    def backward(self, noise: Tensor) -> None:
        """Gradients of what `forward` returned, into the vector's `grad`, from the last layer to the first."""
        mu, logvar = self._posterior.chunk(2, dim=1)  # (B, L) each
        d_mu, d_logvar = self._d_posterior.chunk(2, dim=1)  # (B, L) each
        torch.sigmoid(self._logits, out=self._d_logits).sub_(self.x)  # (B, D)
        self._d_linear("fc4", self._hidden3, self._d_logits, out=self._d_hidden3)
        _d_relu(self._hidden3, self._d_hidden3)
        self._d_linear("fc3", self._z, self._d_hidden3, out=self._d_z)
        torch.add(self._d_z, mu, out=d_mu)
        # d_mu has what it needs of d_z, which is overwritten now.
        torch.mul(self._d_z.mul_(noise).mul_(self._std).add_(torch.expm1(logvar)), 0.5, out=d_logvar)
        self._d_linear("fc2", self._hidden, self._d_posterior, out=self._d_hidden)
        _d_relu(self._hidden, self._d_hidden)
        self._d_linear("fc1", self.x, self._d_hidden)

    def _linear(self, layer: str, x: Tensor, *, out: Tensor) -> Tensor:
        """x (B, in) -> (B, out)."""
        return torch.addmm(self._weights[f"{layer}.bias"], x, self._weights[f"{layer}.weight"].T, out=out)

    def _d_linear(self, layer: str, x: Tensor, d_output: Tensor, *, out: Tensor | None = None) -> None:
        """x (B, in), d_output (B, out) -> gradients of weight and bias, and in `out`, if asked for, of x (B, in)."""
        torch.mm(d_output.T, x, out=self._gradients[f"{layer}.weight"])
        torch.sum(d_output, dim=0, out=self._gradients[f"{layer}.bias"])
        if out is not None:
            torch.mm(d_output, self._weights[f"{layer}.weight"], out=out)


def _d_relu(hidden: Tensor, d_hidden: Tensor) -> None:
    """Zeroes `d_hidden` where relu did: its derivative at 0 is 0. (The public `threshold` has no backward to call.)"""
    torch.ops.aten.threshold_backward.grad_input(d_hidden, hidden, 0, grad_input=d_hidden)


def _by_layer(vector: Tensor, sizes: spec.Sizes) -> dict[str, Tensor]:
    """Views of a vector: weights and biases by layer. mu and logvar are one layer, fc2: they take the same input."""
    d, h, l = sizes  # noqa: E741 -- D, H, L are the symbols of the text
    layers = {"fc1": (h, d), "fc2": (2 * l, h), "fc3": (h, l), "fc4": (d, h)}
    shapes: dict[str, tuple[int, ...]] = {f"{layer}.weight": shape for layer, shape in layers.items()}
    shapes |= {f"{layer}.bias": shape[:1] for layer, shape in layers.items()}
    parts = torch.split(vector, [math.prod(shape) for shape in shapes.values()])
    return {name: part.view(shape) for part, (name, shape) in zip(parts, shapes.items(), strict=True)}


def _by_name(vector: Tensor, sizes: spec.Sizes) -> dict[str, Tensor]:
    """Views of a vector under canonical names: those of `_by_layer`, fc2 in its halves."""
    layers = _by_layer(vector, sizes)
    views: dict[str, Tensor] = {}
    for kind in ("weight", "bias"):
        views[f"encoder.fc1.{kind}"] = layers[f"fc1.{kind}"]
        views[f"encoder.fc2_mu.{kind}"], views[f"encoder.fc2_logvar.{kind}"] = layers[f"fc2.{kind}"].chunk(2)
        views |= {f"decoder.{layer}.{kind}": layers[f"{layer}.{kind}"] for layer in ("fc3", "fc4")}
    return views


def _device(device: str) -> torch.device:
    checks.one_of("device", device, checks.DEVICES)
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise ValueError("device: got 'cuda', but PyTorch sees no GPU here; expected auto or cpu")
    return torch.device("cuda" if device != "cpu" and available else "cpu")


def _array(tensor: Tensor) -> Array:
    array: Array = tensor.detach().cpu().numpy()
    return array.copy()
