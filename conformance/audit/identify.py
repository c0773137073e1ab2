"""Which argument is which, which element of the answer is the total, and which two formulas it is made of.

Every order of arguments that the loss takes is tried until one fits both a likelihood and a KL.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from vae_rosetta.conformance.audit import hypotheses, measure, tensors
from vae_rosetta.conformance.audit.measure import RESPONDS, Sizes, Total
from vae_rosetta.conformance.audit.probe import Answer, AuditError, Probe, choose_total, placements, slots
from vae_rosetta.shared.oracle import Real


class Identified(NamedTuple):
    """A loss of which it is known what it takes; from here on the arrays are (reconstruction, target, mu, second)."""

    total: Total
    first: Answer  # at the base point
    noise: Real  # (E,) roundoff of each element of the answer
    words: str  # which element is the total
    inert: bool  # no latent changes the total
    unnamed: str | None  # a KL that no hypothesis fits, in words
    swapped: list[str]  # arguments whose names say another thing than they do
    told_by: str  # behaviour, names or place


def identify(loss: Callable[..., Any], sizes: Sizes, framework: str, arguments: Sequence[str] | None) -> Identified:
    """The first order of arguments that fits both formulas, or else the first that can be measured.

    Raises:
        AuditError: there is none.
    """
    found, failures = [], []
    for probe in _placed(loss, sizes, framework, arguments):
        try:
            known = _identified(probe, sizes)
        except AuditError as error:
            failures.append(error)
            continue
        found.append(known)
        if known.total.likelihood and (known.total.divergence or known.inert):
            return known
    if not found:
        raise failures[0]
    return found[0]


def _identified(probe: Probe, sizes: Sizes) -> Identified:
    base, images, latents = measure.base(sizes), measure.image_moves(sizes), measure.latent_moves(sizes)
    first, noise, again = probe.answer(*base), measure.noise(probe, base), probe.answer(*base)
    if not np.array_equal(first.values, again.values, equal_nan=True):
        raise AuditError("got two values for the same arguments: it draws at random; pass the noise in")
    if not np.all(np.isfinite(first.values)):
        raise AuditError(f"got {first.values} at images near 0.5 and latents near 0.8; expected finite numbers")
    tables = measure.table(probe, images), measure.table(probe, latents)
    moved = [[bool(np.std(values) > RESPONDS * n) for values, n in zip(t.T, noise, strict=True)] for t in tables]
    weights, words = choose_total(first, *moved)
    total = Total(probe, weights, float(np.sum(noise * weights)))
    on_images, on_latents = (table @ weights for table in tables)  # (K,)
    if np.std(on_images) <= RESPONDS * total.noise:
        raise AuditError(f"{words} does not change with the images; if that is not the total, return the total alone")
    total.likelihood = hypotheses.fit(hypotheses.LIKELIHOODS, measure.pairs(probe, images, 0), on_images, total.noise)
    inert = bool(np.std(on_latents) <= RESPONDS * total.noise)
    unnamed = None
    if not inert:
        pairs = measure.pairs(probe, latents, 2)
        total.divergence = _divergence(pairs, on_latents, total.noise)
        unnamed = None if total.divergence else _unnamed(total, sizes)
    swapped, told_by = _arrange(total)
    return Identified(total, first, noise, words, inert, unnamed, swapped, told_by)


def _divergence(pairs: list[tuple[Real, Real]], values: Real, noise: float) -> hypotheses.Fit | None:
    """The KL over all moves; or, where small ones have a weight of their own (free bits), over those beyond them."""
    whole = hypotheses.fit(hypotheses.DIVERGENCES, pairs, values, noise)
    large = [i for i, (a, b) in enumerate(pairs) if min(a.min(), b.min()) > measure.LATENT_LEVELS[0] + measure.JITTER]
    if whole:
        return whole
    beyond = hypotheses.fit(hypotheses.DIVERGENCES, [pairs[i] for i in large], values[large], noise)
    return beyond and beyond._replace(inexact=True)


def _unnamed(total: Total, sizes: Sizes) -> str:
    labels = [total.probe.slots[place].label for place in total.probe.order[2:]]
    walk = measure.latent_walk(sizes)
    values = np.array([total(arrays) for arrays in walk])
    parts = hypotheses.in_parts(measure.pairs(total.probe, walk, 2), values, (labels[0], labels[1]))
    return f"unknown: {parts}" if parts else "unknown: no known KL fits"


def _arrange(total: Total) -> tuple[list[str], str]:
    """Puts the total's arrays into the order (reconstruction, target, mu, second): as the loss behaves, or where that
    does not tell, as the names say. Returns the arguments whose names say otherwise, and who told."""
    probe, swapped = total.probe, []
    told_by, flips = "behaviour", []
    for fit, pair, roles in (
        (total.likelihood, probe.order[:2], ("recon", "x")),
        (total.divergence, probe.order[2:], ("mu", "logvar")),
    ):
        named = tuple(probe.slots[place].role for place in pair)
        by_name = named == roles[::-1]
        if fit is None or fit.tied:
            told_by = "names" if None not in named else "place"
            flips.append(by_name)
            continue
        flips.append(fit.swapped)
        if None not in named and fit.swapped != by_name:
            swapped += [probe.slots[place].label for place in sorted(pair)]
    total.probe = probe.reordered(*flips)
    total.likelihood = total.likelihood and total.likelihood._replace(swapped=False)
    total.divergence = total.divergence and total.divergence._replace(swapped=False)
    return swapped, told_by


def _placed(loss: Callable[..., Any], sizes: Sizes, framework: str, arguments: Sequence[str] | None) -> list[Probe]:
    """Every order of arguments that the loss takes, in the first framework and precision in which it takes any; float64
    before float32."""
    found = slots(loss, arguments)
    names = list(tensors.candidates(loss)) if framework == "auto" else [framework]
    failures: list[str] = []
    for name in names:
        try:
            loaded = tensors.load(name)
        except ImportError as error:
            failures.append(f"{name}: {error}")
            continue
        orders = list(dict.fromkeys(placements(found)))[: 1 if arguments is not None else None]
        for dtype in ("float64", "float32"):
            probes = [Probe(loss, loaded, found, order, dtype) for order in orders]
            errors = [_error(probe, sizes) for probe in probes]
            taken = [probe for probe, error in zip(probes, errors, strict=True) if error is None]
            if taken:
                told = None not in (slot.role for slot in found) and taken[0].order == orders[0]
                return taken[:1] if told else taken
            failures += [f"{name}: {error}" for error in errors]
    shape = ", ".join(str(n) for n in (sizes.batch, *sizes.image))
    tried = f"images ({shape}) and latents ({sizes.batch}, {sizes.latent_dim})"
    mend = "--arguments, --tensors, --input-dim and --latent-dim tell what it takes"
    raise AuditError(f"it takes no order of {tried}; with {failures[0]}; {mend}")


def _error(probe: Probe, sizes: Sizes) -> str | None:
    """What the loss says against its arguments, in one line."""
    try:
        probe.answer(*measure.base(sizes))
    except AuditError as error:
        return str(error)
    return None
