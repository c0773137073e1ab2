"""The search for a bug: each hypothesis answers the vector's question, and is dropped where its answer is not the one
that was seen."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Final

import numpy as np

from vae_rosetta.conformance.explainer.direct import Finding, direct_findings, own_noise
from vae_rosetta.conformance.explainer.fit import GAIN, Seen
from vae_rosetta.conformance.explainer.loss_hypotheses import loss_hypotheses
from vae_rosetta.conformance.explainer.model_hypotheses import Hypothesis, model_hypotheses
from vae_rosetta.conformance.explainer.precision import coarse_errors, precision_hypotheses
from vae_rosetta.conformance.explainer.rules import Rules, merged
from vae_rosetta.conformance.explainer.suspect import Memory, RuledOutError, Suspect
from vae_rosetta.conformance.explainer.training_hypotheses import combined, gradient_hypotheses, training_hypotheses
from vae_rosetta.conformance.explainer.weights import named_weights, weight_hypotheses
from vae_rosetta.shared import parameters
from vae_rosetta.shared.contract import Array, Tensors
from vae_rosetta.shared.oracle import Real
from vae_rosetta.shared.spec import Sizes
from vae_rosetta.shared.vectors import operations

MOST: Final = 2  # causes that are named
_LARGE: Final = 100_000  # parameters from which training takes so long that the first cause that fits must do
_STEPS: Final = 100  # training steps of such a model that may be computed, a second or so
# Causes with a hypothesis for each of many numbers, which say what is wrong as much as the cause does.
FAMILIES: Final = {
    "activation",
    "adam-beta1",
    "adam-beta2",
    "adam-rate",
    "epsilon-hat",
    "epsilon-in-log",
    "epsilon-in-root",
    "epsilon-value",
    "gradient-clipped",
    "gradient-underflow",
    "gradients-averaged",
    "kl-weight",
    "logits-clamped",
    "logvar-clamped",
    "probabilities-clipped",
    "reconstruction-weight",
    "scale",
    "weight-decay",
}
_CLOSE: Final = 0.25  # of the room: hypotheses that come this near are equally good


class Search:
    """The hypotheses about one wrong answer."""

    def __init__(self, seen: Seen) -> None:
        self._seen, vector = seen, seen.vector
        arguments, inputs = vector.arguments, vector.inputs
        stored = {name.removeprefix("param."): value for name, value in inputs.items() if name.startswith("param.")}
        self._params = stored or parameters.initial(arguments["weights_seed"], Sizes(*arguments["sizes"]))
        self._inputs = {**inputs, **{f"param.{name}": value for name, value in self._params.items()}}
        self._memory: Memory = {}
        self._steps_left = _STEPS
        self._allowed = seen.limit()  # how far a part of an answer may be from a hypothesis' before the rest is let be
        self._sizes = parameters.sizes_of(self._params)
        self._trains = vector.operation in ("train", "fit")
        self._large = self._trains and sum(value.size for value in self._params.values()) > _LARGE
        objectives = [name for name in seen.expected if name.split(".")[0] == "objective"]
        objectives.sort(key=lambda name: int(name.partition(".")[2] or 0))  # a file lists its tensors in any order
        self._trace = [(name, i) for name in objectives for i in range(len(seen.expected[name]))]
        self._listed: list[Hypothesis] | None = None
        self.fits: dict[Finding, float] = {}  # what accounts for the answer alone, with how far it is from it
        self.at_once = False  # whether it takes all causes that were found, each alone being too little

    @property
    def large(self) -> bool:
        """Whether computing the answer again takes so long that it is not done hundreds of times."""
        return self._large

    def findings(self) -> list[Finding]:
        """At most `MOST` causes that fit, the best first; none if none does."""
        found = list(direct_findings(self._seen, self._params, self._sizes))
        found = found or self._best(self._hypotheses()) or self._pairs() or self._coarse()
        found = (found or own_noise(self._seen, self._params))[:MOST]
        if not self.at_once:
            self.fits = {**dict.fromkeys(found, 0.0), **self.fits}
        self.rest()
        return found

    def rest(self) -> None:
        """Forgets what was computed in common, which is large for large models, and may compute as much again."""
        self._memory.clear()
        self._steps_left = _STEPS

    def hypotheses(self) -> list[Hypothesis]:
        """All that are tested, and those about weights that have a name."""
        if self._listed is None:
            loses = self._seen.vector.operation not in ("forward", "reparameterize")
            weights = named_weights(self._sizes, self._batch()) if loses else ()
            self._listed = [*weights, *self._hypotheses()]
        return self._listed

    def fits_under(self, rules: Rules) -> bool:
        """Whether a model with these rules, which other answers speak for, gives the answer."""
        limit = self._seen.limit_named()
        return self._misfit(rules, limit) <= limit

    def besides(self, base: Rules) -> Finding | None:
        """What accounts for the answer of a model that has the rules `base` too, and best; None if nothing does."""
        least, found = self._misfit(base) / GAIN, None
        for hypothesis in self.hypotheses():
            rules = merged(base, hypothesis.rules)
            misfit = np.inf if rules is None else self._misfit(rules)
            if misfit <= min(least, self._limit(hypothesis)):
                least, found = misfit, Finding(hypothesis.cause, hypothesis.detail)
                if misfit <= _CLOSE * self._seen.limit():
                    break
        self.rest()
        return found

    def answer(self, rules: Rules, watch: Callable[[int, float], None] | None = None) -> Mapping[str, Array]:
        """What a model with these rules answers."""

        def load(params: Tensors) -> Suspect:
            glance = self._glance if watch is not None else None
            return Suspect(params, "float64", rules, watch=watch, glance=glance, memory=self._memory)

        vector = self._seen.vector
        with np.errstate(all="ignore"):  # a bug overflows as it likes
            return operations.OPERATIONS[vector.operation](load, self._inputs, vector.arguments)

    def _hypotheses(self) -> Iterator[Hypothesis]:
        operation = self._seen.vector.operation
        if operation not in ("forward", "reparameterize"):
            yield from weight_hypotheses(self._seen, self._sizes, self._batch(), self.answer)
        if self._trains:
            yield from training_hypotheses()
        yield from model_hypotheses(self._sizes)
        if operation not in ("forward", "reparameterize"):
            yield from loss_hypotheses(self._seen.dtype)
        if operation == "gradients" and not self._seen.vector.arguments.get("summarise"):
            yield from gradient_hypotheses()

    def _batch(self) -> int:
        arguments = self._seen.vector.arguments
        if "batch_size" in arguments:
            return int(arguments["batch_size"])
        order = self._inputs.get("order.0")
        return len(self._inputs["noise"]) if order is None else order.shape[1]

    def _best(self, hypotheses: Iterator[Hypothesis]) -> list[Finding]:
        fitting: list[tuple[float, Finding]] = []
        for hypothesis in hypotheses:
            if self._large and self._steps_left <= 0:
                break
            misfit = self._misfit(hypothesis.rules)
            if misfit <= self._limit(hypothesis):
                finding = Finding(hypothesis.cause, hypothesis.detail)
                fitting.append((misfit, finding))
                self.fits[finding] = min(misfit, self.fits.get(finding, np.inf))
                if self._trains and (self._large or misfit <= _CLOSE * self._seen.limit()):
                    break
        best = min((misfit for misfit, _ in fitting), default=0.0)
        good: dict[str, Finding] = {}
        for misfit, finding in fitting:
            if misfit <= max(_CLOSE * self._seen.limit(), 2.0 * best):
                good.setdefault(finding.cause, finding)
        return list(good.values())

    def _limit(self, hypothesis: Hypothesis) -> float:
        return self._seen.limit(one_of_many=hypothesis.cause in FAMILIES)

    def _misfit(self, rules: Rules, limit: float | None = None) -> float:
        """How far the answer is from that of a model with these rules; infinite if a part is farther than `limit`."""
        self._allowed = self._seen.limit() if limit is None else limit
        try:
            candidate = self.answer(rules, self._watch)
        except RuledOutError:
            return np.inf
        return max(
            self._seen.away(name, value) if value.shape == self._seen.expected[name].shape else np.inf
            for name, value in candidate.items()
        )

    def _watch(self, reported: int, objective: float) -> None:
        self._steps_left -= reported > 0  # the first step is computed once for many hypotheses
        name, step = self._trace[reported]
        if self._seen.away(name, np.array([objective]), (np.array([step]),)) > self._allowed:
            raise RuledOutError

    def _glance(self, name: str, gradient: Real) -> None:
        if self._seen.vector.operation == "gradients" and self._seen.away(name, gradient) > self._allowed:
            raise RuledOutError

    def _pairs(self) -> list[Finding]:
        if not self._trains or self._large:
            return []
        hypotheses = [*training_hypotheses(), *loss_hypotheses(self._seen.dtype)]
        best: list[Hypothesis] = []
        least = self._seen.limit()
        for first, second, rules in combined(hypotheses):
            if (misfit := self._misfit(rules)) < least or (misfit == least and not best):
                least, best = misfit, [first, second]
        self.at_once = bool(best)
        return [Finding(hypothesis.cause, hypothesis.detail) for hypothesis in best]

    def _coarse(self) -> list[Finding]:
        """Arithmetic of fewer bits: errors are its own size, so they need only be several times smaller than seen."""
        for hypothesis in islice(precision_hypotheses(), 2 if self._large else None):
            if self._nearer(hypothesis.rules):
                return [Finding(hypothesis.cause, hypothesis.detail)]
        if not self._trains:
            for hypothesis in precision_hypotheses():
                if coarse_errors(self._seen, self.answer(hypothesis.rules)):
                    return [Finding(hypothesis.cause, f"errors as large as those of {hypothesis.detail}")]
        return []

    def _nearer(self, rules: Rules) -> bool:
        seen, shares = self._seen, []
        if any(seen.expected[name].dtype.kind != "f" for name in seen.wrong):
            return False
        candidate = self.answer(rules)
        for name in seen.wrong:
            truth, found = (seen.spread(name, other[name]) for other in (seen.expected, candidate))
            shares.append(found / truth if truth else np.inf)
        return seen.distance > GAIN**2 and float(np.median(shares)) <= 1.0 / GAIN and max(shares) <= 1.0
