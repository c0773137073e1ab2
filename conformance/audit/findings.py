"""What an examination found, and what of it is not the specification's loss."""

import dataclasses
import math
from typing import Any, Final, NamedTuple

from vae_rosetta.conformance.audit import hypotheses
from vae_rosetta.shared.bugs import BUGS

DECLARATIONS: Final = {  # differences that a loss on probabilities may declare (clause loss.probabilities)
    "probs-clamp100": "each log clamped at -100",
    "probs-clip1e-7": "probabilities clipped to [1e-7, 1 - 1e-7]",
}
UNUSED: Final = "not used"
# What the bug is, by the clamp and by the second latent argument that were found.
_CLAMPS: Final = {
    "each log clamped at -100": "probabilities-clamped-at-100",
    "probabilities clipped to [1e-7, 1 - 1e-7]": "probabilities-clipped",
    "none": "log-of-sigmoid",
}
_SECOND_LATENTS: Final = {"log-std": "kl-reads-log-std", "std": "kl-reads-std", "variance": "kl-reads-variance"}
COARSE: Final = 1e-2  # a beta known less well than this is not examined
BETA_TOLERANCE: Final = 1e-6  # pitfall P04; wider where float32's own noise is


class Fault(NamedTuple):
    """Where the loss leaves its formula: `kind` is value, nan, inf, error (it raises one), gradient,
    zero gradient or nan gradient."""

    where: str
    kind: str
    got: float
    exact: float


class Deviation(NamedTuple):
    """A difference from the specification."""

    what: str  # in the numbers of this loss
    bug: str  # its id in the catalogue, `shared.bugs`
    advice: str = ""  # how to mend this one; empty where the catalogue says all

    @property
    def fix(self) -> str:
        """How to mend it."""
        return self.advice or BUGS[self.bug].fix

    @property
    def places(self) -> str:
        """Where to read on: pitfall and clause."""
        return f"{BUGS[self.bug].pitfall}, {BUGS[self.bug].clause}"


@dataclasses.dataclass
class Findings:
    """The examined loss. Weights are those of a sum over the batch: 1 is the specification's, in nats."""

    loss: str
    tensors: str
    precision: str  # what it computes in: float64 or float32
    input_shape: tuple[int, ...]
    latent_dim: int
    batch: int
    arguments: dict[str, str]  # what each argument turned out to be
    told_by: str  # behaviour, names or place
    swapped: list[str]  # arguments whose name, or --arguments, says another thing than they do
    returns: str
    total: str
    elements: dict[str, dict[str, float | None]]  # weight of the reconstruction and of the KL in each element
    ignored: list[str]
    likelihood: str
    sign: str
    second_latent: str
    effective_beta: float | None
    beta_uncertainty: float
    reconstruction_scale: float | None
    kl_scale: float | None
    batch_reduction: str
    kl_batch_reduction: str
    pixel_reduction: str
    latent_reduction: str
    constant: float  # nats per image beyond the two terms
    irregular: list[str]  # terms that do not add up, elements of unequal weight, a KL out of proportion
    clamp: str
    faults: list[Fault]  # of the reconstruction
    kl_faults: list[Fault]
    logvar_clamp: tuple[float | None, float | None]
    mutates: list[str]
    declared: str | None = None
    deviations: list[Deviation] = dataclasses.field(default_factory=list)

    @property
    def pixels(self) -> int:
        """D."""
        return math.prod(self.input_shape)

    @property
    def constant_is(self) -> str:
        """The name of the constant: for a squared error, the normaliser of the Gaussian with that weight."""
        scale = abs(self.reconstruction_scale or 0.0)
        if not scale or not self.likelihood.startswith("Gaussian"):
            return ""
        normaliser = self.pixels / 2.0 * math.log(2.0 * math.pi / scale)
        close = abs(abs(self.constant) - abs(normaliser)) < 1e-3 * abs(normaliser)
        return f": the normaliser of a Gaussian of deviation {_g(scale**-0.5)}" if close else ""

    @property
    def conforms(self) -> bool:
        """Whether it is the specification's loss, up to batch reduction and the declared difference."""
        return not self.deviations

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values: infinities and NaN become the strings inf, -inf and nan."""
        fields: dict[str, Any] = _plain(dataclasses.asdict(self))
        for key in ("faults", "kl_faults"):
            fields[key] = [_plain(fault._asdict()) for fault in getattr(self, key)]
        fields["deviations"] = [
            {"what": wrong.what, "bug": wrong.bug, "clause": BUGS[wrong.bug].clause, "fix": wrong.fix}
            for wrong in self.deviations
        ]
        return {**fields, "conforms": self.conforms}


def deviations(found: Findings) -> list[Deviation]:
    """Everything in which `found` is not the specification's loss."""
    return [
        *_of_reconstruction(found),
        *_of_saturation(found),
        *_of_weights(found),
        *_of_kl(found),
        *_of_the_rest(found),
    ]


def _of_reconstruction(found: Findings) -> list[Deviation]:
    wrong = []
    if found.likelihood == hypotheses.PROBABILITIES and found.declared is None:
        name = next((name for name, clamp in DECLARATIONS.items() if clamp == found.clamp), None)
        advice = f"take logits, or declare it: --declare {name}" if name else "take logits"
        what = f"the cross-entropy is computed on probabilities; clamp: {found.clamp}"
        wrong.append(Deviation(what, _CLAMPS.get(found.clamp, "epsilon-in-log"), advice))
    elif found.likelihood not in (hypotheses.LOGITS, hypotheses.PROBABILITIES):
        advice = "the specification's is the cross-entropy on logits, in nats"
        wrong.append(Deviation(f"the reconstruction is {found.likelihood}", "squared-error", advice))
    if found.sign == "maximised":
        advice = "return -ELBO; what is maximised by name and minimised by the optimiser diverges"
        wrong.append(Deviation("the value is to be maximised: it is the ELBO or its like", "sign", advice))
    return wrong


def _of_saturation(found: Findings) -> list[Deviation]:
    wrong = []
    if found.declared is not None and found.clamp != DECLARATIONS[found.declared]:
        what = f"declared {found.declared}: {DECLARATIONS[found.declared]}; found {found.clamp}"
        wrong.append(Deviation(what, "another-clamp", "declare what it is"))
    invalid = [fault for fault in found.faults if fault.kind in ("nan", "inf", "nan gradient", "error")]
    if invalid:
        wrong.append(Deviation(f"the reconstruction at {invalid[0].where}: {describe(invalid[0])}", "log-of-sigmoid"))
    kink = [fault for fault in found.faults if fault.kind == "gradient"]
    if kink:
        wrong.append(Deviation(f"the reconstruction at {kink[0].where}: {describe(kink[0])}", "kink-at-zero"))
    flat = [fault for fault in found.faults if fault.kind in ("value", "zero gradient")]
    if flat and found.likelihood == hypotheses.LOGITS and found.declared is None:
        how = "is not exact" if found.clamp == "none" else f"saturates: {found.clamp}"
        what = f"the reconstruction {how}; at {flat[0].where} {describe(flat[0])}"
        wrong.append(Deviation(what, _CLAMPS.get(found.clamp, "logits-clamped"), "compute it from logits"))
    return wrong


def _of_weights(found: Findings) -> list[Deviation]:
    wrong = []
    beta, scale = found.effective_beta, found.reconstruction_scale
    near = max(BETA_TOLERANCE, 5.0 * found.beta_uncertainty)
    sides = (("pixels", found.pixel_reduction), ("latents", found.latent_reduction))
    averaged = [side for side, reduction in sides if reduction.startswith("mean")]
    if beta is not None and found.beta_uncertainty > COARSE * max(1.0, abs(beta)):
        what = f"effective beta {_g(beta)} is known to +- {found.beta_uncertainty:.0e} only"
        advice = "make the loss compute in float64 for the examination"
        wrong.append(Deviation(what, "coarse-products", advice))
    elif beta is not None and abs(beta) <= found.beta_uncertainty:
        wrong.append(Deviation("effective beta 0: the KL term is inert", "inert-kl", "add the KL to the objective"))
    elif beta is not None and beta < 0:
        what = f"effective beta {_g(beta)}: the KL is rewarded"
        wrong.append(Deviation(what, "kl-sign", "objective = reconstruction + kl, where kl >= 0"))
    elif beta is not None and abs(beta - 1) > near:
        what = f"effective beta {_g(beta)} ({', '.join(f'{side}: {reduction}' for side, reduction in sides)})"
        bug = {"pixels": "pixel-mean", "latents": "kl-latent-mean"}[averaged[0]] if averaged else "kl-weight"
        advice = f"sum over {' and '.join(averaged)}" if averaged else "weight the KL by 1"
        wrong.append(Deviation(what, bug, advice))
    if scale is not None and abs(abs(scale) - 1) > near:
        what = f"the reconstruction is scaled by {ratio(scale, found.pixels)}: the loss is not in nats per image"
        bug, advice = "reconstruction-weight", "weight the reconstruction by 1"
        if "pixels" in averaged:
            bug, advice = "pixel-mean", "sum over pixels"
        wrong.append(Deviation(what, bug, advice))
    if beta and found.kl_batch_reduction != found.batch_reduction:
        what = f"batch: {found.batch_reduction} for the reconstruction, {found.kl_batch_reduction} for the KL"
        wrong.append(Deviation(f"{what}: beta changes with the batch size", "unlike-reductions"))
    elif found.batch_reduction not in ("sum", "mean", "none (one loss per sample)"):
        advice = "sum over the batch, or mean, or one loss per sample"
        wrong.append(Deviation(f"batch reduction: {found.batch_reduction}", "batch-total", advice))
    return wrong


def _of_kl(found: Findings) -> list[Deviation]:
    wrong = []
    if found.second_latent not in (hypotheses.LOGVAR, UNUSED):
        what = f"the second latent argument is {found.second_latent}"
        bug = _SECOND_LATENTS.get(found.second_latent, "kl-term-missing")
        wrong.append(Deviation(what, bug, "logvar, the log of the variance: std = exp(logvar / 2)"))
    if found.logvar_clamp != (None, None):
        low, high = (_g(bound) if bound is not None else "..." for bound in found.logvar_clamp)
        what = f"the KL sees logvar clamped to [{low}, {high}]"
        wrong.append(Deviation(what, "logvar-clamped", "no clamp; declare it if wanted"))
    elif found.kl_faults:
        fault = found.kl_faults[0]
        wrong.append(Deviation(f"the KL at {fault.where}: {describe(fault)}", "kl-not-finite"))
    terms = {name: weights for name, weights in found.elements.items() if name != found.total}
    logged = [name for name, weights in terms.items() if not weights["reconstruction"] and (weights["kl"] or 0.0) < 0.0]
    if logged and found.sign == "minimised":
        what = f"{', '.join(logged)} is the KL with the wrong sign"
        wrong.append(Deviation(what, "kl-sign", "a KL divergence is never negative"))
    return wrong


def _of_the_rest(found: Findings) -> list[Deviation]:
    wrong = [Deviation(what, "unequal-weights") for what in found.irregular]
    if found.swapped:
        wrong.append(Deviation(f"arguments swapped: {', '.join(found.swapped)}", "swapped-arguments"))
    if abs(found.constant) > 0.0:
        what = f"a constant of {_g(found.constant)} per image is added{found.constant_is}"
        wrong.append(Deviation(what, "constant-added"))
    if found.mutates:
        wrong.append(Deviation(f"changes its argument {', '.join(found.mutates)}", "argument-changed"))
    return wrong


def describe(fault: Fault) -> str:
    """What is wrong there, in words."""
    if fault.kind == "error":
        return f"it raises an error, where it is {_g(fault.exact)}"
    if fault.kind.endswith("gradient"):
        return f"the gradient is {_g(fault.got)} instead of {_g(fault.exact)}"
    return f"it is {_g(fault.got)} instead of {_g(fault.exact)}"


def ratio(value: float, size: int) -> str:
    """A scale as a fraction of the number of elements, where it is one: 2/784."""
    parts = value * size
    if abs(value) < 1 and abs(parts - round(parts)) < 1e-3 and 0 < abs(round(parts)) <= 10:
        return f"{round(parts)}/{size}"
    return _g(value)


def _g(value: float) -> str:
    return f"{value:.6g}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
