"""Wrong reconstruction losses, and wrong gradients of them."""

from typing import Any, Final

import numpy as np

from vae_rosetta.conformance.meta.mutants.base import Mutant, Patch, on
from vae_rosetta.shared import oracle
from vae_rosetta.shared.oracle import Arithmetic, Real

_BCE = "loss.bce.logits"
_PROBABILITIES = "loss.probabilities"


def _log_of_float32_sigmoid(true: Any, logits: Real, x: Real, ar: Arithmetic) -> Real:
    """-x log(p) - (1 - x) log(1 - p) with p held in float32, as in the formula of most blog posts."""
    with np.errstate(all="ignore"):
        p = (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)
        terms: Real = -x * np.log(p) - (1.0 - x) * np.log(np.float32(1) - p)
    return terms


def _log_expm1_of_log_sigmoid(true: Any, logits: Real, x: Real, ar: Arithmetic) -> Real:
    with np.errstate(all="ignore"):
        log_p = -np.log1p(np.exp(-logits.astype(np.float32)))
        terms: Real = -x * log_p - (1.0 - x) * np.log(-np.expm1(log_p))
    return terms


def _slope_outside(limit: float) -> Patch:
    """No gradient through logits beyond `limit`."""

    def wrong(true: Any, logits: Real, x: Real, ar: Arithmetic) -> Real:
        return np.where(np.abs(logits) < limit, true(logits, x, ar), 0.0)

    return on("cross_entropy_slope", wrong)


def _slope_at_zero(value: float) -> Patch:
    """The gradient at a logit of exactly 0 is `value` - x."""

    def wrong(true: Any, logits: Real, x: Real, ar: Arithmetic) -> Real:
        return np.where(logits == 0.0, value - x, true(logits, x, ar))

    return on("cross_entropy_slope", wrong)


def _on_probabilities(reduced: Any, low: float = 0.0, high: float = 1.0, clamp: float = -np.inf) -> Patch:
    """The published loss with its probabilities clipped to [low, high], its logs clamped, its pixels `reduced`."""

    def wrong(true: Any, recon_x: Real, x: Real, mu: Real, logvar: Real, ar: Arithmetic) -> Real:
        p = np.clip(recon_x, low, high)
        with np.errstate(all="ignore"):
            log_p, log_q = np.maximum(np.log(p), clamp), np.maximum(np.log1p(-p), clamp)
            terms = -(x * log_p + (1.0 - x) * log_q)
        return np.asarray(reduced(terms) + np.sum(oracle.kl_terms(mu, logvar)))

    return on("loss_on_probabilities", wrong)


MUTANTS: Final = (
    Mutant(
        "bce-log-clamp-100",
        "cross-entropy on probabilities, each log clamped at -100",
        "pytorch/pytorch#103316",
        "P01",
        _BCE,
        "clamped-log",
        ("loss/saturated-logits",),
        on("cross_entropy", lambda true, logits, x, ar: true(np.clip(logits, -100.0, 100.0), x, ar)),
        alone=True,
    ),
    Mutant(
        "bce-clip-1e-7",
        "probabilities clipped to [1e-7, 1 - 1e-7]",
        "keras-team/keras#15271",
        "P01",
        _BCE,
        "clamped-log",
        ("loss/saturated-logits",),
        on("cross_entropy", lambda true, logits, x, ar: true(np.clip(logits, -16.1181, 16.1181), x, ar)),
        alone=True,
    ),
    Mutant(
        "bce-clip-no-gradient",
        "no gradient where the probability is clipped at 1e-7",
        "tensorflow/tensorflow#118313",
        "P01",
        _BCE,
        "clamped-log",
        ("gradients/saturated-logits",),
        _slope_outside(16.1181),
    ),
    Mutant(
        "bce-clamp-no-gradient",
        "no gradient where the log is clamped at -100",
        "pytorch/pytorch#24933",
        "P01",
        _BCE,
        "clamped-log",
        ("gradients/saturated-logits",),
        _slope_outside(100.0),
        alone=True,
    ),
    Mutant(
        "bce-log-of-sigmoid",
        "logarithm of a float32 sigmoid",
        "tensorflow/tensorflow#43997",
        "P01",
        _BCE,
        "log-of-sigmoid",
        ("loss/saturated-logits",),
        on("cross_entropy", _log_of_float32_sigmoid),
    ),
    Mutant(
        "bce-log-expm1",
        "log(-expm1(log_sigmoid(l))) for log(1 - p)",
        "measured: google/flax, examples/vae",
        "P02",
        _BCE,
        "log-of-sigmoid",
        ("loss/saturated-logits",),
        on("cross_entropy", _log_expm1_of_log_sigmoid),
    ),
    Mutant(
        "bce-kink-one",
        "gradient 1 - x at logit 0",
        "pytorch/pytorch#20679",
        "P03",
        _BCE,
        "kink-at-zero",
        ("gradients/logit-zero",),
        _slope_at_zero(1.0),
    ),
    Mutant(
        "bce-kink-zero",
        "gradient -x at logit 0",
        "pytorch/pytorch#1792",
        "P03",
        _BCE,
        "kink-at-zero",
        ("gradients/logit-zero",),
        _slope_at_zero(0.0),
    ),
    Mutant(
        "bce-kink-minus-half",
        "gradient -1/2 - x at logit 0",
        "measured: jax 0.10.2",
        "P03",
        _BCE,
        "kink-at-zero",
        ("gradients/logit-zero",),
        _slope_at_zero(-0.5),
    ),
    Mutant(
        "bce-mean-over-pixels",
        "reconstruction averaged over pixels",
        "keras-team/keras#6015",
        "P04",
        _BCE,
        "wrong-reduction",
        ("loss/tiny", "loss/full"),
        on("cross_entropy", lambda true, logits, x, ar: true(logits, x, ar) / x.shape[1]),
    ),
    Mutant(
        "bce-arguments-swapped",
        "logits and targets swapped",
        "autonomousvision/sledge#4",
        "P08",
        _BCE,
        "swapped-arguments",
        ("loss/soft-targets",),
        on("cross_entropy", lambda true, logits, x, ar: np.logaddexp(0.0, x) - x * logits),
    ),
    Mutant(
        "targets-rounded",
        "grey targets rounded to 0 and 1",
        "pytorch/examples#460",
        "P09",
        _BCE,
        "swapped-arguments",
        ("loss/soft-targets",),
        on("cross_entropy", lambda true, logits, x, ar: true(logits, np.round(x), ar)),
    ),
    Mutant(
        "squared-error",
        "squared error of probabilities for cross-entropy",
        "pyro-ppl/pyro#529",
        "P09",
        _BCE,
        "swapped-arguments",
        ("loss/soft-targets", "loss/saturated-logits"),
        on("cross_entropy", lambda true, logits, x, ar: (1.0 / (1.0 + np.exp(-np.clip(logits, -500, 500))) - x) ** 2),
    ),
    Mutant(
        "probabilities-unclamped",
        "published loss without its clamp: infinite or NaN where a pixel is 0 or 1",
        "ml-explore/mlx#1280",
        "P01",
        _PROBABILITIES,
        "another-clamp",
        ("loss/probabilities-saturated",),
        _on_probabilities(np.sum),
        alone=True,
    ),
    Mutant(
        "probabilities-clipped-1e-7",
        "published loss with probabilities clipped to [1e-7, 1 - 1e-7]",
        "keras-team/keras#15271",
        "P01",
        _PROBABILITIES,
        "another-clamp",
        ("loss/probabilities-saturated",),
        _on_probabilities(np.sum, 1e-7, 1.0 - 1e-7),
        alone=True,
    ),
    Mutant(
        "probabilities-clamped-at-103",
        "published loss whose logs are clamped at -103 instead of -100",
        "none found",
        "P01",
        _PROBABILITIES,
        "another-clamp",
        ("loss/probabilities-saturated",),
        _on_probabilities(np.sum, clamp=-103.0),
        alone=True,
    ),
    Mutant(
        "probabilities-mean",
        "published loss with the cross-entropy averaged over pixels and images",
        "keras-team/keras#6015",
        "P04",
        _PROBABILITIES,
        "wrong-reduction",
        ("loss/probabilities", "loss/probabilities-saturated"),
        _on_probabilities(np.mean, clamp=-100.0),
    ),
)
