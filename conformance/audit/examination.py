"""The examination: what a loss does to two images and two latents, found by moving them and looking at its value.

Order: identify the arguments, the total and both formulas, see how their weights change with batch, pixels and latents,
look for what is no weighted sum, then go to the extremes. Up to there all is linear: a weight is the slope of the loss
against the formula's own sum, over moves of all elements at once, so that a KL of weight 1e-6 still shows in float64.

Symbols: B batch, D pixels, L latents.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from vae_rosetta.conformance.audit import extremes, hypotheses, measure, tensors
from vae_rosetta.conformance.audit.findings import DECLARATIONS, UNUSED, Findings, deviations
from vae_rosetta.conformance.audit.hypotheses import Fit, Term
from vae_rosetta.conformance.audit.identify import Identified, identify
from vae_rosetta.conformance.audit.measure import RESPONDS, Arrays, Moves, Sizes, Total
from vae_rosetta.conformance.audit.probe import AuditError
from vae_rosetta.shared import spec

BATCH: Final = 4


def examine(
    loss: Callable[..., Any],
    *,
    name: str = "",
    input_shape: tuple[int, ...] = (spec.INPUT_DIM,),
    latent_dim: int = spec.LATENT_DIM,
    batch: int = BATCH,
    framework: str = "auto",
    arguments: Sequence[str] | None = None,
    declared: str | None = None,
) -> Findings:
    """Examines a loss of (reconstruction, target, mu, logvar), in whatever order it takes them.

    Args:
        loss: the callable; it returns a number, one per sample, or a tuple or dict of such.
        name: what to call it in the report.
        input_shape: of one image, such as (784,) or (28, 28, 1).
        latent_dim: L.
        batch: B; 2 B, 2 D and 2 L are tried too.
        framework: whose tensors it takes: numpy, torch, tensorflow, jax, or "auto" to try.
        arguments: the four roles recon, x, mu, logvar in the order of the arguments, or "keyword=role".
        declared: "probs-clamp100" or "probs-clip1e-7": the difference that a loss on probabilities admits to.

    Raises:
        AuditError: it cannot be examined: it fails on every order of arguments, returns no number, or draws at random.
    """
    sizes = Sizes(batch, input_shape, latent_dim)
    _check(sizes, framework, declared)
    known = identify(loss, sizes, framework, arguments)
    total = known.total
    found = _weighed(known, sizes)
    found.loss, found.declared = name, declared
    roles = ("reconstruction", "target", "mu", found.second_latent if total.divergence else "logvar")
    by_slot = sorted((place, role) for place, role in zip(total.probe.order, roles, strict=True))
    found.arguments = {total.probe.slots[place].label: role for place, role in by_slot}
    found.elements = _elements(known, sizes)
    extremes.examine(total, sizes, found)
    found.deviations = deviations(found)
    return found


def _check(sizes: Sizes, framework: str, declared: str | None) -> None:
    if declared is not None and declared not in DECLARATIONS:
        raise AuditError(f"declared: got {declared!r}; expected {' or '.join(DECLARATIONS)}")
    if framework != "auto" and framework not in tensors.NAMES:
        raise AuditError(f"framework: got {framework!r}; expected auto or one of {', '.join(tensors.NAMES)}")
    if sizes.batch < 2:
        raise AuditError(f"batch: got {sizes.batch}; expected at least 2, to tell one loss per sample from one number")
    if not sizes.image or min(*sizes.image, sizes.latent_dim, 1) < 1:
        raise AuditError(f"sizes: got images {sizes.image} and {sizes.latent_dim} latents; expected at least 1 of each")


def _weighed(known: Identified, sizes: Sizes) -> Findings:
    """The findings that follow from the two weights and from how they change with B, D and L."""
    total, first, inert = known.total, known.first, known.inert
    c_r = total.likelihood.weight if total.likelihood else None
    c_k = total.divergence.weight if total.divergence else 0.0 if inert else None
    found_r, found_k = _reductions(total, sizes, sizes._replace(batch=2 * sizes.batch))
    batch_r, batch_k = _of_batch(found_r, c_r, sizes.batch), _of_batch(found_k, c_k, sizes.batch)
    vector = any(p and w for p, w in zip(first.per_sample, total.weights))
    if vector:
        batch_r, batch_k = ("none (one loss per sample)" if r == "sum" else r for r in (batch_r, batch_k))
    longest = sizes.image.index(max(sizes.image))  # rows or columns, never channels
    wide = sizes._replace(image=tuple(n * (2 if i == longest else 1) for i, n in enumerate(sizes.image)))
    per_r = sizes.batch if batch_r == "mean" else 1
    scale_r = c_r * per_r if c_r is not None else None
    scale_k = c_k * (sizes.batch if batch_k == "mean" else 1) if c_k is not None else None
    pixels = _reductions(total, sizes, wide)[0]
    latents = _reductions(total, sizes, sizes._replace(latent_dim=2 * sizes.latent_dim))[1]
    base = measure.base(sizes)
    constant = total.constant(base) / sizes.batch * per_r if c_r is not None and c_k is not None else 0.0
    coarse = total.noise > 1e-10 * abs(total(base)) or first.dtype != "float64"
    span = (
        np.std([total.kl(m) for m in measure.latent_moves(sizes)])
        if total.divergence
        else sizes.batch * sizes.latent_dim
    )
    return Findings(
        loss="",
        tensors=total.probe.framework.name,
        precision="float32" if coarse else "float64",
        input_shape=sizes.image,
        latent_dim=sizes.latent_dim,
        batch=sizes.batch,
        arguments={},
        told_by=known.told_by,
        swapped=known.swapped,
        returns=first.kind,
        total=known.words,
        elements={},
        ignored=list(first.ignored),
        likelihood=total.likelihood.name if total.likelihood else "unknown: no known likelihood fits",
        sign="maximised" if c_r is not None and c_r < 0 else "minimised",
        second_latent=total.divergence.name if total.divergence else known.unnamed or UNUSED,
        effective_beta=c_k / c_r if c_r and c_k is not None else None,
        beta_uncertainty=RESPONDS * total.noise / float(span) / abs(c_r) if c_r else 0.0,
        reconstruction_scale=scale_r,
        kl_scale=scale_k,
        batch_reduction=batch_r,
        kl_batch_reduction=batch_k,
        pixel_reduction=_or_inferred(pixels, scale_r, math.prod(sizes.image)),
        latent_reduction=UNUSED if inert else _or_inferred(latents, scale_k, sizes.latent_dim),
        constant=constant if abs(constant) > RESPONDS * total.noise + 1e-6 * abs(total(base)) else 0.0,
        irregular=_irregular(total, sizes),
        clamp="none",
        faults=[],
        kl_faults=[],
        logvar_clamp=(None, None),
        mutates=total.probe.changed(*base),
    )


def _reductions(total: Total, sizes: Sizes, larger: Sizes) -> tuple[str, str]:
    """How each weight changes when one size doubles: "sum" if not at all, "mean" if it halves; "" if it cannot be
    found out."""
    words = []
    for moves, formula in ((measure.image_moves, total.reconstruction), (measure.latent_moves, total.kl)):
        try:
            weights = [_slope(total, moves(s), formula) for s in (sizes, larger)]
        except AuditError:  # the loss has this size written into it
            words.append("")
            continue
        if not all(weights):
            words.append("")
            continue
        change = weights[1] / weights[0]
        near = max(1e-6, RESPONDS * total.noise / max(abs(weights[0] * formula(moves(sizes)[-1])), 1e-300))
        known = {1.0: "sum", 0.5: "mean"}
        match = next((word for value, word in known.items() if abs(change - value) <= near), None)
        words.append(match or f"weight times {change:.4g} when the size doubles")
    return words[0], words[1]


def _slope(total: Total, moves: Moves, formula: Callable[[Arrays], float]) -> float:
    """The weight of a formula, from the move that raises it most and one half as far."""
    sums = [formula(move) for move in moves]
    low, high = (moves[int(np.argmin(np.abs(np.array(sums) - part * max(sums))))] for part in (0.5, 1.0))
    rise = formula(high) - formula(low)
    return (total(high) - total(low)) / rise if rise else 0.0


def _or_inferred(reduction: str, scale: float | None, size: int) -> str:
    """Where the loss has a size written into it, its weight may still give it away: a few times 1 / size, or not."""
    if reduction or scale is None:
        return reduction or "unknown"
    parts = abs(scale) * size
    averaged = abs(scale) < 1 and abs(parts - round(parts)) < 1e-3 and 0 < round(parts) <= 10
    return "mean (from its weight)" if averaged else "sum (from its weight)"


def _of_batch(reduction: str, weight: float | None, batch: int) -> str:
    """The same for the batch, of which the weight is 1 or 1 / B."""
    if reduction or weight is None:
        return reduction or "unknown"
    known = {1.0: "sum", 1.0 / batch: "mean"}
    return next((word for value, word in known.items() if math.isclose(abs(weight), value, rel_tol=1e-4)), "unknown")


def _irregular(total: Total, sizes: Sizes) -> list[str]:
    """What keeps the loss from being a weighted sum of two formulas over all elements."""
    found, base = [], measure.base(sizes)
    image, latent = measure.image_moves(sizes)[-1], measure.latent_moves(sizes)[-1]
    both: Arrays = (image[0], image[1], latent[2], latent[3])
    cross = total(both) - total(image) - total(latent) + total(base)
    if abs(cross) > RESPONDS * total.noise + 1e-6 * abs(total(both)):
        found.append("reconstruction and KL do not add up: the weight of one depends on the other")
    for fit, formula, which, word in (
        (total.likelihood, total.reconstruction, 0, "pixels"),
        (total.divergence, total.kl, 2, "latents"),
    ):
        if fit and not _even(total, base, which, fit.weight, formula):
            found.append(f"{word} have unequal weights")
    if total.divergence and not any("latents" in words for words in found):
        found += _out_of_proportion(total, base, total.divergence)
    for fit, word in ((total.likelihood, "reconstruction"), (total.divergence, "KL")):
        if fit and fit.inexact and not found:
            found.append(f"the {word} is not exactly that of {fit.name}: off by {fit.residual:.1e} of its changes")
    return found


def _even(total: Total, base: Arrays, which: int, weight: float, formula: Callable[[Arrays], float]) -> bool:
    """Whether the first, the middle and the last element weigh what all of them do."""
    size = base[which].size
    for index in (0, size // 2 + 1, size - 1):
        changed = base[which].copy()
        changed.flat[index] = 2.5 if which == 2 else 0.9
        arrays: Any = tuple(changed if i == which else array for i, array in enumerate(base))
        expected = weight * (formula(arrays) - formula(base))
        if abs(total(arrays) - total(base) - expected) > RESPONDS * total.noise + 1e-3 * abs(expected):
            return False
    return True


def _out_of_proportion(total: Total, base: Arrays, divergence: Fit) -> list[str]:
    """Free bits, capacities and clamps: a KL whose weight depends on how large it is, from the prior outwards."""
    weight, second = divergence.weight, np.full_like(base[3], hypotheses.AT_PRIOR.get(divergence.name, 0.0))
    for mean in (0.01, 0.1, 1.0, 10.0, 100.0):
        ends = [(base[0], base[1], np.full_like(base[2], mean * f), second) for f in (1.0, 1.3)]
        rise = total.kl(ends[1]) - total.kl(ends[0])
        got = total(ends[1]) - total(ends[0])
        if abs(got - weight * rise) > RESPONDS * total.noise + 1e-3 * abs(weight * rise):
            each = total.kl(ends[0]) / len(base[2])
            return [f"the weight of the KL is {got / rise:.4g} at {each:.3g} nats per image and {weight:.4g} elsewhere"]
    return []


def _elements(known: Identified, sizes: Sizes) -> dict[str, dict[str, float | None]]:
    """The weight of both formulas in each element of the answer; None where an element moves but fits neither."""
    probe, result = known.total.probe, dict[str, dict[str, float | None]]()
    sides = (
        ("reconstruction", measure.image_moves(sizes), hypotheses.LIKELIHOODS, known.total.likelihood, 0),
        ("kl", measure.latent_moves(sizes), hypotheses.DIVERGENCES, known.total.divergence, 2),
    )
    for key, moves, terms, fit, start in sides:
        answers = measure.table(probe, moves)
        formulas: dict[str, Term] = {fit.name: terms[fit.name]} if fit else dict(terms)
        for name, values, noise in zip(known.first.names, answers.T, known.noise, strict=True):
            weight: float | None = 0.0
            if np.std(values) > RESPONDS * noise:
                alone = hypotheses.fit(formulas, measure.pairs(probe, moves, start), values, float(noise))
                weight = alone.weight if alone else None
            result.setdefault(name, {})[key] = weight
    return result
