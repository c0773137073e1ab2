"""The audit's way to a framework: NumPy arrays become the tensors that a loss takes, and its answer NumPy again.

A framework is imported inside a function, by name, and only when it is asked for or the loss's own module has already
imported it: the suite itself needs NumPy alone.
"""

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np

from vae_rosetta.shared.contract import Array

NAMES: Final = ("numpy", "torch", "tensorflow", "jax")
Scalar = Callable[[Any], Any]  # one tensor in, a scalar tensor out


class Framework(NamedTuple):
    """How to make a tensor, to add one up, and to differentiate; `gradient` is None where there is no autodiff."""

    name: str
    tensor: Callable[[Array], Any]
    total: Callable[[Any], Any]  # the sum over all elements, differentiable
    gradient: Callable[[Scalar, Array], Any] | None
    scope: Callable[[], AbstractContextManager[Any]]


def load(name: str) -> Framework:
    """The framework of that name.

    Raises:
        ImportError: it is not installed.
    """
    if name == "numpy":
        return Framework("numpy", np.array, np.sum, None, nullcontext)
    module = importlib.import_module(name)
    return {"torch": _torch, "tensorflow": _tensorflow, "jax": _jax}[name](module)


def candidates(loss: Callable[..., Any]) -> Iterator[str]:
    """Names to try, likeliest first: what the loss's own module refers to, NumPy, what else is imported already."""
    likely = [name for name in NAMES[1:] if name in _referred(loss)]
    yield from likely
    yield "numpy"
    yield from (name for name in NAMES[1:] if name in sys.modules and name not in likely)


def to_numpy(value: Any) -> Array:
    """A tensor of any of the frameworks, or a number, as a NumPy array.

    Raises:
        TypeError, ValueError: it holds no numbers.
    """
    if hasattr(value, "detach"):  # torch refuses to convert what still has a gradient
        value = value.detach().cpu()
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"got {array.dtype}; expected numbers")
    return array


def _referred(loss: Callable[..., Any]) -> set[str]:
    """Top-level packages behind the loss's type and the global names of its module; for Keras, its backend."""
    while isinstance(loss, functools.partial):
        loss = loss.func
    modules = [kind.__module__ for kind in type(loss).__mro__]  # a torch.nn.Module, a compiled tf.function
    loss = inspect.unwrap(loss)  # what jax.jit wraps
    named = getattr(loss, "__globals__", None) or getattr(type(loss).__call__, "__globals__", {})
    for value in named.values():
        modules.append(value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None) or "")
    packages = {str(module).split(".")[0] for module in modules}
    if "keras" in packages and "keras" in sys.modules:
        packages.add(str(sys.modules["keras"].config.backend()))
    return packages


def _torch(torch: Any) -> Framework:
    def gradient(function: Scalar, at: Array) -> Any:
        tensor = torch.tensor(at, requires_grad=True)
        function(tensor).backward()
        return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad

    return Framework("torch", torch.tensor, torch.sum, gradient, nullcontext)


def _tensorflow(tf: Any) -> Framework:
    def gradient(function: Scalar, at: Array) -> Any:
        tensor = tf.convert_to_tensor(at)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            value = function(tensor)
        found = tape.gradient(value, tensor)
        return tf.zeros_like(tensor) if found is None else found

    return Framework("tensorflow", tf.convert_to_tensor, tf.reduce_sum, gradient, nullcontext)


def _jax(jax: Any) -> Framework:
    def gradient(function: Scalar, at: Array) -> Any:
        return jax.grad(function)(jax.numpy.asarray(at))

    def scope() -> Any:  # without it JAX makes float32 of float64 and says nothing
        if hasattr(jax, "enable_x64"):
            return jax.enable_x64(True)
        return importlib.import_module(f"{jax.__name__}.experimental").enable_x64()

    return Framework("jax", jax.numpy.asarray, jax.numpy.sum, gradient, scope)
