"""The contract (`shared/contract.py`) around the PyTorch model: NumPy in, NumPy out.

`train` does by hand what `model.py` leaves to autograd: see `step.py`, and `capture.py` for GPUs. Mixed precision is
PyTorch's autocast.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vae_rosetta.implementations.torch_vae import capture
from vae_rosetta.implementations.torch_vae.adam import Adam
from vae_rosetta.implementations.torch_vae.model import VAE, loss_function
from vae_rosetta.implementations.torch_vae.step import Step, by_name, by_update
from vae_rosetta.shared import checks, parameters, spec, stream
from vae_rosetta.shared.contract import Array, Held, Losses, Tensors


def describe() -> dict[str, str]:
    """The identity that reports print."""
    device = _device("auto").type
    return {
        "framework": "torch",
        "version": torch.__version__,
        "device": device,
        "precision": "float32 matrix products: highest",
        "threads": str(torch.get_num_threads()),
        **({"steps": capture.how()} if device == "cuda" else {}),
    }


def load(params: Tensors, *, dtype: str = "float32", device: str = "auto") -> "Model":
    """A model holding copies of `params`; dtype may also be "mixed_bfloat16" (`spec.MIXED_PRECISION`).

    Turns TF32 products off for the whole process, and with mixed precision sums of products in bfloat16: the
    specification wants float32.

    Raises:
        TypeError, ValueError: see `parameters.sizes_of`; also for an unknown dtype or a device that is not there.
    """
    sizes = parameters.sizes_of(params)
    checks.one_of("dtype", dtype, checks.PRECISIONS)
    torch.set_float32_matmul_precision("highest")
    if dtype == checks.MIXED:  # of CUDA's products; those of CPUs sum in float32 anyway
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    return Model(params, sizes, dtype, _device(device))


class Model:
    """The contract around a `VAE`: all of `FullModel` in `shared/contract.py`."""

    def __init__(self, params: Tensors, sizes: spec.Sizes, dtype: str, device: torch.device) -> None:
        self.sizes = sizes
        self._numpy_dtype = np.dtype(checks.held_in(dtype))
        self._dtype, self._device = getattr(torch, self._numpy_dtype.name), device
        self._mixed = dtype == checks.MIXED
        self._place = f"{self._numpy_dtype} by PyTorch on {device}"
        self._vae = VAE(sizes.input_dim, sizes.latent_dim, sizes.hidden_dim).to(device, self._dtype)
        self._parameters = dict(self._vae.named_parameters())  # PyTorch's names are the canonical ones
        # All parameters lie in one vector; gradient and moments lie beside it.
        count = sum(parameter.numel() for parameter in self._parameters.values())
        self._vector, self._gradient, m, v = self._put(np.zeros((4, count)))  # like images, in large pages: see `_put`
        for name, view in by_name(self._vector, sizes).items():
            self._parameters[name].data = view  # from here on the module's parameters look into the vector
        self._set_params(params)
        self._adam = Adam(*(by_update(tensor, sizes) for tensor in (self._vector, self._gradient, m, v)))
        self._moments = {"m": by_name(m, sizes), "v": by_name(v, sizes)}
        self._captured_rows = 0
        self._captured: tuple[Step, Callable[[Tensor], Tensor]] | None = None

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
    def hold(self, x: Array) -> Held[Tensor]:
        images = checks.images(x, self.sizes.input_dim, rows="N")
        return Held(self._put(images), images.shape, self._place)

    @torch.no_grad()
    def train(self, x: Array | Held[Tensor], order: npt.NDArray[np.int64], noise: Array) -> Array:
        data = x if isinstance(x, Held) else self.hold(x)
        images = checks.held(data, self.sizes.input_dim, self._place)  # (N, D)
        order, noise = checks.schedule(order, noise, len(data), self.sizes.latent_dim)
        rows = torch.tensor(np.ascontiguousarray(order), device=self._device)  # (K, B)
        noises = self._put(noise)  # (K, B, L)
        objectives = torch.empty(len(order), dtype=self._dtype, device=self._device)  # (K,)
        step, update = self._step(*order.shape)
        for k, (step_rows, step_noise) in enumerate(zip(rows, noises, strict=True)):
            torch.index_select(images, 0, step_rows, out=step.x)
            self._adam.count()
            objectives[k] = update(step_noise)
        return _array(objectives)

    def _step(self, steps: int, rows: int) -> tuple[Step, Callable[[Tensor], Tensor]]:
        """A step of so many rows, and what it does with their noise (B, L) once its images are there: its objective.

        On a GPU, what has been captured is kept for the next call that takes more steps than a capture needs.
        """
        if rows == self._captured_rows and self._captured is not None:
            return self._captured
        layers = torch.bfloat16 if self._mixed else self._dtype
        step = Step(self._vector, self._gradient, self.sizes, rows, layers)
        adam = self._adam  # not the model, which keeps what is captured, and would never be freed

        def update(noise: Tensor) -> Tensor:
            objective = step.forward(noise)
            step.backward(noise)
            adam.apply()
            return objective

        if steps <= capture.EAGER_CALLS or not capture.is_wanted(self._device):
            return step, update
        self._captured = None  # its memory goes before that of the next is taken
        self._captured_rows, self._captured = rows, (step, capture.Captured(update))
        return self._captured

    def state(self) -> dict[str, Array]:
        moments = {
            f"adam.{k}.{name}": _array(found[name]) for k, found in self._moments.items() for name in self._parameters
        }
        return {**self.params(), **moments, "adam.step": np.array(self._adam.steps, dtype=np.int64)}

    def load_state(self, state: Tensors) -> None:
        parameters.check_state(state, self.sizes)
        self._set_params(state)
        self._adam.steps = int(state["adam.step"])
        for k, moments in self._moments.items():
            for name, moment in moments.items():
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
