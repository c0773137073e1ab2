"""What may be wrong in Adam and in the order of things within a training step, as an oracle with that bug."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from vae_rosetta.conformance.explainer.model_hypotheses import Hypothesis
from vae_rosetta.conformance.explainer.rules import Adam, Gradients, Params, Rules, merged
from vae_rosetta.shared import spec

# A threshold between any two powers of ten that gradients come in, 2^-24 (the smallest float16) among them.
THRESHOLDS: Final = (2.0**-24, 2e-9, 2e-8, 5e-9, 5e-7, 2.0**-14, 5e-6, 2e-10, 1e-11, 5e-4)
_PER_IMAGE: Final = Rules(reported_per_image=True)
_PLACES: Final = {"before": "epsilon-hat", "inside": "epsilon-in-root", "after": "epsilon-value"}
_EPSILONS: Final = (
    ("before", 1e-8),
    ("before", 1e-7),
    ("after", 1e-7),
    ("inside", 1e-16),
    ("inside", 1e-8),
    *(("after", value) for value in (1e-6, 1e-5, 1e-4, 1e-3, 1e-9, 1e-10, 1e-12, 1e-14, 1e-16)),
    *(("before", value) for value in (1e-6, 1e-5, 1e-4, 1e-3, 1e-10)),
    *(("inside", value) for value in (1e-7, 1e-6, 1e-5, 1e-10)),
)
_BOTH: Final = "in the objective and in the gradient"


def training_hypotheses() -> Iterator[Hypothesis]:
    """Bugs of the training step: those that leave the model and its losses right."""
    for place, epsilon in _EPSILONS[:4]:
        yield Hypothesis(_PLACES[place], f"epsilon is {epsilon:g}", Rules(adam=Adam(place=place, epsilon=epsilon)))
    yield Hypothesis("rounded-constants", "", Rules(adam=Adam(beta1=_single(spec.BETA1), beta2=_single(spec.BETA2))))
    yield Hypothesis("no-bias-correction", "", Rules(adam=Adam(correct_m=False, correct_v=False)))
    yield Hypothesis("no-bias-correction", "of m", Rules(adam=Adam(correct_m=False)))
    yield Hypothesis("no-bias-correction", "of v", Rules(adam=Adam(correct_v=False)))
    yield Hypothesis("bias-correction-late", "", Rules(adam=Adam(late=1)))
    for beta2 in (0.99, 0.95, 0.98, 0.9, 0.9999, 0.997, 0.9995):
        yield Hypothesis("adam-beta2", f"it is {beta2}", Rules(adam=Adam(beta2=beta2)))
    for beta1 in (0.5, 0.95, 0.0, 0.8, 0.99, 0.85):
        yield Hypothesis("adam-beta1", f"it is {beta1}", Rules(adam=Adam(beta1=beta1)))
    for rate in (1e-4, 3e-4, 5e-4, 2e-3, 5e-3, 1e-2, 2e-4, 1e-5):
        yield Hypothesis("adam-rate", f"it is {rate:g}", Rules(adam=Adam(rate=rate)))
    for decay in (1e-2, 1e-4, 1e-3, 4e-3, 1e-5, 1e-1, 1e-6):
        yield Hypothesis("weight-decay", f"decoupled, {decay:g}", Rules(adam=Adam(decay=decay)))
        yield Hypothesis("weight-decay", f"in the gradient, {decay:g}", Rules(gradients=_decayed(decay)))
    yield Hypothesis("nadam", "", Rules(adam=Adam(nesterov=True)))
    yield Hypothesis("not-adam", "", Rules(adam=Adam(plain=True)))
    yield from _steps()
    for place, epsilon in _EPSILONS[4:]:
        yield Hypothesis(_PLACES[place], f"epsilon is {epsilon:g}", Rules(adam=Adam(place=place, epsilon=epsilon)))
    yield from gradient_hypotheses()


def gradient_hypotheses() -> Iterator[Hypothesis]:
    """Bugs between the gradient and the optimiser."""
    for threshold in THRESHOLDS:
        detail = f"below about {threshold:.0e}"
        yield Hypothesis("gradient-underflow", detail, Rules(gradients=_cut_below(threshold)))
    yield Hypothesis("gradient-underflow", "they pass through float16", Rules(gradients=_through_half))
    for norm in (1.0, 5.0, 10.0, 0.5, 2.0, 0.1, 20.0, 50.0, 100.0):
        yield Hypothesis("gradient-clipped", f"to a global norm of {norm:g}", Rules(gradients=_norm_clipped(norm)))
    for norm in (1.0, 5.0, 0.5, 10.0):
        detail = f"to a norm of {norm:g}, tensor by tensor"
        yield Hypothesis("gradient-clipped", detail, Rules(gradients=_each_norm_clipped(norm)))
    for bound in (1.0, 0.5, 5.0, 0.1, 10.0):
        yield Hypothesis("gradient-clipped", f"to +-{bound:g}", Rules(gradients=_value_clipped(bound)))
    for workers in (2, 4, 8, 3, 16):
        yield Hypothesis("gradients-averaged", f"of {workers}", Rules(gradients=_averaged(workers)))


def _steps() -> Iterator[Hypothesis]:
    yield Hypothesis("post-update-objective", "", Rules(reported_after=True))
    yield Hypothesis("batch-mean", "in the objective that is reported, not in the gradient", _PER_IMAGE)
    yield Hypothesis("batch-mean", "in the gradient, not in the objective that is reported", Rules(per_image=True))
    yield Hypothesis("batch-mean", _BOTH, replace(_PER_IMAGE, per_image=True))
    yield Hypothesis("sign", "of the objective that is reported", Rules(reported_factor=-1.0))
    detached = Rules(kl_slopes=lambda mu, logvar: (np.zeros_like(mu), np.zeros_like(mu)))
    yield Hypothesis("inert-kl", "it is reported, and has no gradient", detached)
    yield Hypothesis("noise-shared-by-steps", "", Rules(first_noise=True))
    yield Hypothesis("short-batch-padded", "", Rules(short="padded"))
    yield Hypothesis("short-batch-dropped", "", Rules(short="dropped"))
    yield Hypothesis("short-batch-dropped", "its objective is reported", Rules(short="untrained"))
    yield Hypothesis("short-batch-reweighted", "", Rules(short="reweighted"))
    yield Hypothesis("gradients-accumulated", "", Rules(accumulated=True))
    yield Hypothesis("moments-forgotten", "", Rules(forgetful=True))
    yield Hypothesis("order-ignored", "", Rules(in_order=True))


def combined(hypotheses: list[Hypothesis]) -> Iterator[tuple[Hypothesis, Hypothesis, Rules]]:
    """Pairs of a loss and an optimiser that come together in public code, with the rules of both: Keras' and torch's
    loss on probabilities with Keras' Adam."""
    losses = [h for h in hypotheses if (h.cause, h.detail) in _LOSSES]
    optimisers = [h for h in hypotheses if (h.cause, h.detail) in _OPTIMISERS]
    for loss in losses:
        for optimiser in optimisers:
            if (rules := merged(loss.rules, optimiser.rules)) is not None:
                yield loss, optimiser, rules


_LOSSES: Final = {
    ("probabilities-clipped", "at 1e-07"),
    ("probabilities-clamped-at-100", ""),
    ("batch-mean", _BOTH),
}
_OPTIMISERS: Final = {
    ("epsilon-hat", "epsilon is 1e-07"),
    ("epsilon-hat", "epsilon is 1e-08"),
    ("epsilon-value", "epsilon is 1e-07"),
}


def _single(value: float) -> float:
    """As float32 holds it."""
    return float(np.float32(value))


Change = Callable[[Gradients, Params], Gradients]


def _decayed(decay: float) -> Change:
    return lambda gradients, params: {name: g + decay * params[name] for name, g in gradients.items()}


def _averaged(workers: int) -> Change:
    return lambda gradients, params: {name: g / workers for name, g in gradients.items()}


def _cut_below(threshold: float) -> Change:
    return lambda gradients, params: {n: np.where(np.abs(g) < threshold, 0.0, g) for n, g in gradients.items()}


def _through_half(gradients: Gradients, params: Params) -> Gradients:
    return {name: g.astype(np.float16).astype(np.float64) for name, g in gradients.items()}


def _norm_clipped(norm: float) -> Change:
    def change(gradients: Gradients, params: Params) -> Gradients:
        found = float(np.sqrt(sum(float(np.sum(g * g)) for g in gradients.values())))
        return {name: g * min(1.0, norm / found) if found else g for name, g in gradients.items()}

    return change


def _each_norm_clipped(norm: float) -> Change:
    return lambda gradients, params: {
        name: g * min(1.0, norm / max(float(np.linalg.norm(g)), 1e-300)) for name, g in gradients.items()
    }


def _value_clipped(bound: float) -> Change:
    return lambda gradients, params: {name: np.clip(g, -bound, bound) for name, g in gradients.items()}
