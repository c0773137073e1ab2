"""Wrong training loops: batches, noise, the order of things within a step."""

import copy
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


MUTANTS: Final = (
    Mutant("short-batch-padded", "", ("training/short-last-batch", "training/tiny-recipe"), _train(_padded)),
    Mutant(
        "short-batch-dropped",
        "its objective is reported",
        ("training/short-last-batch", "training/tiny-recipe"),
        _train(_dropped),
    ),
    Mutant(
        "short-batch-reweighted", "", ("training/short-last-batch", "training/tiny-recipe"), _train(_weighted_as_full)
    ),
    Mutant(
        "batch-mean",
        "of the objective that train reports",
        ("training/tiny", _BEFORE),
        _train(lambda train, model, x, order, noise: train(x, order, noise) / noise.dtype.type(order.shape[1])),
    ),
    Mutant("post-update-objective", "", ("training/tiny", _BEFORE), on_method("_train_step", _after_update)),
    Mutant("stale-objective", "", ("training/tiny", _SPLIT), _train(_stale_params)),
    Mutant(
        "noise-shared-by-steps",
        "",
        ("training/tiny", _SPLIT),
        _train(
            lambda train, model, x, order, noise: train(
                x, order, np.ascontiguousarray(np.broadcast_to(noise[:1], noise.shape))
            )
        ),
    ),
    Mutant(
        "order-ignored",
        "",
        ("training/tiny", _BEFORE),
        _train(
            lambda train, model, x, order, noise: train(x, np.arange(order.size).reshape(order.shape) % len(x), noise)
        ),
    ),
    Mutant(
        "rows-sorted",
        "",
        ("training/tiny", _BEFORE),
        _train(lambda train, model, x, order, noise: train(x, np.sort(order, axis=1), noise)),
    ),
    Mutant(
        "not-trained",
        "",
        ("training/tiny", _SPLIT),
        on_method("train", lambda true, model, *given: true(copy.deepcopy(model), *given)),
    ),
    Mutant(
        "data-remembered",
        "for each array, which may have changed",
        ("training::test_data_may_change_between_calls",),
        _train(_remembered_by_identity),
    ),
    Mutant(
        "data-remembered",
        "the first of its shape",
        ("training::test_data_may_change_between_calls",),
        _train(_remembered),
    ),
    Mutant(
        "arrays-shared",
        "by hold",
        ("training::test_data_may_change_between_calls",),
        on_method("hold", _held_alias),
    ),
    Mutant(
        "held-data-overwritten",
        "",
        ("training::test_data_may_change_between_calls",),
        on_method("hold", _held_in_one_place),
    ),
    Mutant(
        "bad-input-taken",
        "NaN in images that are held",
        ("errors::test_training_images_leave_the_model_alone",),
        on_method("hold", _held_unchecked),
    ),
    Mutant(
        "bad-input-taken",
        "rows outside images that are held",
        ("errors::test_order",),
        on_method("train", _held_order_unchecked),
    ),
    Mutant("argument-changed", "noise, by train", (_SPLIT,), _train(_argument_changed)),
    Mutant("step-count", "once a call", ("training/tiny", _SPLIT), _train(_step_per_call)),
    Mutant("moments-forgotten", "", ("training/short-last-batch", _SPLIT), _train(_moments_anew)),
    Mutant(
        "compiled-differs",
        "it clips probabilities at 1e-7",
        ("training::test_a_step_follows_the_gradients_of",),
        _only_in_training(
            "cross_entropy_slope",
            lambda true, logits, *rest: np.where(np.abs(logits) < -np.log(1e-7), true(logits, *rest), 0.0),
        ),
    ),
    Mutant(
        "gradients-accumulated",
        "over calls of gradients",
        ("gradients::test_model_is_left_as_it_was",),
        on_method("gradients", _gradients_not_cleared),
    ),
    Mutant(
        "gradients-train", "", ("gradients::test_model_is_left_as_it_was",), on_method("gradients", _gradients_move)
    ),
)
