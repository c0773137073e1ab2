"""The classic VAE in PyTorch.

The first part stands alone: the model, its losses and a training epoch as a PyTorch user writes them. The second part
is the contract (`shared/contract.py`): NumPy in, NumPy out, seeds and parameters that mean the same in every framework.

Symbols: B images, D pixels, H hidden units, L latents. PyTorch's own initial weights are the specification's (uniform
in +-1/sqrt(fan_in)), and so is its Adam. The contract's `train` does by hand what the first part leaves to autograd:
see `torch_step.py`. Mixed precision is PyTorch's autocast.
"""

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
        return self.fc2_mu(hidden).to(x.dtype), self.fc2_logvar(hidden).to(x.dtype)  # where autocast lowers layers


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
        return logits.to(z.dtype)


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

from implementations.torch_step import Step, by_name  # noqa: E402 -- nothing above needs this project
from shared import checks, parameters, spec, stream  # noqa: E402
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
    """A model holding copies of `params`; dtype may also be "mixed_bfloat16" (`spec.MIXED_PRECISION`).

    Turns TF32 products off for the whole process: the specification wants float32.

    Raises:
        TypeError, ValueError: see `parameters.sizes_of`; also for an unknown dtype or a device that is not there.
    """
    sizes = parameters.sizes_of(params)
    checks.one_of("dtype", dtype, checks.PRECISIONS)
    torch.set_float32_matmul_precision("highest")
    return Model(params, sizes, dtype, _device(device))


class Model:
    """The contract around a `VAE`: all of `FullModel` in `shared/contract.py`."""

    def __init__(self, params: Tensors, sizes: spec.Sizes, dtype: str, device: torch.device) -> None:
        self.sizes = sizes
        self._numpy_dtype = np.dtype(checks.held_in(dtype))
        self._dtype, self._device = getattr(torch, self._numpy_dtype.name), device
        self._mixed = dtype == checks.MIXED
        self._vae = VAE(sizes.input_dim, sizes.latent_dim, sizes.hidden_dim).to(device, self._dtype)
        self._parameters = dict(self._vae.named_parameters())  # PyTorch's names are the canonical ones
        # All parameters lie in one vector, so that a step of Adam is one kernel; gradient and moments lie beside it.
        count = sum(parameter.numel() for parameter in self._parameters.values())
        vector, gradient, m, v = self._put(np.zeros((4, count)))  # like images, in large pages: see `_put`
        for name, view in by_name(vector, sizes).items():
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
        mu, logvar = self._encoded(x)
        return _array(mu), _array(logvar)

    @torch.no_grad()
    def reparameterize(self, mu: Array, logvar: Array, noise: Array) -> Array:
        posterior = checks.posterior(mu, logvar, noise, self.sizes.latent_dim)
        return _array(self._vae.reparameterize(*map(self._put, posterior)))

    @torch.no_grad()
    def decode(self, z: Array) -> Array:
        z = checks.latents("z", z, self.sizes.latent_dim)
        with self._precision():
            return _array(self._vae.decoder.decode(self._put(z)))

    @torch.no_grad()
    def losses(self, x: Array, noise: Array) -> Losses:
        batch = checks.batch(x, noise, self.sizes.input_dim, self.sizes.latent_dim)
        with self._precision():
            reconstruction, kl = self._vae.negative_elbo(*map(self._put, batch))
        return Losses(_array(reconstruction), _array(kl))

    @torch.no_grad()
    def loss_on_probabilities(self, recon_x: Array, x: Array, mu: Array, logvar: Array) -> Array:
        sizes = self.sizes
        checked = checks.reconstructions(recon_x, x, mu, logvar, sizes.input_dim, sizes.latent_dim)
        return _array(loss_function(*map(self._put, checked)))

    def gradients(self, x: Array, noise: Array) -> dict[str, Array]:
        batch = checks.batch(x, noise, self.sizes.input_dim, self.sizes.latent_dim)
        with self._precision():
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
        layers = torch.bfloat16 if self._mixed else self._dtype
        step = Step(self._vector, self.sizes, order.shape[1], layers)
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
        return _array(self._vae.reparameterize(*self._encoded(x), self._noise(len(x), seed)))

    @torch.no_grad()
    def generate(self, n: int, seed: int) -> Array:
        z = self._noise(checks.count("n", n), seed)
        with self._precision():
            return _array(self._vae.generate(z))

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles are made from the state: copied views would have lost their vector."""
        dtype = checks.MIXED if self._mixed else self._numpy_dtype.name
        return _restored, (self.state(), dtype, self._device.type)

    def _precision(self) -> torch.autocast:
        """Layers in bfloat16 if the model's precision is mixed; else not, whatever the caller has set."""
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._mixed)

    def _encoded(self, x: Array) -> tuple[Tensor, Tensor]:
        images = self._put(checks.images(x, self.sizes.input_dim))  # (B, D)
        with self._precision():
            return self._vae.encoder.encode(images)

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
            views = by_name(self._adam[key], self.sizes)
            yield from ((k, name, views[name]) for name in self._parameters)

    def _put(self, array: Array) -> Tensor:
        # NumPy's copy, because NumPy asks Linux for large pages, in which long arrays are read faster.
        return torch.from_numpy(np.array(array, dtype=self._numpy_dtype, order="C")).to(self._device)


def _restored(state: Tensors, dtype: str, device: str) -> Model:
    model = load({name: state[name] for name in spec.PARAMETER_NAMES}, dtype=dtype, device=device)
    model.load_state(state)
    return model


def _device(device: str) -> torch.device:
    checks.one_of("device", device, checks.DEVICES)
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise ValueError("device: got 'cuda', but PyTorch sees no GPU here; expected auto or cpu")
    return torch.device("cuda" if device != "cpu" and available else "cpu")


def _array(tensor: Tensor) -> Array:
    array: Array = tensor.detach().cpu().numpy()
    return array.copy()
