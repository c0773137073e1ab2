"""PyTorch's words for the tests of this folder."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import torch

from vae_rosetta.implementations import torch_vae as module
from vae_rosetta.shared.contract import Array

name: Final = "torch"
seed = torch.manual_seed  # of initial weights and noise, for the model made next
tensor = torch.from_numpy

# What a reader of model.py writes beside it.
LIFTED: Final = """
import torch
optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)
loader = [torch.linspace(0, 1, 784).repeat(8, 1)]
"""


def array(value: torch.Tensor) -> Array:
    """A tensor as a new array."""
    copy: Array = value.detach().numpy().copy()
    return copy


def model(*sizes: int, dtype: str = "float32") -> module.VAE:
    """Of input, latent and hidden size."""
    return module.VAE(*sizes).to(getattr(torch, dtype))


def optimizer(vae: module.VAE, dtype: str = "float32") -> torch.optim.Optimizer:
    """The specification's Adam."""
    return torch.optim.Adam(vae.parameters(), lr=1e-3)


def precision(dtype: str) -> AbstractContextManager[None]:
    """Where a model of this dtype works."""
    return nullcontext()


def gradients(vae: module.VAE, x: torch.Tensor, noise: torch.Tensor) -> dict[str, Array]:
    """Of the summed objective, by autograd, under the canonical names."""
    names, parameters = zip(*vae.named_parameters(), strict=True)
    reconstruction, kl = vae.negative_elbo(x, noise)
    found = torch.autograd.grad((reconstruction + kl).sum(), parameters)
    return {name: array(gradient) for name, gradient in zip(names, found, strict=True)}


def variables(vae: module.VAE, adam: Any) -> dict[str, tuple[Callable[[], Array], Callable[[Array], object]]]:
    """How each tensor of the state is read and written, but Adam's count, under its canonical name."""
    found = {}
    for name, parameter in vae.named_parameters():
        zeros = {key: torch.zeros_like(parameter) for key in ("exp_avg", "exp_avg_sq")}
        adam.state[parameter] = {"step": torch.zeros(()), **zeros}  # as PyTorch would at the first step
        found[name] = _access(parameter.data)
        found[f"adam.m.{name}"] = _access(zeros["exp_avg"])
        found[f"adam.v.{name}"] = _access(zeros["exp_avg_sq"])
    return found


def _access(held: torch.Tensor) -> tuple[Callable[[], Array], Callable[[Array], object]]:
    return lambda: array(held), lambda new: held.copy_(torch.tensor(new))


def count(adam: Any, steps: int) -> None:
    """Lets Adam go on after so many steps."""
    for state in adam.state.values():
        state["step"].fill_(steps)
