"""Wrong random numbers: the stream itself, initial weights, the recipe's order and noise."""

from typing import Any, Final

import numpy as np

from vae_rosetta.conformance.meta.mutants.base import Mutant, Patch, on_shared
from vae_rosetta.shared import parameters, recipe, stream
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes

_RECIPE = ("training/tiny-recipe", "training/whole-run")


def _initial(wrong: Any) -> Patch:
    """`wrong(name, value, params)` returns the initial value of a tensor instead."""

    def initial(true: Any, seed: int, sizes: Sizes = Sizes()) -> dict[str, Array]:
        params = true(seed, sizes)
        return {name: np.asarray(wrong(name, value, params)).astype(np.float32) for name, value in params.items()}

    return on_shared(parameters, "initial", initial)


def _glorot(name: str, value: Array, params: Any) -> Array:
    gain = np.sqrt(6.0 * value.shape[1] / sum(value.shape)) if value.ndim == 2 else 0.0
    result: Array = value * gain
    return result


def _lecun_normal(name: str, value: Array, params: Any) -> Array:
    if value.ndim == 1:
        return np.zeros_like(value)
    normal: Array = np.random.default_rng(len(name)).standard_normal(value.shape) / np.sqrt(value.shape[1])
    return normal


def _fan_out(name: str, value: Array, params: Any) -> Array:
    weight = params[name.replace(".bias", ".weight")]
    result: Array = value * np.sqrt(weight.shape[1] / weight.shape[0])
    return result


def _index_ignored(true: Any, seed: int, purpose: Any, index: int, count: int, **options: Any) -> Any:
    return true(seed, purpose, 0, count, **options)


def _words(wrong: Any) -> Patch:
    """Both readers of the raw words see `wrong(words, seed, purpose, index, count, start)`."""

    def chunks(true: Any, seed: int, purpose: Any, index: int, count: int, start: int) -> Any:
        return wrong(true, seed, purpose, index, count, start)

    return on_shared(stream, "_word_chunks", chunks)


def _pairs_swapped(true: Any, seed: int, purpose: Any, index: int, shape: tuple[int, ...]) -> Array:
    count = int(np.prod(shape))
    flat = true(seed, purpose, index, (count + count % 2,))
    swapped: Array = flat.reshape(-1, 2)[:, ::-1].ravel()[:count].reshape(shape)
    return swapped


def _normal_in_float32(true: Any, seed: int, purpose: Any, index: int, shape: tuple[int, ...]) -> Array:
    count = int(np.prod(shape))
    unit = stream.uniform(seed, purpose, index, count + count % 2).astype(np.float32)
    radius = np.sqrt(np.float32(-2) * np.log(np.maximum(np.float32(1) - unit[0::2], np.float32(1e-7))))
    angle = np.float32(2 * np.pi) * unit[1::2]
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    result: Array = pairs.ravel()[:count].reshape(shape)
    return result


def _with_replacement(true: Any, seed: int, epoch: int, count: int) -> Array:
    drawn: Array = np.sort(true(seed, epoch, count)) * 0 + true(seed, epoch, count) // 2 * 2
    return drawn


MUTANTS: Final = (
    Mutant(
        "wrong-initial-weights",
        "Glorot, as in Keras",
        ("stream/initial-weights", "training/whole-run"),
        _initial(_glorot),
    ),
    Mutant(
        "wrong-initial-weights",
        "LeCun normal, close to Flax",
        ("stream/initial-weights", "training/whole-run"),
        _initial(_lecun_normal),
    ),
    Mutant(
        "wrong-initial-weights",
        "zero biases",
        ("stream/initial-weights", "training/whole-run"),
        _initial(lambda name, value, params: value if value.ndim == 2 else 0.0 * value),
    ),
    Mutant(
        "wrong-initial-weights",
        "1 % too wide",
        ("stream/initial-weights", "training/whole-run"),
        _initial(lambda name, value, params: 1.01 * value if value.ndim == 2 else value),
    ),
    Mutant(
        "wrong-initial-weights",
        "bounded by 1/sqrt(fan_out)",
        ("stream/initial-weights", "training/whole-run"),
        _initial(_fan_out),
    ),
    Mutant(
        "tensors-alike",
        "",
        ("stream/initial-weights", "training/whole-run"),
        on_shared(stream, "uniform", _index_ignored),
    ),
    Mutant(
        "seed-truncated",
        "the seed of the stream",
        ("stream/words-far", "stream/normal"),
        _words(lambda true, seed, *rest: true(seed & 0xFFFF_FFFF, *rest)),
    ),
    Mutant(
        "seed-truncated",
        "the index of the stream",
        ("stream/words-far", "stream/normal"),
        _words(lambda true, seed, purpose, index, *rest: true(seed, purpose, index & 0xFFFF_FFFF, *rest)),
    ),
    Mutant(
        "stream-misread",
        "one block late",
        ("stream/words", "stream/uniform", "stream/permutation"),
        _words(lambda true, seed, purpose, index, count, start: true(seed, purpose, index, count, start + 4)),
    ),
    Mutant(
        "coarse-stream",
        "uniforms, from the top 32 bits of a word",
        ("stream/uniform",),
        on_shared(stream, "_unit", lambda true, raw: (raw >> np.uint64(32)).astype(np.float64) * 2.0**-32),
    ),
    Mutant(
        "stream-misread", "sine before cosine", ("stream/normal", *_RECIPE), on_shared(stream, "normal", _pairs_swapped)
    ),
    Mutant(
        "coarse-stream", "Box-Muller in float32", ("stream/normal",), on_shared(stream, "normal", _normal_in_float32)
    ),
    Mutant(
        "stream-misread",
        "words sorted in descending order",
        ("stream/permutation", *_RECIPE),
        on_shared(stream, "permutation", lambda true, *arguments: true(*arguments)[::-1]),
    ),
    Mutant("wrong-epoch-order", "with replacement", _RECIPE, on_shared(recipe, "epoch_order", _with_replacement)),
    Mutant(
        "wrong-epoch-order",
        "that of the first epoch in all",
        _RECIPE,
        on_shared(recipe, "epoch_order", lambda true, seed, epoch, count: true(seed, 0, count)),
    ),
    Mutant(
        "wrong-epoch-order",
        "that of the file",
        _RECIPE,
        on_shared(recipe, "epoch_order", lambda true, seed, epoch, count: np.arange(count)),
    ),
    Mutant(
        "wrong-epoch-noise",
        "that of the first epoch in all",
        _RECIPE,
        on_shared(recipe, "epoch_noise", lambda true, seed, epoch, *shape: true(seed, 0, *shape)),
    ),
    Mutant(
        "wrong-epoch-noise",
        "epochs counted from 1",
        _RECIPE,
        on_shared(recipe, "epoch_noise", lambda true, seed, epoch, *shape: true(seed, epoch + 1, *shape)),
    ),
    Mutant(
        "wrong-epoch-noise",
        "row i is for image i",
        _RECIPE,
        on_shared(
            recipe,
            "epoch_noise",
            lambda true, seed, epoch, count, latents: true(seed, epoch, count, latents)[
                recipe.epoch_order(seed, epoch, count)
            ],
        ),
    ),
    Mutant(
        "short-batch-dropped",
        "from the epoch",
        ("training/tiny-recipe",),
        on_shared(
            recipe,
            "_calls",
            lambda true, count, batch: [r for r in true(count, batch) if (r.stop - r.start) % batch == 0],
        ),
        alone=True,
    ),
)
