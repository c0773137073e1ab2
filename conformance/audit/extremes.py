"""Where a loss leaves its formula: saturation, clamps, NaN, infinities and gradients that vanish.

The kind of clamp is read in the finest precision that the loss takes; where it acts, in float32, in which models train.
All pixels, or all latents, go to the same value at once, so that the one under examination outweighs the rest.

Sources of the values: pytorch/pytorch#103316, keras-team/keras#15271, tensorflow/tensorflow#41595 (probabilities);
yzhao062/pyod#609 (log-variances).
"""

from typing import Any, Final

import numpy as np

from conformance.audit import hypotheses
from conformance.audit.findings import DECLARATIONS, Fault, Findings
from conformance.audit.measure import Sizes, Total
from shared import oracle, spec
from shared.oracle import Real

LOGITS: Final = (1.0, 15.0, 16.0, 17.0, 20.0, 40.0, 87.0, 88.0, 89.0, 104.0, 120.0, 200.0, 1e4)  # and their negatives
TARGETS: Final = (1.0, 0.0, 0.3)
TINY: Final = (1e-6, 1e-7, 1e-8, 1e-12, 1e-30, 1e-37, 0.0)  # probabilities, none subnormal; and 1 minus them
LOGVARS: Final = (-110.0, -30.0, 20.0, 80.0, 88.7, 89.0, 178.0)
FAR: Final = 1e4  # a logit beyond any clamp
CLIP: Final = -np.log(1e-7)  # 16.118 nats: Keras' bound

VALUE: Final = 1e-3  # relative error from which a value is wrong: saturation is off by 1e-2 at its onset
STEEP: Final = 0.1  # a gradient as large as this must not vanish


def examine(total: Total, sizes: Sizes, found: Findings) -> None:
    """Fills in what `found` says of clamps and faults, of the terms whose formulas are known."""
    if total.likelihood and found.likelihood in (hypotheses.LOGITS, hypotheses.PROBABILITIES):
        fine, coarse = _Pixels(total, sizes, total.probe.dtype), _Pixels(total, sizes, "float32")
        found.clamp = _clamp(fine, found.likelihood)
        if found.likelihood == hypotheses.LOGITS:
            found.faults = [*_logit_faults(coarse), *_kinks(coarse)]
        else:
            found.faults = _probability_faults(coarse)
    if total.divergence and found.second_latent == hypotheses.LOGVAR:
        found.logvar_clamp = _logvar_bounds(_Latents(total, sizes, total.probe.dtype))
        found.kl_faults = _kl_faults(_Latents(total, sizes, "float32"))


class _Pixels:
    """The reconstruction of one pixel, from a loss in which all pixels are alike."""

    def __init__(self, total: Total, sizes: Sizes, dtype: str) -> None:
        assert total.likelihood is not None
        self._probe, self._weights, self._sizes = total.probe.with_dtype(dtype), total.weights, sizes
        self._n = sizes.batch * int(np.prod(sizes.image))
        self._weight = total.likelihood.weight
        middle = self._total(0.5, 0.5)
        term = hypotheses.LIKELIHOODS[total.likelihood.name]
        self._rest = middle - self._weight * self._n * float(term(np.array(0.5), np.array(0.5)))

    def value(self, prediction: float, target: float) -> float:
        """Nats per pixel."""
        return (self._total(prediction, target) - self._rest) / (self._weight * self._n)

    def slope(self, prediction: float, target: float) -> float:
        """Its derivative by the prediction: autodiff's where there is one, else over a step of 1/4."""
        arrays = self._arrays(prediction, target)
        found = self._probe.gradient(self._weights, 0, *arrays)
        if found is not None:
            return float(np.mean(found)) / self._weight
        high, low = self.value(prediction + 0.125, target), self.value(prediction - 0.125, target)
        return (high - low) / 0.25

    @property
    def differentiates(self) -> bool:
        """Whether the framework gives gradients itself."""
        return self._probe.gradient(self._weights, 0, *self._arrays(0.5, 0.5)) is not None

    def _arrays(self, prediction: float, target: float) -> tuple[Real, ...]:
        shape = (self._sizes.batch, *self._sizes.image)
        latents = np.full((self._sizes.batch, self._sizes.latent_dim), 0.8)
        return np.full(shape, prediction), np.full(shape, target), latents, latents.copy()

    def _total(self, prediction: float, target: float) -> float:
        return self._probe.total(self._weights, *self._arrays(prediction, target))


class _Latents:
    """The KL of one latent, from a loss in which all latents have mu 0 and the same logvar."""

    def __init__(self, total: Total, sizes: Sizes, dtype: str) -> None:
        assert total.divergence is not None
        self._probe, self._weights, self._sizes = total.probe.with_dtype(dtype), total.weights, sizes
        self._scale = total.divergence.weight * sizes.batch * sizes.latent_dim
        # at a KL of 2 nats a latent, beyond what free bits would hide
        self._rest = self._total(2.0) - self._scale * float(oracle.kl_terms(np.array(0.0), np.array(2.0)))
        self.resolution = abs(total.noise / self._scale) if dtype == total.probe.dtype else 0.0
        if dtype == "float32":
            self.resolution += abs(float(np.finfo(np.float32).eps) * self._rest * 16.0 / self._scale)

    def value(self, logvar: float) -> float:
        """Nats per latent."""
        return (self._total(logvar) - self._rest) / self._scale

    def _total(self, logvar: float) -> float:
        image = np.full((self._sizes.batch, *self._sizes.image), 0.5)
        mu = np.zeros((self._sizes.batch, self._sizes.latent_dim))
        return self._probe.total(self._weights, image, image.copy(), mu, np.full_like(mu, logvar))


def _clamp(pixels: _Pixels, likelihood: str) -> str:
    """What bounds the loss of a pixel, by its value at the worst prediction for each target."""
    on_logits = likelihood == hypotheses.LOGITS
    worst = ((-FAR, 1.0), (FAR, 0.0)) if on_logits else ((0.0, 1.0), (1.0, 0.0))
    bounds = [pixels.value(prediction, target) for prediction, target in worst]
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
        if not abs(slope - (0.5 - target)) < VALUE
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
    if fault and fault.kind in ("nan", "inf"):
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


def _value_fault(got: float, exact: float, where: str) -> Fault | None:
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
    for logvar in LOGVARS:
        got = latents.value(logvar)
        exact = float(oracle.kl_terms(np.array(0.0), np.array(logvar)))
        where = f"logvar {logvar:g}"
        if np.isnan(got):
            found.append(Fault(where, "nan", got, exact))
        elif np.isinf(got) and logvar < 80.0:
            found.append(Fault(where, "inf", got, exact))
        elif np.isfinite(got) and abs(got - exact) > VALUE * exact + latents.resolution:
            found.append(Fault(where, "value", got, exact))
    return found


def _logvar_bounds(latents: _Latents) -> tuple[float | None, float | None]:
    """The bounds that the KL clamps logvar to, solved from its value far outside; None where there is none."""
    low, high = latents.value(-1e3), latents.value(5e2)
    near = 1e-3
    return (
        None if not np.isfinite(low) or abs(low - 499.5) < 499.5 * near + latents.resolution else _solve(low, -1.0),
        None if not np.isfinite(high) or high > 1e38 else _solve(high, 1.0),
    )


def _solve(kl: float, side: float) -> Any:
    """The logvar on the given side of 0 whose KL at mu 0 is `kl`, by bisection; None if there is none."""
    inner, outer = 0.0, side * 1e3
    with np.errstate(over="ignore"):
        for _ in range(200):
            middle = (inner + outer) / 2.0
            inside = float(oracle.kl_terms(np.array(0.0), np.array(middle))) < kl
            inner, outer = (middle, outer) if inside else (inner, middle)
    return round(inner, 3)
