"""Causes that show in the wrong answer itself, with nothing computed anew: layout, order, names, counts."""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np

from vae_rosetta.conformance.explainer.fit import Seen
from vae_rosetta.shared.contract import Array, Tensors
from vae_rosetta.shared.oracle import load
from vae_rosetta.shared.spec import PARAMETER_NAMES, Sizes
from vae_rosetta.shared.vectors import Vector

# What tells standard normals from other numbers. One draw of 12 in 2,000 has a root mean square out of these bounds.
# One in 1,000 is as like to another draw: likeness is the cosine between them.
_ENOUGH: Final = 12
_LEAST, _MOST, _LIKE = 0.4, 2.0, 0.8
_LONGEST: Final = 64  # axes longer than this are not searched for a permutation


class Finding(NamedTuple):
    """One cause that fits."""

    cause: str  # the id of a bug in the catalogue, shared.bugs
    detail: str  # what is particular about it; may be empty


def shapes(vector: Vector, answer: Tensors) -> Finding | None:
    """An array of another shape: transposed, or summed too far."""
    for name, expected in vector.expected.items():
        actual = answer[name]
        if actual.shape == expected.shape:
            continue
        detail = f"{name} has shape {actual.shape}, not {expected.shape}"
        if actual.shape == expected.shape[::-1]:
            return Finding("transposed-weights", detail)
        return Finding("batch-total" if actual.size == 1 and vector.operation == "losses" else "wrong-shape", detail)
    return None


def direct_findings(seen: Seen, params: Tensors, sizes: Sizes) -> Iterator[Finding]:
    """Every cause of this kind that accounts for all wrong tensors."""
    for found in (_step_count(seen), _not_trained(seen, params), _swapped_names(seen), _transposed(seen)):
        if found is not None:
            yield found
    found = _permuted(seen, sizes) or _batch_total(seen)
    if found is not None:
        yield found


def own_noise(seen: Seen, params: Tensors) -> list[Finding]:
    """Latents that another noise explains: standard normals, which are not those that were given.

    This is a matter of statistics, and says little of few numbers. It comes after all other causes.
    """
    wrong = set(seen.wrong)
    if seen.vector.operation not in ("forward", "reparameterize") or "z" not in wrong or wrong - {"z", "logits"}:
        return []
    known = {**seen.expected, **seen.vector.inputs}
    mu, logvar, given = (np.asarray(known[name], np.float64) for name in ("mu", "logvar", "noise"))
    z = seen.actual["z"].astype(np.float64)
    with np.errstate(all="ignore"):
        noise = (z - mu) * np.exp(-logvar / 2)
        size = np.sqrt(np.mean(noise**2))
        likeness = abs(np.sum(noise * given)) / np.sqrt(np.sum(noise**2) * np.sum(given**2))
    if noise.size < _ENOUGH or not (_LEAST < size < _MOST and likeness < _LIKE):
        return []
    decoded = "logits" not in wrong or _near(seen, "logits", load(params, dtype="float64").decode(z))
    return [Finding("own-noise", "")] if decoded else []


def _near(seen: Seen, name: str, candidate: Array) -> bool:
    return candidate.shape == seen.actual[name].shape and seen.away(name, candidate) <= seen.limit()


def _step_count(seen: Seen) -> Finding | None:
    if seen.wrong == ["adam.step"]:
        return Finding("step-count", f"{seen.actual['adam.step']} after {seen.expected['adam.step']} updates")
    return None


def _not_trained(seen: Seen, params: Tensors) -> Finding | None:
    if seen.vector.operation != "train":
        return None
    stale = [name for name in seen.wrong if name in PARAMETER_NAMES]
    same = all(np.array_equal(seen.actual[name], params[name].astype(seen.dtype)) for name in stale)
    right = all(name.startswith("adam.") or name in PARAMETER_NAMES for name in seen.wrong)
    return Finding("not-trained", "") if stale and same and right else None


def _swapped_names(seen: Seen) -> Finding | None:
    pairs = []
    for name in seen.wrong:
        others = [n for n, e in seen.expected.items() if n != name and e.shape == seen.expected[name].shape]
        match = next((n for n in others if _near(seen, name, seen.expected[n])), None)
        if match is None or not _informative(seen.expected[match]):
            return None
        pairs.append((name, match))
    if not pairs or any((b, a) not in pairs for a, b in pairs):
        return None
    return Finding("names-swapped", f"{pairs[0][0]} and {pairs[0][1]}")


def _informative(value: Array) -> bool:
    return value.dtype.kind == "f" and np.unique(value).size > 1


def _transposed(seen: Seen) -> Finding | None:
    square = [n for n in seen.wrong if seen.expected[n].ndim == 2 and len({*seen.expected[n].shape}) == 1]
    if square and square == seen.wrong and all(_near(seen, n, seen.expected[n].T) for n in square):
        return Finding("transposed-weights", ", ".join(square[:3]))
    return None


def _permuted(seen: Seen, sizes: Sizes) -> Finding | None:
    """One permutation of rows, of latents or of pixels that every wrong tensor shows."""
    if seen.vector.operation not in ("forward", "losses", "gradients") or seen.vector.arguments.get("summarise"):
        return None
    found = [_permutations(seen, name) for name in seen.wrong]
    if not found or not all(found):
        return None
    common = set.intersection(*({permutation for _, permutation in each} for each in found))
    if not common:
        return None
    permutation = min(common)
    axis = next(axis for axis, each in found[0] if each == permutation)
    rows = seen.vector.operation != "gradients" and axis == 0
    pixels, hidden, latents = sizes
    names = {pixels: "pixels", hidden: "hidden units", latents: "latents"}
    what = "rows of the batch" if rows else names.get(len(permutation), "columns")
    order = ", ".join(map(str, permutation[:8])) + (", ..." if len(permutation) > 8 else "")
    return Finding("rows-permuted" if rows else "columns-permuted", f"{what}: {order}")


def _permutations(seen: Seen, name: str) -> list[tuple[int, tuple[int, ...]]]:
    actual, expected = seen.actual[name], seen.expected[name]
    if expected.dtype.kind != "f":
        return []
    room = seen.room(name, expected)
    found = []
    for axis, length in enumerate(expected.shape):
        if not 1 < length <= _LONGEST:
            continue
        a, e, r = (
            np.moveaxis(np.asarray(t, np.float64), axis, 0).reshape(length, -1) for t in (actual, expected, room)
        )
        with np.errstate(invalid="ignore"):
            ratio = np.max(np.abs(a[:, None] - e[None]) / np.maximum(r[None], r.max() * 1e-3), axis=2)  # (to, from)
        fits = ratio <= seen.limit()
        best = tuple(int(i) for i in ratio.argmin(axis=1))
        if fits.sum(axis=1).tolist() == [1] * length and sorted(best) == list(range(length)) != list(best):
            found.append((axis, best))
    return found


def _batch_total(seen: Seen) -> Finding | None:
    if seen.vector.operation != "losses":
        return None
    reductions: dict[str, Callable[[Array], float]] = {"mean": np.mean, "sum": np.sum}
    for text, reduce in reductions.items():
        wrong = {name: np.full(seen.expected[name].shape, reduce(seen.expected[name])) for name in seen.wrong}
        if all(len(value) > 1 and _near(seen, name, value) for name, value in wrong.items()):
            return Finding("batch-total", f"the {text} over the batch in every row of {', '.join(seen.wrong)}")
    return None
