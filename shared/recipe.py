"""The training recipe: one loop for every backend, built on the contract's `train(x, order, noise)`.

Each epoch takes the order of images and their noise from the portable stream, so the same seed and data give every
backend the same batches with the same noise; where pixels are binarised, the same bits too. A run of E epochs equals a
run of k epochs, resumed from its state with `first_epoch=k`.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from vae_rosetta.shared import binarisation, checks, parameters, passes, spec, stream
from vae_rosetta.shared.contract import Array, Held, Model, Trainable
from vae_rosetta.shared.stream import Purpose

# Bounds the wait between two progress reports; an epoch of MNIST at batch 128 is 469 steps.
MAX_STEPS_PER_CALL: Final = 512


class Evaluation(NamedTuple):
    """Average loss per image in nats, z drawn once per image: an estimate of the negative ELBO."""

    objective: float
    reconstruction: float
    kl: float


class Epoch(NamedTuple):
    """What one epoch did."""

    number: int  # from 1
    step_objectives: Array  # (K,): each step's objective, summed over its batch, before its update
    objective: float  # training objective per image, each image weighing the same
    seconds: float  # spent training, evaluation left out
    images_per_second: float
    test: Evaluation | None


def epoch_order(seed: int, epoch: int, images_count: int) -> Array:
    """The order in which epoch `epoch` (from 0) visits the images, (N,)."""
    return stream.permutation(seed, Purpose.ORDER, epoch, images_count)


def epoch_noise(seed: int, epoch: int, images_count: int, latent_dim: int) -> Array:
    """The noise of epoch `epoch` (from 0), (N, L): row i is for the i-th image that the epoch visits."""
    return stream.normal(seed, Purpose.NOISE, epoch, (images_count, latent_dim))


def held(model: Trainable, x: Array | Held[Any]) -> Any:
    """What to train `model` on many times: a handle on the images x (N, D), or x itself if the model offers no `hold`.

    A handle is returned as it is.

    Raises:
        TypeError, ValueError: the model refuses x.
    """
    hold = getattr(model, "hold", None)
    return x if hold is None or not isinstance(x, np.ndarray) else hold(x)


def fit(
    model: Trainable,
    x: Array | Held[Any],
    *,
    seed: int,
    epochs: int = spec.EPOCHS,
    batch_size: int = spec.BATCH_SIZE,
    first_epoch: int = 0,
    binarise: str = "none",
    test: Array | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Iterator[Epoch]:
    """Trains `model` in place and yields after every epoch. Arguments are checked at once, work begins with `next`.

    Args:
        model: freshly loaded, or holding the state that `first_epoch` epochs left.
        x: images (N, D), which must not change before the last epoch; or, unless they are binarised, a handle on them
            (`held`). A model that offers `hold` has them on its device once: all along, or an epoch's bits in turn.
        seed: of order and noise; the initial weights are the caller's.
        epochs: number of the last epoch.
        batch_size: images a step; a short last batch is kept.
        first_epoch: epochs already done.
        binarise: "none", or "dynamic": each epoch sees its own draw of black and white pixels, in `x`'s order.
        test: images to evaluate after every epoch, as they are.
        progress: called during an epoch with the images done in it and their average objective.

    Raises:
        TypeError, ValueError: a bad argument; the message names it.
    """
    sizes = parameters.sizes_of_model(model)
    if checks.one_of("binarise", binarise, binarisation.TRAINABLE) != "none":
        checks.images(x, sizes.input_dim, rows="N")  # now, since the model will see the bits alone
    epochs, batch_size = checks.count("epochs", epochs), checks.count("batch_size", batch_size)
    first_epoch = checks.count("first_epoch", first_epoch, least=0)
    seed = stream.check_seed(seed)
    numbers = range(first_epoch, epochs)
    return _epochs(model, x, seed, numbers, batch_size, sizes.latent_dim, binarise, test, progress)


def _epochs(
    model: Trainable,
    x: Any,
    seed: int,
    numbers: range,
    batch_size: int,
    latent_dim: int,
    binarise: str,
    test: Array | None,
    progress: Callable[[int, float], None] | None,
) -> Iterator[Epoch]:
    images: Any = None
    for epoch in numbers:
        started = time.perf_counter()
        objectives = []
        trained = 0
        if images is None:
            images = held(model, x if binarise == "none" else binarisation.dynamic(x, seed, epoch))
        order = epoch_order(seed, epoch, len(x))
        noise = epoch_noise(seed, epoch, len(x), latent_dim)
        for rows in _calls(len(x), batch_size):
            count = rows.stop - rows.start
            batch = min(batch_size, count)
            steps = order[rows].reshape(-1, batch)  # (K, B)
            objectives.append(model.train(images, steps, noise[rows].reshape(*steps.shape, latent_dim)))
            trained += count
            if progress is not None:
                progress(trained, float(np.sum(np.concatenate(objectives), dtype=np.float64)) / trained)
        if binarise != "none":
            images = None  # these bits leave the device before the next are put there
        seconds = time.perf_counter() - started
        step_objectives = np.concatenate(objectives)
        yield Epoch(
            number=epoch + 1,
            step_objectives=step_objectives,
            objective=float(np.sum(step_objectives, dtype=np.float64)) / len(x),
            seconds=seconds,
            images_per_second=len(x) / seconds,
            test=None if test is None else evaluate(model, test, seed=seed),
        )


def evaluate(model: Model, x: Array, *, seed: int, draw: int = 0) -> Evaluation:
    """Average losses of `model` on x (N, D), z drawn once per image with noise from stream (seed, EVALUATION, draw).

    Sums are kept in float64 over images, so that the result hardly depends on how the images are split into calls.

    Raises:
        TypeError, ValueError: a bad argument; the message names it.
    """
    noise = passes.noise(seed, draw, len(x), parameters.sizes_of_model(model).latent_dim)
    sums = np.zeros(2)
    for _, losses in passes.batched_losses(model, x, noise):
        sums += [np.sum(loss, dtype=np.float64) for loss in losses]
    reconstruction, kl = (float(total) / len(x) for total in sums)
    return Evaluation(reconstruction + kl, reconstruction, kl)


def _calls(images_count: int, batch_size: int) -> Iterator[slice]:
    """The rows of each call to `train`: full batches, at most MAX_STEPS_PER_CALL a call, then the short last batch."""
    full = images_count - images_count % batch_size
    width = batch_size * MAX_STEPS_PER_CALL
    for start in range(0, full, width):
        yield slice(start, min(start + width, full))
    if full < images_count:
        yield slice(full, images_count)
