"""What a golden vector asks of a model: one function for each operation, from inputs to named results.

The generator runs these with the oracle, the conformance suite with the backend under test, so both do the same thing.
A port in another language needs this page only: every operation is a few calls of the contract.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from vae_rosetta.shared import datasets, parameters, recipe, stream
from vae_rosetta.shared.contract import Array, FullModel, Losses, Tensors
from vae_rosetta.shared.spec import Sizes

Load = Callable[[Tensors], FullModel]
Results = dict[str, Array]
Arguments = Mapping[str, Any]

_ELEMENTS: Final = 256  # at most so many single elements of a large tensor are stored


def forward(load: Load, inputs: Tensors, arguments: Arguments) -> Results:
    """x, noise -> mu, logvar, z, logits."""
    model = load(_params(inputs, arguments))
    x, noise = _images(inputs, arguments), inputs["noise"]
    mu, logvar = model.encode(x)
    z = model.reparameterize(mu, logvar, noise)
    return {"mu": mu, "logvar": logvar, "z": z, "logits": model.decode(z)}


def reparameterize(load: Load, inputs: Tensors, arguments: Arguments) -> Results:
    """mu, logvar, noise -> z."""
    model = load(_params(inputs, arguments))
    return {"z": model.reparameterize(inputs["mu"], inputs["logvar"], inputs["noise"])}


def losses(load: Load, inputs: Tensors, arguments: Arguments) -> Results:
    """x, noise -> reconstruction, kl."""
    found = load(_params(inputs, arguments)).losses(_images(inputs, arguments), inputs["noise"])
    return Losses(*found)._asdict()  # any pair will do


def loss_on_probabilities(load: Load, inputs: Tensors, arguments: Arguments) -> Results:
    """recon_x, x, mu, logvar -> objective, shape (): the published loss on probabilities, summed over the batch."""
    model = load(_params(inputs, arguments))
    names = ("recon_x", "x", "mu", "logvar")
    return {"objective": model.loss_on_probabilities(*(inputs[name] for name in names))}


def gradients(load: Load, inputs: Tensors, arguments: Arguments) -> Results:
    """x, noise -> the gradient of the summed objective, tensor by tensor; a summary of each if `summarise` is set."""
    found = load(_params(inputs, arguments)).gradients(_images(inputs, arguments), inputs["noise"])
    return _summarised(found) if arguments.get("summarise") else found


def train(load: Load, inputs: Tensors, arguments: Arguments) -> Results:
    """x; order.i and noise.i for each call i -> objective.i and the state at the end (or its summary)."""
    model = load(_params(inputs, arguments))
    x = _images(inputs, arguments)
    calls = range(sum(name.startswith("order.") for name in inputs))
    results = {f"objective.{i}": model.train(x, inputs[f"order.{i}"], inputs[f"noise.{i}"]) for i in calls}
    state = model.state()
    return {**results, **(_summarised(state) if arguments.get("summarise") else state)}


def fit(load: Load, inputs: Tensors, arguments: Arguments) -> Results:
    """x; seed, epochs, batch_size -> objective, every step of the recipe, and a summary of the state at the end.

    Initial weights, order and noise all come from the portable stream. With `curve_only`, the objective is all.
    """
    model = load(_params(inputs, arguments))
    recipe_arguments = {name: arguments[name] for name in ("seed", "epochs", "batch_size")}
    epochs = list(recipe.fit(model, _images(inputs, arguments), **recipe_arguments))
    curve = {"objective": np.concatenate([epoch.step_objectives for epoch in epochs])}
    return curve if arguments.get("curve_only") else {**curve, **_summarised(model.state())}


# What needs a model, and what needs the portable stream alone.
OPERATIONS: Final[Mapping[str, Callable[[Load, Tensors, Arguments], Results]]] = {
    function.__name__: function
    for function in (forward, reparameterize, losses, loss_on_probabilities, gradients, train, fit)
}


def summary(tensor: Array) -> Results:
    """What is stored of a large tensor: all of a vector; row sums, column sums and evenly spread elements of a matrix.

    Row and column sums together see a transposition, a permutation and a scale; the elements see the rest.
    """
    if tensor.ndim < 2:
        return {"": tensor}
    flat = tensor.ravel()
    stride = -(-flat.size // _ELEMENTS)
    # Summed in float64 whatever the tensor's dtype: the sums are the suite's own, not part of what is tested.
    sums = {".rows": tensor.sum(axis=1, dtype=np.float64), ".columns": tensor.sum(axis=0, dtype=np.float64)}
    return {**{k: v.astype(tensor.dtype) for k, v in sums.items()}, ".elements": flat[::stride].copy()}


def _summarised(tensors: Tensors) -> Results:
    return {name + part: value for name, tensor in tensors.items() for part, value in summary(tensor).items()}


def _params(inputs: Tensors, arguments: Arguments) -> dict[str, Array]:
    """Stored parameters, or the initial ones that a seed stands for."""
    stored = {name.removeprefix("param."): value for name, value in inputs.items() if name.startswith("param.")}
    return stored or parameters.initial(arguments["weights_seed"], Sizes(*arguments["sizes"]))


def _images(inputs: Tensors, arguments: Arguments) -> Array:
    """x as stored, 8-bit pixels divided by 255 in float32, or the training images of a named data set."""
    if "data" in arguments:
        return datasets.load(arguments["data"]).train
    return inputs["x"] if "x" in inputs else inputs["pixels"].astype(np.float32) / np.float32(255)


def stream_draw(arguments: Arguments) -> Results:
    """kind, seed, purpose, index, count -> what the portable stream holds there."""
    source = (arguments["seed"], stream.Purpose(arguments["purpose"]), arguments["index"])
    count = arguments["count"]
    match arguments["kind"]:
        case "words":
            return {"words": stream.words(*source, count, start=arguments.get("start", 0))}
        case "uniform":
            return {"uniform": stream.uniform(*source, count)}
        case "normal":
            return {"normal": stream.normal(*source, (count,))}
        case "permutation":
            return {"permutation": stream.permutation(*source, count)}
        case kind:
            raise ValueError(f"kind: got {kind!r}; expected words, uniform, normal or permutation")


def initial_weights(arguments: Arguments) -> Results:
    """weights_seed, sizes -> initial parameters."""
    return parameters.initial(arguments["weights_seed"], Sizes(*arguments["sizes"]))


DRAWS: Final[Mapping[str, Callable[[Arguments], Results]]] = {
    function.__name__: function for function in (stream_draw, initial_weights)
}
