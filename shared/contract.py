"""The contract: what a module must offer to be a backend. The module is the backend; there is nothing to inherit or
register.

A backend module has `describe()` and `load(params, *, dtype, device)`. The object that `load` returns offers the
methods of `Model`, and, where the backend can, those of `Trainable`, `Holder`, `Sampler` and `LossOnProbabilities`: an
ability is declared by having its methods.

NumPy goes in and NumPy comes out, in the model's dtype; an array that was returned is finished work. Arguments are
never changed, and returned arrays belong to the caller. Symbols: B images, D pixels, L latents, N images in a data set,
K steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]  # float32 or float64, as the model was loaded
Tensors = Mapping[str, Array]


class Losses(NamedTuple):
    """Per-sample losses in nats; their sum over the batch is the objective."""

    reconstruction: Array  # (B,)
    kl: Array  # (B,)


OnDevice = TypeVar("OnDevice")  # what a framework calls an array of its own


@dataclass(frozen=True, eq=False)
class Held(Generic[OnDevice]):
    """A handle on a data set that a model has checked and copied to its device: see `Holder.hold`.

    A backend may return any other object that has a length.
    """

    tensor: OnDevice = field(repr=False)  # (N, D), the framework's own
    shape: tuple[int, ...]  # (N, D)
    place: str  # dtype, framework and device, in words: two models at one place can use the same handle

    def __len__(self) -> int:
        """N."""
        return self.shape[0]


class Model(Protocol):
    """Forward passes of a loaded model.

    A model may also have the attribute `sizes` (`spec.Sizes`): see `parameters.sizes_of_model`.
    """

    def params(self) -> dict[str, Array]:
        """Copies of the parameters under their canonical names."""
        ...

    def encode(self, x: Array) -> tuple[Array, Array]:
        """x (B, D) -> mu (B, L), logvar (B, L)."""
        ...

    def reparameterize(self, mu: Array, logvar: Array, noise: Array) -> Array:
        """(B, L) each -> z (B, L)."""
        ...

    def decode(self, z: Array) -> Array:
        """z (B, L) -> logits (B, D)."""
        ...

    def losses(self, x: Array, noise: Array) -> Losses:
        """x (B, D), noise (B, L) -> reconstruction (B,) and kl (B,)."""
        ...


class Trainable(Model, Protocol):
    """A model that learns, by the spec's Adam."""

    def gradients(self, x: Array, noise: Array) -> dict[str, Array]:
        """Gradients of the summed objective, under the canonical names, without changing the model."""
        ...

    def train(self, x: Array, order: npt.NDArray[np.int64], noise: Array) -> Array:
        """K Adam steps in place.

        x (N, D) is the data set, order (K, B) the rows of x that each step sees, noise (K, B, L) their noise. Returns
        (K,): the objective of each step, summed over its batch, taken before its update. An array is read anew at
        every call.
        """
        ...

    def state(self) -> dict[str, Array]:
        """Copies of the parameters, `adam.m.<name>`, `adam.v.<name>` and `adam.step` (int64, shape ())."""
        ...

    def load_state(self, state: Tensors) -> None:
        """Takes up a state exactly; sizes must be the model's own."""
        ...


class Holder(Trainable, Protocol):
    """A model that keeps a data set on its device, for callers who train on it many times."""

    def hold(self, x: Array) -> Held[Any]:
        """Checks x (N, D) and copies it to the device: a handle, of length N, for `train`.

        What happens to x afterwards does not matter. The handle is the caller's: the memory on the device is freed with
        it. It fits every model of this backend with the same width, dtype and device.
        """
        ...

    def train(self, x: Array | Held[Any], order: npt.NDArray[np.int64], noise: Array) -> Array:
        """As in `Trainable`; x may also be a handle. Any other model's handle is a ValueError."""
        ...


class Sampler(Protocol):
    """A model that draws with its framework's own generator: equal seeds draw alike in one backend and version."""

    def sample(self, x: Array, seed: int) -> Array:
        """x (B, D) -> z (B, L) from q(z|x)."""
        ...

    def generate(self, n: int, seed: int) -> Array:
        """Probabilities (n, D) decoded from n draws of the prior."""
        ...


class LossOnProbabilities(Protocol):
    """A model that offers the common published loss too (clause `loss.probabilities`), which training never uses."""

    def loss_on_probabilities(self, recon_x: Array, x: Array, mu: Array, logvar: Array) -> Array:
        """recon_x (B, D) in [0, 1], x (B, D), mu and logvar (B, L) -> shape (): the loss of the batch, in nats."""
        ...


class FullModel(Trainable, Sampler, LossOnProbabilities, Protocol):
    """Every ability that the suite grades. Our own backends' models are `Holder`s too."""


class Backend(Protocol):
    """The module itself."""

    def describe(self) -> Mapping[str, str]:
        """framework, version, device (what "auto" means here), precision, threads: the identity that reports print."""
        ...

    def load(self, params: Tensors, *, dtype: str = "float32", device: str = "auto") -> FullModel:
        """A model holding copies of `params`; the sizes are read from the shapes.

        dtype is "float32" or "float64"; a backend may offer "mixed_bfloat16" too: see `spec.MIXED_PRECISION`.
        """
        ...
