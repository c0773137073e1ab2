"""The weights that a wrong objective gives to its two terms: estimated, named, and tested like any other hypothesis."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np

from vae_rosetta.conformance.explainer.fit import Seen
from vae_rosetta.conformance.explainer.model_hypotheses import Hypothesis
from vae_rosetta.conformance.explainer.rules import Rules
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes

Answer = Callable[[Rules], Mapping[str, Array]]

_NEAR: Final = 1e-3  # an estimate this near, relative to it, is taken for the round number
_SURE: Final = 8.0  # an estimated number that is no round one is named only where the truth is this far away
_ENOUGH: Final = 3  # elements that an estimate must rest on


def weight_hypotheses(seen: Seen, sizes: Sizes, batch: int, answer: Answer) -> Iterator[Hypothesis]:
    """Objectives a reconstruction + b kl with the a and b that come nearest to what was seen.

    `answer` computes the vector under given rules.
    """
    operation = seen.vector.operation
    if operation == "losses":
        parts = ({"reconstruction": seen.expected["reconstruction"]}, {"kl": seen.expected["kl"]})
    elif operation == "gradients":
        alone = answer(Rules(kl_weight=0.0))
        parts = (dict(alone), {name: seen.expected[name] - value for name, value in alone.items()})
    else:
        yield from _of_training(seen, sizes, batch, answer)
        return
    a, b = _estimated(seen, *parts)
    round_a, round_b = (_rounded(weight, sizes, batch) for weight in (a, b))
    rules = Rules(reconstruction_weight=round_a, kl_weight=round_b)
    if (round_a, round_b) == (1.0, 1.0):
        return
    if (_is_round(round_a, sizes, batch) and _is_round(round_b, sizes, batch)) or _rests(seen):
        yield Hypothesis(*named(round_a, round_b, sizes, batch), rules)


def named(a: float, b: float, sizes: Sizes, batch: int) -> tuple[str, str]:
    """The cause, and what is particular about it, of an objective a reconstruction + b kl."""
    pixels, _, latents = sizes
    if a == b:
        causes = {-1.0: "sign", 1 / batch: "batch-mean", 1 / (batch * pixels): "whole-mean"}
        return causes.get(a, "scale"), "" if a == -1.0 else f"every term is {_text(a)} of what it should be"
    if a == 1.0:
        detail = f"its weight is {_text(b)}"
        if b == 0.0:
            return "inert-kl", ""
        if b == -1.0:
            return "kl-sign", ""
        causes = {2.0: "kl-half", 0.5: "kl-half", 1 / pixels: "kl-pixel-mean", 1 / latents: "kl-latent-mean"}
        return causes.get(b, "batch-mean" if b == 1 / batch else "kl-weight"), detail
    detail = f"the reconstruction's weight is {_text(a)}, that of the KL term {_text(b)}"
    detail += f"; effective beta {b / a:.4g}" if a else ""
    if a == 1 / (batch * pixels):
        return "whole-mean", detail
    causes = {1 / pixels: "pixel-mean", 1 / batch: "batch-mean", -1.0: "sign"}
    return causes.get(a, "reconstruction-weight"), detail


def named_weights(sizes: Sizes, batch: int) -> Iterator[Hypothesis]:
    """The weights that have a name, each under that name, for a model of these sizes. Where sizes are equal, several
    have the same weights."""
    pixels, _, latents = sizes
    weights = {
        "pixel-mean": [(1 / pixels, 1.0)],
        "whole-mean": [(1 / (batch * pixels), 1.0), (1 / (batch * pixels), 1 / batch)],
        "batch-mean": [(1 / batch, 1 / batch)],
        "kl-latent-mean": [(1.0, 1 / latents)],
        "kl-pixel-mean": [(1.0, 1 / pixels)],
        "kl-half": [(1.0, 2.0), (1.0, 0.5)],
        "inert-kl": [(1.0, 0.0)],
        "kl-sign": [(1.0, -1.0)],
        "sign": [(-1.0, -1.0)],
    }
    for cause, pairs in weights.items():
        for a, b in pairs:
            yield Hypothesis(cause, named(a, b, sizes, batch)[1], Rules(reconstruction_weight=a, kl_weight=b))


def _of_training(seen: Seen, sizes: Sizes, batch: int, answer: Answer) -> Iterator[Hypothesis]:
    pixels, _, latents = sizes
    ones = [(1.0, b) for b in (0.0, -1.0, 1 / latents, 1 / pixels, 2.0, 0.5, 0.1)]
    for a, b in [(1 / pixels, 1.0), (1 / pixels, 1 / latents), *ones, (1 / pixels, 1 / pixels)]:
        if (a, b) != (1.0, 1.0):
            cause, detail = named(a, b, sizes, batch)
            yield Hypothesis(cause, detail, Rules(reconstruction_weight=a, kl_weight=b))
            both = Rules(reconstruction_weight=a, kl_weight=b, per_image=True, reported_per_image=True)
            yield Hypothesis(cause, f"{detail}; and a mean over the batch".removeprefix("; "), both)


def _estimated(seen: Seen, first: Mapping[str, Array], second: Mapping[str, Array]) -> tuple[float, float]:
    """Weighted least squares over all elements: actual = a first + b second. 1 where a part is nothing."""
    columns: list[list[Array]] = [[], [], []]
    for name, expected in seen.expected.items():
        zero = np.zeros(expected.shape)
        room = seen.room(name, expected)
        for column, value in zip(columns, (first.get(name, zero), second.get(name, zero), seen.actual[name])):
            with np.errstate(all="ignore"):
                column.append((np.asarray(value, np.float64) / room).ravel())
    basis = np.stack([np.concatenate(columns[0]), np.concatenate(columns[1])], axis=1)
    target = np.concatenate(columns[2])
    usable = np.isfinite(basis).all(axis=1) & np.isfinite(target) & (np.abs(basis) < 1e150).all(axis=1)
    basis, target = basis[usable], target[usable]
    present = np.abs(basis).max(axis=0, initial=0.0) > 0.0
    weights = np.ones(2)
    if present.any() and np.isfinite(target).all():
        weights[present] = np.linalg.lstsq(basis[:, present], target, rcond=None)[0]
    return float(weights[0]), float(weights[1])


def _rests(seen: Seen) -> bool:
    elements = sum(int(np.count_nonzero(seen.expected[name])) for name in seen.wrong)
    return seen.distance >= _SURE and elements >= _ENOUGH


def _round_numbers(sizes: Sizes, batch: int) -> tuple[float, ...]:
    pixels, _, latents = sizes
    counts = (float(latents), float(pixels), float(batch), float(batch * pixels), float(batch * latents), 2.0)
    return (1.0, 0.0, -1.0, *(1 / count for count in counts), *counts)


def _is_round(weight: float, sizes: Sizes, batch: int) -> bool:
    return weight in _round_numbers(sizes, batch)


def _rounded(weight: float, sizes: Sizes, batch: int) -> float:
    for number in _round_numbers(sizes, batch):
        if abs(weight - number) <= _NEAR * abs(number) or (number == 0.0 and abs(weight) < 1e-6):
            return number
    return weight


def _text(weight: float) -> str:
    if 0.0 < abs(weight) < 1.0 and abs(1 / weight - round(1 / weight)) < 1e-6:
        return f"{'-' if weight < 0 else ''}1/{abs(round(1 / weight))}"
    return f"{weight:.4g}"
