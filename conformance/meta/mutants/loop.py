"""Wrong training loops: batches, noise, the order of things within a step."""

from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest

from vae_rosetta.conformance.meta.mutants.base import Mutant, Patch, on_method
from vae_rosetta.shared.contract import Array, Held
from vae_rosetta.shared.oracle import Real

_BEFORE = "training::test_objective_is_that_of_losses_before_the_update"
_SPLIT = "training::test_steps_split_over_calls_are_the_same_steps"


def _train(wrong: Any) -> Patch:
    """`wrong(train, model, x, order, noise)` calls the true `train(x, order, noise)` otherwise than it was asked to.

    Of data that are held, x is the array.
    """

    def train(true: Any, model: Any, x: Array | Held[Array], order: Array, noise: Array) -> Array:
        images = x.tensor if isinstance(x, Held) else x
        result: Array = wrong(lambda *arguments: true(model, *arguments), model, images, order, noise)
        return result

    return on_method("train", train)


def _padded(train: Any, model: Any, x: Array, order: Array, noise: Array) -> Any:
    """What a fixed batch shape invites: the short last batch is filled up by repeating its rows."""
    model.full_batch = full = getattr(model, "full_batch", order.shape[1])
    rows = np.arange(max(full, order.shape[1])) % order.shape[1]
    return train(x, order[:, rows], noise[:, rows])


def _dropped(train: Any, model: Any, x: Array, order: Array, noise: Array) -> Any:
    """A batch shorter than the first one trains nothing; its objective is still reported."""
    model.full_batch = full = getattr(model, "full_batch", order.shape[1])
    if order.shape[1] == full:
        return train(x, order, noise)
    return np.array([np.sum(model.losses(x[r], n)) for r, n in zip(order, noise, strict=True)], noise.dtype)


def _weighted_as_full(train: Any, model: Any, x: Array, order: Array, noise: Array) -> Any:
    model.full_batch = full = getattr(model, "full_batch", order.shape[1])
    return train(x, order, noise) * noise.dtype.type(full / order.shape[1])


def _after_update(true: Any, model: Any, x: Real, noise: Real) -> float:
    true(model, x, noise)
    return float(np.sum(model.losses(x, noise)))


def _gradients_not_cleared(true: Any, model: Any, x: Array, noise: Array) -> Any:
    found = true(model, x, noise)
    former = getattr(model, "accumulated", dict.fromkeys(found, 0.0))
    model.accumulated = {name: gradient + former[name] for name, gradient in found.items()}
    return model.accumulated


def _gradients_move(true: Any, model: Any, x: Array, noise: Array) -> Any:
    found = true(model, x, noise)
    model._train_step(x.astype(np.float64), noise.astype(np.float64))
    return found


def _stale_params(train: Any, model: Any, x: Array, order: Array, noise: Array) -> Any:
    """All steps of a call report what the parameters at its start give: objectives are computed in one go."""
    objectives = [np.sum(model.losses(x[rows], n)) for rows, n in zip(order, noise, strict=True)]
    return np.array(objectives, train(x, order, noise).dtype)


def _remembered(train: Any, model: Any, x: Array, order: Array, noise: Array) -> Any:
    """The first data set stands for every later one of its shape."""
    model.remembered = getattr(model, "remembered", x.copy())
    return train(model.remembered if model.remembered.shape == x.shape else x, order, noise)


def _remembered_by_identity(train: Any, model: Any, x: Array, order: Array, noise: Array) -> Any:
    """An array that was seen before is taken to be unchanged."""
    seen, copy = getattr(model, "remembered", (x, x.copy()))
    model.remembered = (seen, copy) if seen is x else (x, x.copy())
    return train(model.remembered[1], order, noise)


def _held_alias(true: Any, model: Any, x: Array) -> Held[Array]:
    """What is held is the caller's array itself, as where a device shares the processor's memory."""
    return replace(true(model, x), tensor=x)


def _held_in_one_place(true: Any, model: Any, x: Array) -> Held[Array]:
    """A model has room for one data set: what it holds next is written over it."""
    held: Held[Array] = true(model, x)
    model.room = getattr(model, "room", held.tensor)
    if model.room.shape == held.shape:
        model.room[:] = held.tensor
    return replace(held, tensor=model.room)


def _held_unchecked(true: Any, model: Any, x: Array) -> Held[Array]:
    return replace(true(model, np.zeros((1, model.sizes.input_dim))), tensor=x.copy(), shape=x.shape)


def _held_order_unchecked(true: Any, model: Any, x: Array | Held[Array], order: Array, noise: Array) -> Array:
    """Rows outside data that are held are clamped, as JAX does on its device."""
    if isinstance(x, Held) and order.dtype.kind == "i":
        order = np.clip(order, 0, len(x) - 1)
    result: Array = true(model, x, order, noise)
    return result


def _step_per_call(train: Any, model: Any, x: Array, order: Array, noise: Array) -> Any:
    """The step count for the bias correction goes up once a call."""
    objectives = []
    for rows, step_noise in zip(order, noise, strict=True):
        before = model._step
        objectives.append(train(x, rows[None], step_noise[None]))
        model._step = before
    model._step += 1
    return np.concatenate(objectives)


def _moments_anew(train: Any, model: Any, x: Array, order: Array, noise: Array) -> Any:
    """A new optimiser at every call."""
    for moment in model._moments.values():
        moment.update({name: np.zeros_like(value) for name, value in moment.items()})
    model._step = 0
    return train(x, order, noise)


def _argument_changed(train: Any, model: Any, x: Array, order: Array, noise: Array) -> Any:
    result = train(x, order, noise)
    if noise.flags.writeable:
        noise *= 0
    return result


def _only_in_training(name: str, wrong: Any) -> Patch:
    """`wrong(true, *arguments)` in the place of a function during steps alone: `gradients` and `losses` are right."""

    def patch(subject: Any, _: pytest.MonkeyPatch) -> None:
        step, true = subject.Oracle._train_step, getattr(subject, name)

        def wrong_step(model: Any, x: Real, noise: Real) -> Any:
            setattr(subject, name, lambda *arguments: wrong(true, *arguments))
            try:
                return step(model, x, noise)
            finally:
                setattr(subject, name, true)

        subject.Oracle._train_step = wrong_step

    return patch


def _mutant(
    name: str,
    bug: str,
    source: str,
    pitfall: str,
    clause: str,
    flag: str | None,
    *rejected_by: str,
    patch: Patch,
) -> Mutant:
    return Mutant(name, bug, source, pitfall, clause, flag, rejected_by, patch)


MUTANTS: Final = (
    _mutant(
        "short-batch-padded",
        "short last batch padded with rows of its own",
        "tensorflow/tensorflow#38596",
        "P11",
        "recipe",
        "short-last-batch",
        "training/short-last-batch",
        "training/tiny-recipe",
        patch=_train(_padded),
    ),
    _mutant(
        "short-batch-dropped",
        "short last batch reported but not trained on",
        "tensorflow/tensorflow#27993",
        "P11",
        "recipe",
        "short-last-batch",
        "training/short-last-batch",
        "training/tiny-recipe",
        patch=_train(_dropped),
    ),
    _mutant(
        "short-batch-weighs-full",
        "short last batch weighs as much as a full one",
        "tensorflow/tensorflow#38165",
        "P11",
        "loss.reported",
        "short-last-batch",
        "training/short-last-batch",
        "training/tiny-recipe",
        patch=_train(_weighted_as_full),
    ),
    _mutant(
        "objective-per-image",
        "train reports the average of the batch",
        "huggingface/transformers#9771",
        "P04",
        "loss.reported",
        "post-update-objective",
        "training/tiny",
        _BEFORE,
        patch=_train(lambda train, model, x, order, noise: train(x, order, noise) / noise.dtype.type(order.shape[1])),
    ),
    _mutant(
        "objective-after-update",
        "objective taken after the update",
        "google/flax#4087",
        "P32",
        "loss.reported",
        "post-update-objective",
        "training/tiny",
        _BEFORE,
        patch=on_method("_train_step", _after_update),
    ),
    _mutant(
        "objectives-of-call-start",
        "every step reports what the parameters at the start of the call give",
        "none found",
        "P32",
        "loss.reported",
        "post-update-objective",
        "training/tiny",
        _SPLIT,
        patch=_train(_stale_params),
    ),
    _mutant(
        "noise-of-first-step",
        "one step's noise for all steps",
        "pytorch/pytorch#5059",
        "P27",
        "recipe",
        "reused-noise",
        "training/tiny",
        _SPLIT,
        patch=_train(
            lambda train, model, x, order, noise: train(
                x, order, np.ascontiguousarray(np.broadcast_to(noise[:1], noise.shape))
            )
        ),
    ),
    _mutant(
        "order-ignored",
        "batches are consecutive rows whatever the order says",
        "kmonachopoulos/ImageNet-to-TFrecord#4",
        "P32",
        "recipe",
        "reused-noise",
        "training/tiny",
        _BEFORE,
        patch=_train(
            lambda train, model, x, order, noise: train(x, np.arange(order.size).reshape(order.shape) % len(x), noise)
        ),
    ),
    _mutant(
        "rows-sorted-in-batch",
        "rows of a batch sorted, their noise not",
        "tensorflow/tensorflow#11010",
        "P32",
        "recipe",
        "reused-noise",
        "training/tiny",
        _BEFORE,
        patch=_train(lambda train, model, x, order, noise: train(x, np.sort(order, axis=1), noise)),
    ),
    _mutant(
        "data-remembered-by-identity",
        "a data set that may change is read once for each array",
        "eradiate/eradiate#315",
        "P32",
        "recipe",
        None,
        "training::test_data_may_change_between_calls",
        patch=_train(_remembered_by_identity),
    ),
    _mutant(
        "data-remembered",
        "the first data set is used at every later call",
        "optiland/optiland#632",
        "P32",
        "recipe",
        None,
        "training::test_data_may_change_between_calls",
        patch=_train(_remembered),
    ),
    _mutant(
        "held-data-aliased",
        "hold keeps the caller's array",
        "jax-ml/jax#37830",
        "P33",
        "input",
        None,
        "training::test_data_may_change_between_calls",
        patch=on_method("hold", _held_alias),
    ),
    _mutant(
        "held-data-overwritten",
        "the next data set that is held takes the place of the one before",
        "Megvii-BaseDetection/YOLOX#1655",
        "P32",
        "recipe",
        None,
        "training::test_data_may_change_between_calls",
        patch=on_method("hold", _held_in_one_place),
    ),
    _mutant(
        "held-data-unchecked",
        "images are not looked at when they are held: NaN and pixels outside [0, 1] are taken",
        "yzhao062/pyod#609",
        "P35",
        "input",
        None,
        "errors::test_training_images_leave_the_model_alone",
        patch=on_method("hold", _held_unchecked),
    ),
    _mutant(
        "held-order-unchecked",
        "rows outside data that are held are clamped",
        "jax-ml/jax#278",
        "P35",
        "input",
        None,
        "errors::test_order",
        patch=on_method("train", _held_order_unchecked),
    ),
    _mutant(
        "noise-overwritten",
        "train overwrites the noise it is given",
        "pysheds/pysheds#154",
        "P33",
        "input",
        None,
        _SPLIT,
        patch=_train(_argument_changed),
    ),
    _mutant(
        "step-counts-calls",
        "Adam's step goes up once a call",
        "deepspeedai/DeepSpeed#564",
        "P34",
        "adam",
        "bias-correction",
        "training/tiny",
        _SPLIT,
        patch=_train(_step_per_call),
    ),
    _mutant(
        "optimiser-per-call",
        "a new optimiser at every call of train",
        "OpenNMT/OpenNMT-py#617",
        "P34",
        "adam",
        "short-last-batch",
        "training/short-last-batch",
        _SPLIT,
        patch=_train(_moments_anew),
    ),
    _mutant(
        "compiled-step-clips",
        "the training step alone clips probabilities at 1e-7, and so loses the gradient where they saturate",
        "tensorflow/tensorflow#118313",  # there the other way round: eager clips, compiled does not
        "P26",
        "loss.bce.logits",
        None,
        "training::test_a_step_follows_the_gradients_of",
        patch=_only_in_training(
            "cross_entropy_slope",
            lambda true, logits, *rest: np.where(np.abs(logits) < -np.log(1e-7), true(logits, *rest), 0.0),
        ),
    ),
    _mutant(
        "gradients-add-up",
        "gradients of earlier calls are not cleared",
        "pytorch/pytorch#47175",
        "P32",
        "loss.objective",
        None,
        "gradients::test_model_is_left_as_it_was",
        patch=on_method("gradients", _gradients_not_cleared),
    ),
    _mutant(
        "gradients-train",
        "asking for gradients takes a step",
        "none found",
        "P32",
        "loss.objective",
        None,
        "gradients::test_model_is_left_as_it_was",
        patch=on_method("gradients", _gradients_move),
    ),
)
