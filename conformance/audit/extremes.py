"""Where a loss leaves its formula: saturation, clamps, NaN, infinities and gradients that vanish.

The kind of clamp is read in the finest precision that the loss takes; where it acts, in float32, in which models train.
All pixels, or all latents, go to the same value at once, so that the one under examination outweighs the rest.

Sources of the values: pytorch/pytorch#103316, keras-team/keras#15271, tensorflow/tensorflow#41595 (probabilities);
yzhao062/pyod#609 (log-variances).
"""

import math
from typing import Final

import numpy as np

from vae_rosetta.conformance.audit import hypotheses
from vae_rosetta.conformance.audit.findings import DECLARATIONS, Fault, Findings
from vae_rosetta.conformance.audit.measure import Sizes, Total, base
from vae_rosetta.conformance.audit.probe import AuditError, Probe
from vae_rosetta.shared import oracle, spec
from vae_rosetta.shared.oracle import Real

LOGITS: Final = (1.0, 15.0, 16.0, 17.0, 20.0, 40.0, 87.0, 88.0, 89.0, 104.0, 120.0, 200.0, 1e4)  # and their negatives
TARGETS: Final = (1.0, 0.0, 0.3)
TINY: Final = (1e-6, 1e-7, 1e-8, 1e-12, 1e-30, 1e-37, 0.0)  # probabilities, none subnormal; and 1 minus them
LOGVARS: Final = (-110.0, -30.0, 20.0, 80.0, 88.7, 89.0, 178.0)
MUS: Final = (-3.0, -40.0, 1e3)
FAR_LOGVAR: Final = 600.0  # beyond any clamp; exp of it is finite in float64
FAR: Final = 1e4  # a logit beyond any clamp
CLIP: Final = -np.log(1e-7)  # 16.118 nats: Keras' bound

VALUE: Final = 1e-3  # relative error from which a value is wrong: saturation is off by 1e-2 at its onset
STEEP: Final = 0.1  # a gradient as large as this must not vanish


def examine(total: Total, sizes: Sizes, found: Findings) -> None:
    """Fills in what `found` says of clamps and faults, of the terms whose formulas are known."""
    coarse = total.probe.with_dtype("float32")
    try:
        coarse.answer(*base(sizes))
    except AuditError:  # it takes float64 alone
        coarse = total.probe
    if total.likelihood and found.likelihood in (hypotheses.LOGITS, hypotheses.PROBABILITIES):
        found.clamp = _clamp(_Pixels(total, sizes, total.probe), found.likelihood)
        pixels = _Pixels(total, sizes, coarse)
        if found.likelihood == hypotheses.LOGITS:
            found.faults = [*_logit_faults(pixels), *_kinks(pixels)]
        else:
            found.faults = _probability_faults(pixels)
    if total.divergence and found.second_latent == hypotheses.LOGVAR:
        found.logvar_clamp = _logvar_bounds(_Latents(total, sizes, total.probe))
        found.kl_faults = _kl_faults(_Latents(total, sizes, coarse))


class _Pixels:
    """The reconstruction of one pixel, from a loss in which all pixels are alike; None where the loss raises."""

    def __init__(self, total: Total, sizes: Sizes, probe: Probe) -> None:
        assert total.likelihood is not None
        self._probe, self._weights, self._sizes = probe, total.weights, sizes
        self._scale = total.likelihood.weight * sizes.batch * math.prod(sizes.image)
        term = hypotheses.LIKELIHOODS[total.likelihood.name](np.array(0.5), np.array(0.5))
        self._rest = probe.total(total.weights, *self._arrays(0.5, 0.5)) - self._scale * float(term)

    def value(self, prediction: float, target: float) -> float | None:
        """Nats per pixel."""
        try:
            return (self._probe.total(self._weights, *self._arrays(prediction, target)) - self._rest) / self._scale
        except AuditError:
            return None

    def slope(self, prediction: float, target: float) -> float | None:
        """Its derivative by the prediction: autodiff's where there is one, else over a step of 1/4."""
        found = self._probe.gradient(self._weights, 0, *self._arrays(prediction, target))
        if found is not None:
            return float(np.sum(found)) / self._scale
        high, low = self.value(prediction + 0.125, target), self.value(prediction - 0.125, target)
        return None if high is None or low is None else (high - low) / 0.25

    @property
    def differentiates(self) -> bool:
        """Whether the framework gives gradients itself."""
        return self._probe.gradient(self._weights, 0, *self._arrays(0.5, 0.5)) is not None

    def _arrays(self, prediction: float, target: float) -> tuple[Real, ...]:
        shape = (self._sizes.batch, *self._sizes.image)
        latents = np.full((self._sizes.batch, self._sizes.latent_dim), 0.8)
        return np.full(shape, prediction), np.full(shape, target), latents, latents.copy()


class _Latents:
    """The KL of one latent, from a loss in which all latents are alike; None where the loss raises."""

    def __init__(self, total: Total, sizes: Sizes, probe: Probe) -> None:
        assert total.divergence is not None
        self._probe, self._weights, self._sizes = probe, total.weights, sizes
        self._scale = total.divergence.weight * sizes.batch * sizes.latent_dim
        # at a KL of 2 nats a latent, beyond what free bits would hide
        self._rest = probe.total(total.weights, *self._arrays(0.0, 2.0)) - self._scale * _kl(0.0, 2.0)
        roundoff = 16.0 * float(np.finfo(probe.dtype).eps) * abs(self._rest)
        self.resolution = (total.noise + roundoff) / abs(self._scale)

    def value(self, mu: float, logvar: float) -> float | None:
        """Nats per latent."""
        try:
            return (self._probe.total(self._weights, *self._arrays(mu, logvar)) - self._rest) / self._scale
        except AuditError:
            return None

    def _arrays(self, mu: float, logvar: float) -> tuple[Real, ...]:
        image, shape = (
            np.full((self._sizes.batch, *self._sizes.image), 0.5),
            (self._sizes.batch, self._sizes.latent_dim),
        )
        return image, image.copy(), np.full(shape, mu), np.full(shape, logvar)


def _clamp(pixels: _Pixels, likelihood: str) -> str:
    """What bounds the loss of a pixel, by its value at the worst prediction for each target."""
    on_logits = likelihood == hypotheses.LOGITS
    worst = ((-FAR, 1.0), (FAR, 0.0)) if on_logits else ((0.0, 1.0), (1.0, 0.0))
    values = [pixels.value(prediction, target) for prediction, target in worst]
    bounds = [np.nan if value is None else value for value in values]
    finite = [b for b in bounds if np.isfinite(b) and not (on_logits and abs(b - FAR) < 1.0)]
    if not finite:
        return "none"
    if all(abs(b + spec.PROBABILITY_LOG_CLAMP) < 0.1 for b in finite) and len(finite) == 2:
        return DECLARATIONS["probs-clamp100"]
    # in float32, 1 - 1e-7 rounds to 1 - 1.19e-7, of which the log is -15.94
    if len(finite) == 2 and abs(finite[0] - CLIP) < 0.05 and CLIP - 0.2 < finite[1] < CLIP + 0.05:
        return DECLARATIONS["probs-clip1e-7"]
    sides = " and ".join(f"{b:.6g} nats (target {t:g})" for b, (_, t) in zip(bounds, worst, strict=True))
    return f"a pixel's loss is at most {sides}: an epsilon of {np.exp(-finite[0]):.1e}"


def _logit_faults(pixels: _Pixels) -> list[Fault]:
    """The first fault of each kind, for each target and side."""
    found = []
    for target in TARGETS:
        for side in (-1.0, 1.0):
            kinds: set[str] = set()
            for size in LOGITS:
                logit = side * size
                exact = float(oracle.cross_entropy(np.array(logit), np.array(target)))
                slope = float(oracle.cross_entropy_slope(np.array(logit), np.array(target)))
                where = f"target {target:g}, logit {logit:g}"
                for fault in _at(pixels, (logit, target), exact, slope, where):
                    if fault.kind not in kinds:
                        kinds.add(fault.kind)
                        found.append(fault)
    return found


def _kinks(pixels: _Pixels) -> list[Fault]:
    """P03: a stable form from max and abs has a wrong gradient at logit 0; only autodiff shows it."""
    if not pixels.differentiates:
        return []
    slopes = [(target, pixels.slope(0.0, target)) for target in TARGETS]
    return [
        Fault(f"target {target:g}, logit 0", "gradient", slope, 0.5 - target)
        for target, slope in slopes
        if slope is not None and not abs(slope - (0.5 - target)) < VALUE
    ]


def _probability_faults(pixels: _Pixels) -> list[Fault]:
    found = []
    for target in (1.0, 0.0):
        kinds: set[str] = set()
        for tiny in TINY:
            p = np.float32(tiny if target else 1.0 - tiny)
            with np.errstate(divide="ignore"):
                exact = float(-np.log(np.float64(p)) if target else -np.log1p(-np.float64(p)))
            fault = _value_fault(pixels.value(float(p), target), exact, _where(target, float(p)))
            if fault and fault.kind not in kinds:
                kinds.add(fault.kind)
                found.append(fault)
        fault = _value_fault(pixels.value(target, target), 0.0, _where(target, target))
        found += [fault] if fault else []
    return found


def _at(pixels: _Pixels, at: tuple[float, float], exact: float, slope: float, where: str) -> list[Fault]:
    faults = []
    fault = _value_fault(pixels.value(*at), exact, where)
    faults += [fault] if fault else []
    got = pixels.slope(*at)
    if got is None or (fault and fault.kind in ("nan", "inf", "error")):
        return faults
    if np.isnan(got):
        faults.append(Fault(where, "nan gradient", got, slope))
    elif abs(slope) > STEEP and abs(got) < VALUE:
        faults.append(Fault(where, "zero gradient", got, slope))
    return faults


def _where(target: float, p: float) -> str:
    return (
        f"target {target:g}, probability {p:g}"
        if p < 0.5 or p == 1.0
        else f"target {target:g}, probability 1 - {1.0 - p:.3g}"
    )


def _value_fault(got: float | None, exact: float, where: str) -> Fault | None:
    if got is None:
        return Fault(where, "error", np.nan, exact)
    if np.isnan(got):
        return Fault(where, "nan", got, exact)
    if np.isinf(got) and np.isfinite(exact):
        return Fault(where, "inf", got, exact)
    if np.isinf(got) or abs(got - exact) <= VALUE * max(1.0, exact):
        return None
    return Fault(where, "value", got, exact)


def _kl_faults(latents: _Latents) -> list[Fault]:
    """P10: the formula's IEEE value, infinity allowed; never NaN."""
    found = []
    for mu, logvar in (*((0.0, v) for v in LOGVARS), *((m, 0.0) for m in MUS)):
        got, exact = latents.value(mu, logvar), _kl(mu, logvar)
        where = f"mu {mu:g}, logvar {logvar:g}"
        if got is None:
            found.append(Fault(where, "error", np.nan, exact))
        elif np.isnan(got):
            found.append(Fault(where, "nan", got, exact))
        elif np.isinf(got) and logvar < 80.0:
            found.append(Fault(where, "inf", got, exact))
        elif np.isfinite(got) and abs(got - exact) > VALUE * exact + latents.resolution:
            found.append(Fault(where, "value", got, exact))
    return found


def _logvar_bounds(latents: _Latents) -> tuple[float | None, float | None]:
    """The bounds that the KL clamps logvar to, solved from its value far outside; None where there is none."""
    low, high = latents.value(0.0, -FAR_LOGVAR), latents.value(0.0, FAR_LOGVAR)
    exact = _kl(0.0, -FAR_LOGVAR)
    bounded = low is not None and np.isfinite(low) and abs(low - exact) > VALUE * exact + latents.resolution
    return (
        _solve(low, -1.0) if low is not None and bounded else None,
        _solve(high, 1.0) if high is not None and 0.0 < high < 1e38 else None,
    )


def _kl(mu: float, logvar: float) -> float:
    with np.errstate(over="ignore"):
        return float(oracle.kl_terms(np.array(mu), np.array(logvar)))


def _solve(kl: float, side: float) -> float:
    """The logvar on the given side of 0 whose KL at mu 0 is `kl`, by bisection."""
    inner, outer = 0.0, side * FAR_LOGVAR
    for _ in range(200):
        middle = (inner + outer) / 2.0
        inner, outer = (middle, outer) if _kl(0.0, middle) < kl else (inner, middle)
    return round(inner, 3)
