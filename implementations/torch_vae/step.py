"""A training step of the PyTorch backend by hand: what autograd and ten separate parameters would cost is saved.

All parameters lie in one vector; `by_name` gives the views of it that a `VAE` holds, and `adam.py` updates it.
`model.py` has the model; the suite holds both ways to the same vectors: `gradients` goes through autograd,
`train` through here.

Symbols: B images, D pixels, H hidden units, L latents.
"""

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_rosetta.implementations.torch_vae.products import Products
from vae_rosetta.shared import spec

_LINEAR: Final = 40.0  # from here on softplus(l) is l, in float64 too


class Step:
    """Forward and backward pass of `VAE.negative_elbo` over B images, without a tape.

    Memory is made once, but for what oneDNN returns (`products.py`).

    Layers compute in the dtype `layers`, which is the vector's own, or bfloat16 for mixed precision: what goes into
    them is then rounded into a second buffer, and what comes out is copied back.
    """

    def __init__(self, vector: Tensor, gradient: Tensor, sizes: spec.Sizes, rows: int, layers: torch.dtype) -> None:
        d, h, l = sizes  # noqa: E741 -- D, H, L are the specification's
        self._vector, self._gradient = _Twin(vector, layers), _Twin(gradient, layers)
        self._weights, self._gradients = (_by_layer(twin.layers, sizes) for twin in (self._vector, self._gradient))
        self._x, self._logits, self._d_logits = (_Twin(vector.new_empty(rows, d), layers) for _ in range(3))  # (B, D)
        # mu and logvar beside each other, (B, 2 L)
        self._posterior, self._d_posterior = (_Twin(vector.new_empty(rows, 2 * l), layers) for _ in range(2))
        self._z, self._d_z = (_Twin(vector.new_empty(rows, l), layers) for _ in range(2))  # (B, L)
        self._products = Products(vector.device, layers)
        self._std, self._expm1_logvar = (vector.new_empty(rows, l) for _ in range(2))  # (B, L)
        self._hidden, self._hidden3, self._d_hidden, self._d_hidden3 = (
            vector.new_empty(rows, h, dtype=layers) for _ in range(4)
        )  # (B, H)
        self.x = self._x.outside  # where the images of a step are to be put, (B, D)

    def forward(self, noise: Tensor) -> Tensor:
        """noise (B, L), for the images in `x` -> the objective, shape ()."""
        self._vector.enter()
        self._hidden = self._linear("fc1", self._x.enter(), out=self._hidden, relu=True)  # (B, H)
        posterior = self._linear("fc2", self._hidden, out=self._posterior.layers)  # (B, 2 L)
        mu, logvar = self._posterior.leave(posterior).chunk(2, dim=1)  # (B, L) each
        torch.exp(logvar / 2, out=self._std)
        torch.addcmul(mu, self._std, noise, out=self._z.outside)
        self._hidden3 = self._linear("fc3", self._z.enter(), out=self._hidden3, relu=True)  # (B, H)
        logits = self._logits.leave(self._linear("fc4", self._hidden3, out=self._logits.layers))  # (B, D)
        # Cross-entropy on logits: softplus(l) - x l, of which this is the form with the fewest passes over memory.
        reconstruction = F.softplus(logits, threshold=_LINEAR).addcmul_(self.x, logits, value=-1.0).sum()
        torch.expm1(logvar, out=self._expm1_logvar)
        twice_kl = torch.addcmul(self._expm1_logvar, mu, mu).sub_(logvar).sum()
        return torch.add(reconstruction, twice_kl, alpha=0.5)

    def backward(self, noise: Tensor) -> None:
        """Gradients of what `forward` returned, into `gradient`, from the last layer to the first."""
        mu, _ = self._posterior.outside.chunk(2, dim=1)  # (B, L) each
        d_mu, d_logvar = self._d_posterior.outside.chunk(2, dim=1)  # (B, L) each
        torch.sigmoid(self._logits.outside, out=self._d_logits.outside).sub_(self.x)  # (B, D)
        self._d_weights("fc4", self._hidden3, self._d_logits.enter())
        self._d_hidden3 = self._d_input("fc4", self._d_logits.layers, out=self._d_hidden3)  # (B, H)
        _d_relu(self._hidden3, self._d_hidden3)
        self._d_weights("fc3", self._z.layers, self._d_hidden3)
        d_z = self._d_z.leave(self._d_input("fc3", self._d_hidden3, out=self._d_z.layers))  # (B, L)
        torch.add(d_z, mu, out=d_mu)
        # d_mu has what it needs of d_z, which is overwritten now.
        torch.mul(d_z.mul_(noise).mul_(self._std).add_(self._expm1_logvar), 0.5, out=d_logvar)
        self._d_weights("fc2", self._hidden, self._d_posterior.enter())
        self._d_hidden = self._d_input("fc2", self._d_posterior.layers, out=self._d_hidden)  # (B, H)
        _d_relu(self._hidden, self._d_hidden)
        self._d_weights("fc1", self._x.layers, self._d_hidden)
        self._gradient.leave(self._gradient.layers)

    def _linear(self, layer: str, x: Tensor, *, out: Tensor, relu: bool = False) -> Tensor:
        """x (B, in) -> (B, out)."""
        weight, bias = self._weights[f"{layer}.weight"], self._weights[f"{layer}.bias"]
        return self._products.linear(x, weight, bias, out=out, relu=relu)

    def _d_input(self, layer: str, d_output: Tensor, *, out: Tensor) -> Tensor:
        """Gradients of what a layer put out, (B, out) -> of what it took, (B, in)."""
        return self._products.d_input(d_output, self._weights[f"{layer}.weight"], out=out)

    def _d_weights(self, layer: str, x: Tensor, d_output: Tensor) -> None:
        """x (B, in), d_output (B, out) -> gradients of weight and bias, into `gradient`."""
        self._products.d_weight(d_output, x, out=self._gradients[f"{layer}.weight"])
        torch.sum(d_output, dim=0, out=self._gradients[f"{layer}.bias"])


class _Twin:
    """A tensor between layers and its copy within them; one and the same where their dtypes are."""

    def __init__(self, outside: Tensor, layers: torch.dtype) -> None:
        self.outside, self.layers = outside, outside.to(layers)

    def enter(self) -> Tensor:
        """Rounded to the dtype of the layers."""
        return self.layers if self.layers is self.outside else self.layers.copy_(self.outside)

    def leave(self, result: Tensor) -> Tensor:
        """Back from the layers; `result` may be `layers` or another tensor of its shape and dtype."""
        if self.layers is self.outside:
            self.layers = self.outside = result
        else:
            self.outside.copy_(result)
        return self.outside


def by_name(vector: Tensor, sizes: spec.Sizes) -> dict[str, Tensor]:
    """Views of a vector of all parameters under their canonical names."""
    layers = _by_layer(vector, sizes)
    views: dict[str, Tensor] = {}
    for kind in ("weight", "bias"):
        views[f"encoder.fc1.{kind}"] = layers[f"fc1.{kind}"]
        views[f"encoder.fc2_mu.{kind}"], views[f"encoder.fc2_logvar.{kind}"] = layers[f"fc2.{kind}"].chunk(2)
        views |= {f"decoder.{layer}.{kind}": layers[f"{layer}.{kind}"] for layer in ("fc3", "fc4")}
    return views


def _by_layer(vector: Tensor, sizes: spec.Sizes) -> dict[str, Tensor]:
    """Views of a vector: weights, then biases, by layer. mu and logvar are one layer, fc2: they take the same input."""
    shapes = _shapes(sizes)
    parts = torch.split(vector, [math.prod(shape) for shape in shapes.values()])
    return {name: part.view(shape) for part, (name, shape) in zip(parts, shapes.items(), strict=True)}


def by_update(vector: Tensor, sizes: spec.Sizes) -> list[Tensor]:
    """The parts of a vector that Adam updates one after another: each weight, and all biases."""
    weights = [math.prod(shape) for shape in _shapes(sizes).values() if len(shape) == 2]
    return list(torch.split(vector, [*weights, vector.numel() - sum(weights)]))


def _shapes(sizes: spec.Sizes) -> dict[str, tuple[int, ...]]:
    """Of a vector's parts, in their order."""
    d, h, l = sizes  # noqa: E741 -- D, H, L are the specification's
    layers = {"fc1": (h, d), "fc2": (2 * l, h), "fc3": (h, l), "fc4": (d, h)}
    shapes: dict[str, tuple[int, ...]] = {f"{layer}.weight": shape for layer, shape in layers.items()}
    return shapes | {f"{layer}.bias": shape[:1] for layer, shape in layers.items()}


def _d_relu(hidden: Tensor, d_hidden: Tensor) -> None:
    """Zeroes `d_hidden` where relu did: its derivative at 0 is 0. (The public `threshold` has no backward to call.)"""
    torch.ops.aten.threshold_backward.grad_input(d_hidden, hidden, 0, grad_input=d_hidden)
