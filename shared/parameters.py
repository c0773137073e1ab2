"""Canonical parameters: their names, their initial values, and the safetensors file that any language can read."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import safetensors
import safetensors.numpy

from vae_rosetta.shared import checks, files, spec, stream
from vae_rosetta.shared.contract import Array, Model, Tensors
from vae_rosetta.shared.spec import Sizes

MAX_STEP: Final = 2**30  # of Adam, in a state: a 32-bit counter has room to go on from there


def initial(seed: int, sizes: Sizes = Sizes()) -> dict[str, Array]:
    """Initial parameters in float32: each uniform in +-1/sqrt(fan_in), tensor i from stream (seed, WEIGHTS, i).

    The bound is torch.nn.Linear's own rule for weights and biases (pytorch/pytorch#57109); Keras and Flax start
    elsewhere, 0.5 to 2.4 times as wide.
    """
    shapes = spec.parameter_shapes(sizes)
    drawn = {}
    for index, (name, shape) in enumerate(shapes.items()):
        fan_in = shapes[name.replace(".bias", ".weight")][1]
        unit = stream.uniform(seed, stream.Purpose.WEIGHTS, index, int(np.prod(shape)))
        drawn[name] = ((2.0 * unit - 1.0) / np.sqrt(fan_in)).astype(np.float32).reshape(shape)
    return drawn


def sizes_of(params: Tensors) -> Sizes:
    """The sizes that a set of canonical parameters has, after checking that it is one.

    Raises:
        TypeError: a tensor is not a float32 or float64 array.
        ValueError: a tensor is missing, unknown, misshapen or not finite; the message names it.
    """
    _check_names("params", params, spec.PARAMETER_NAMES)
    for name in ("encoder.fc1.weight", "encoder.fc2_mu.weight"):
        shape = np.shape(params[name])
        if len(shape) != 2 or 0 in shape:
            raise ValueError(f"params[{name!r}]: got shape {shape}; expected two dimensions, (out, in), 1 or more each")
    hidden_dim, input_dim = params["encoder.fc1.weight"].shape
    if np.shape(params["encoder.fc1.bias"]) == (input_dim,) != (hidden_dim,):
        shape, bias = (hidden_dim, input_dim), (input_dim,)
        hint = "weights are (out, in), not (in, out) as Keras and Flax store them"
        raise ValueError(f"params['encoder.fc1.weight']: got shape {shape} with a bias of shape {bias}; {hint}")
    sizes = Sizes(input_dim, hidden_dim, params["encoder.fc2_mu.weight"].shape[0])
    _check_tensors("params", params, spec.parameter_shapes(sizes))
    return sizes


def sizes_of_model(model: Model) -> Sizes:
    """The sizes of a model: its `sizes` if it has them, else the shapes of its `params()`, which copies them all."""
    sizes = getattr(model, "sizes", None)
    if isinstance(sizes, Sizes):  # a port may call something else so
        return sizes
    params = model.params()
    hidden_dim, input_dim = params["encoder.fc1.weight"].shape
    return Sizes(input_dim, hidden_dim, params["encoder.fc2_mu.weight"].shape[0])


def state_shapes(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a training state: the parameters, Adam's m and v for each, and the number of steps taken."""
    shapes = spec.parameter_shapes(sizes)
    moments = {f"adam.{moment}.{name}": shape for moment in "mv" for name, shape in shapes.items()}
    return {**shapes, **moments, "adam.step": ()}


def check_state(state: Tensors, sizes: Sizes) -> None:
    """Checks a training state for a model of the given sizes.

    Raises:
        TypeError: a tensor of another dtype.
        ValueError: a tensor is missing, unknown, misshapen or not finite, or the step count is negative.
    """
    shapes = state_shapes(sizes)
    _check_names("state", state, shapes)
    step = state["adam.step"]
    if not isinstance(step, np.ndarray) or step.dtype.kind not in "iu" or step.shape != ():
        raise TypeError(f"state['adam.step']: got {step!r}; expected an integer array of shape ()")
    if not 0 <= step <= MAX_STEP:
        raise ValueError(f"state['adam.step']: got {step}; expected 0 to {MAX_STEP}")
    _check_tensors("state", state, {name: shape for name, shape in shapes.items() if name != "adam.step"})


def save(path: str | os.PathLike[str], tensors: Tensors, metadata: Mapping[str, str] | None = None) -> None:
    """Writes tensors to a safetensors file, atomically.

    Raises:
        OSError: the file cannot be written; an older one is then still whole.
    """
    contiguous = {name: np.ascontiguousarray(tensor).reshape(np.shape(tensor)) for name, tensor in tensors.items()}
    with files.replacing(path) as temporary:
        temporary.write_bytes(safetensors.numpy.save(contiguous, metadata=dict(metadata or {})))


def read(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The tensors of a safetensors file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a safetensors file, or a damaged one; the message names it.
    """
    data = Path(path).read_bytes()
    try:
        return safetensors.numpy.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from error


def read_params(path: str | os.PathLike[str], sizes: Sizes | None = None) -> dict[str, Array]:
    """The parameters in a safetensors file, checked; of the given sizes, where they are given.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError, ValueError: see `read` and `sizes_of`; the message names the file.
    """
    params = read(path)
    try:
        found = sizes_of(params)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{path}: {error}") from None
    if sizes is not None and found != sizes:
        raise ValueError(f"{path}: got a model of {_sizes_text(found)}; expected {_sizes_text(sizes)}")
    return params


def _sizes_text(sizes: Sizes) -> str:
    return f"{sizes.input_dim}-{sizes.hidden_dim}-{sizes.latent_dim} (pixels-hidden-latents)"


def _check_names(argument: str, tensors: Tensors, expected: Mapping[str, object] | tuple[str, ...]) -> None:
    if missing := [name for name in expected if name not in tensors]:
        raise ValueError(f"{argument}: missing {_some(missing)}; expected {len(expected)} tensors")
    if extra := [name for name in tensors if name not in expected]:
        first, *_, last = expected
        raise ValueError(f"{argument}: unknown {_some(extra)}; expected {len(expected)} tensors, {first} to {last}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _check_tensors(argument: str, tensors: Tensors, shapes: Mapping[str, tuple[int, ...]]) -> None:
    for name, shape in shapes.items():
        label = f"{argument}[{name!r}]"
        checks.finite(label, checks.float_array(label, tensors[name], shape))
