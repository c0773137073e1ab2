"""Calling a loss that is a black box: in which place each argument goes, and what of its answer is the total.

Symbols: B batch, D pixels, L latents, E elements of the answer.
"""

import inspect
import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import numpy as np

from vae_rosetta.conformance.audit.tensors import Framework, to_numpy
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.oracle import Real

ROLES: Final = ("recon", "x", "mu", "logvar")

# Parameter names that say which argument is meant, as public losses have them.
KNOWN_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "recon": (
        *("recon", "recons", "recon_x", "x_recon", "reconstruction", "reconstructions", "reconstructed", "x_hat"),
        *("xhat", "y_pred", "pred", "preds", "prediction", "logits", "recon_logits", "decoded", "outputs", "output"),
        *("x_decoded_mean", "x_decoded", "probabilities", "x_reconstructed", "recon_batch"),
    ),
    "x": ("x", "target", "targets", "data", "y_true", "inputs", "input", "labels", "batch", "image", "images", "y"),
    "mu": ("mu", "mean", "z_mean", "z_mu", "mus", "loc", "means", "q_mu"),
    "logvar": (
        *("logvar", "log_var", "z_log_var", "z_logvar", "log_variance", "logsigma", "log_sigma", "z_log_sigma"),
        *(
            "log_std",
            "logstd",
            "std",
            "sigma",
            "var",
            "variance",
            "scale",
            "z_log",
            "z_std",
            "sd",
            "stddev",
            "q_logvar",
        ),
    ),
}
TOTALS: Final = ("loss", "total", "total_loss", "objective", "vae_loss", "elbo", "negative_elbo", "nelbo", "neg_elbo")


class AuditError(Exception):
    """The loss cannot be examined; the message says why, in one line."""


class Slot(NamedTuple):
    """One argument of the loss: passed by `keyword`, or by its place; `role` where a name or the user told it."""

    label: str
    keyword: str | None
    role: str | None


class Answer(NamedTuple):
    """What one call returned: one number for each element that holds one, a per-sample vector summed."""

    kind: str  # scalar, vector, tuple, dict
    names: tuple[str, ...]
    places: tuple[int, ...]  # of the elements in the tuple or dict
    values: Real  # (E,)
    per_sample: tuple[bool, ...]
    ignored: tuple[str, ...]
    dtype: str


def slots(loss: Callable[..., Any], arguments: Sequence[str] | None) -> tuple[Slot, ...]:
    """The four arguments: as told ("recon" by place, "y_pred=recon" by keyword), else by the parameters' names.

    Raises:
        AuditError: `arguments` does not name each of recon, x, mu and logvar once.
    """
    if arguments is not None:
        pairs = [text.rpartition("=") for text in arguments]
        if sorted(role for *_, role in pairs) != sorted(ROLES):
            raise AuditError(f"--arguments: got {','.join(arguments)!r}; expected each of {', '.join(ROLES)} once")
        return tuple(
            Slot(keyword or f"argument {i}", keyword or None, role) for i, (keyword, _, role) in enumerate(pairs)
        )
    try:
        body = next((getattr(loss, name) for name in ("forward", "call") if hasattr(loss, name)), loss)
        parameters = list(inspect.signature(body).parameters.values())
    except (TypeError, ValueError):  # built in C, or compiled: it does not tell
        parameters = []
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    chosen = [p for p in named if p.default is p.empty][:4]
    chosen += [p for p in named if p not in chosen][: 4 - len(chosen)]
    if len(chosen) < 4:
        return tuple(Slot(f"argument {i}", None, None) for i in range(4))
    roles = [_role(p.name) for p in chosen]
    known = sorted(r for r in roles if r) == sorted(ROLES)
    keywords = [p.name if p.kind is p.KEYWORD_ONLY else None for p in chosen]
    return tuple(Slot(p.name, k, r if known else None) for p, k, r in zip(chosen, keywords, roles, strict=True))


def placements(found: Sequence[Slot]) -> Iterator[tuple[int, int, int, int]]:
    """Ways to lay (image, image, latent, latent) over the four slots, by the roles if they are known, then all."""
    roles = [slot.role for slot in found]
    if None not in roles:
        first = tuple(roles.index(role) for role in ROLES)
        yield first  # type: ignore[misc]  # four indices
    for images in itertools.combinations(range(4), 2):
        a, b = (i for i in range(4) if i not in images)
        yield (*images, a, b)


class Probe:
    """The loss as a function of two images and two latents, in one framework and one precision."""

    def __init__(
        self, loss: Callable[..., Any], framework: Framework, found: Sequence[Slot], order: Sequence[int], dtype: str
    ) -> None:
        self.loss, self.framework, self.slots = loss, framework, tuple(found)
        self.order, self.dtype = tuple(order), dtype  # order[k]: the slot of the k-th of (image, image, latent, latent)

    def with_dtype(self, dtype: str) -> "Probe":
        return Probe(self.loss, self.framework, self.slots, self.order, dtype)

    def reordered(self, swap_images: bool, swap_latents: bool) -> "Probe":
        """The same with the two images, or the two latents, changing places."""
        a, b, c, d = self.order
        order = (*((b, a) if swap_images else (a, b)), *((d, c) if swap_latents else (c, d)))
        return Probe(self.loss, self.framework, self.slots, order, self.dtype)

    def stored(self, array: Array) -> Real:
        """`array` as the loss is given it: rounded to its precision, and in float64 for the formulas."""
        return array.astype(self.dtype).astype(np.float64)

    def answer(self, *arrays: Array) -> Answer:
        """The loss at (image, image, latent, latent).

        Raises:
            AuditError: the loss raises an error, or its answer holds no number.
        """
        with self.framework.scope(), _quiet():
            tensors = [self.framework.tensor(array.astype(self.dtype)) for array in arrays]
            return _answer(self._call(tensors), len(arrays[0]))

    def total(self, weights: Real, *arrays: Array) -> float:
        """The answer's elements, weighted (E,) and added."""
        with np.errstate(all="ignore"):
            return float(np.sum(self.answer(*arrays).values[weights != 0] * weights[weights != 0]))

    def changed(self, *arrays: Array) -> list[str]:
        """Labels of the arguments that a call changes."""
        with self.framework.scope(), _quiet():
            before = [array.astype(self.dtype) for array in arrays]
            tensors = [self.framework.tensor(array.copy()) for array in before]
            self._call(tensors)
            after = [to_numpy(tensor) for tensor in tensors]
        pairs = zip(before, after, self.order, strict=True)
        return [self.slots[place].label for was, now, place in pairs if not np.array_equal(was, now)]

    def gradient(self, weights: Real, which: int, *arrays: Array) -> Real | None:
        """Autodiff's derivative of the total by the array `which`; None where the framework or the loss has none."""
        if self.framework.gradient is None:
            return None

        places = self.answer(*arrays).places

        def total(tensor: Any) -> Any:
            given = [tensor if i == which else t for i, t in enumerate(tensors)]
            _, items, _ = _items(self._call(given))
            return sum(float(w) * self.framework.total(items[i]) for w, i in zip(weights, places, strict=True) if w)

        with self.framework.scope(), _quiet():
            tensors = [self.framework.tensor(array.astype(self.dtype)) for array in arrays]
            try:
                found = self.framework.gradient(total, arrays[which].astype(self.dtype))
            except Exception:  # the loss detaches, or leaves the framework: finite differences remain
                return None
            return to_numpy(found).astype(np.float64)

    def _call(self, tensors: Sequence[Any]) -> Any:
        by_slot = dict(zip(self.order, tensors, strict=True))
        positional = [by_slot[i] for i, slot in enumerate(self.slots) if slot.keyword is None]
        keywords = {slot.keyword: by_slot[i] for i, slot in enumerate(self.slots) if slot.keyword is not None}
        try:
            return self.loss(*positional, **keywords)
        except Exception as error:  # a stranger's code may raise anything
            text = (str(error).strip() or "no message").splitlines()[0]
            raise AuditError(f"it raises {type(error).__name__}: {text}") from error


def choose_total(answer: Answer, on_images: Sequence[bool], on_latents: Sequence[bool]) -> tuple[Real, str]:
    """Weights (E,) of the elements in the total, and the choice in words.

    The total is the element named like one; else the first that depends on images and latents both; else, where one
    element is the reconstruction and another the KL, their sum; else the first that depends on the images.
    """
    both = [a and b for a, b in zip(on_images, on_latents, strict=True)]
    named = [name.lower() in TOTALS for name in answer.names]
    weights = np.zeros(len(answer.names))
    if len(weights) == 1:
        weights[0], words = 1.0, "the value"
    elif any(named) or any(both):
        first = (named if any(named) else both).index(True)
        weights[first], words = 1.0, answer.names[first]
    elif sum(on_images) == 1 and any(on_latents):
        pair = (list(on_images).index(True), list(on_latents).index(True))
        weights[list(pair)], words = 1.0, " + ".join(answer.names[i] for i in pair)
    else:
        first = list(on_images).index(True) if any(on_images) else 0
        weights[first], words = 1.0, answer.names[first]
    return weights, words


def _role(name: str) -> str | None:
    return next((role for role, names in KNOWN_NAMES.items() if name.lower() in names), None)


def _items(value: Any) -> tuple[str, list[Any], list[str]]:
    if isinstance(value, Mapping):
        return "dict", list(value.values()), [str(key) for key in value]
    if isinstance(value, tuple | list):
        fields = getattr(value, "_fields", None) or [f"element {i}" for i in range(len(value))]
        return "tuple", list(value), list(fields)
    return "scalar", [value], ["the value"]


def _answer(value: Any, batch: int) -> Answer:
    kind, items, labels = _items(value)
    places, arrays, ignored = [], [], []
    for place, (label, item) in enumerate(zip(labels, items, strict=True)):
        try:
            array = to_numpy(item)
        except (TypeError, ValueError):
            ignored.append(f"{label} holds no numbers")
            continue
        if array.shape not in ((), (1,), (batch,), (batch, 1)):
            ignored.append(f"{label} has shape {array.shape}")
            continue
        places.append(place)
        arrays.append(array)
    if not arrays:
        raise AuditError(f"the loss returned neither a number nor one per sample: {'; '.join(ignored) or 'nothing'}")
    per_sample = tuple(array.size == batch for array in arrays)
    return Answer(
        "vector" if kind == "scalar" and per_sample[0] else kind,
        tuple(labels[place] for place in places),
        tuple(places),
        np.array([float(np.sum(array.astype(np.float64))) for array in arrays]),
        per_sample,
        tuple(ignored),
        str(max((array.dtype for array in arrays), key=lambda dtype: dtype.itemsize)),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Warnings of overflow and of log(0) are what the examination provokes."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
