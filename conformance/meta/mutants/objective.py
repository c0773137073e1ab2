"""Wrong KL terms, and wrong ways to add the two losses up."""

from typing import Any, Final

import numpy as np

from vae_rosetta.conformance.meta.mutants.base import Mutant, Patch, both, on, on_method
from vae_rosetta.shared.contract import Array, Losses
from vae_rosetta.shared.oracle import Arithmetic, Forward, Params, Real

_BCE, _KL, _OBJECTIVE = "loss.bce.logits", "loss.kl", "loss.objective"


def _losses(wrong_reconstruction: Any = None, wrong_kl: Any = None) -> Patch:
    """The reported losses, (B,) each, times or through something."""

    def wrong(true: Any, model: Any, x: Array, noise: Array) -> Losses:
        found = true(model, x, noise)
        return Losses(
            wrong_reconstruction(found.reconstruction) if wrong_reconstruction else found.reconstruction,
            wrong_kl(found.kl) if wrong_kl else found.kl,
        )

    return on_method("losses", wrong)


def _beta(beta: float) -> Patch:
    """The objective that is trained on is reconstruction + beta kl; both terms are reported as they are."""

    def backward(true: Any, params: Params, step: Forward, x: Real, noise: Real, ar: Arithmetic) -> Any:
        weighted = step._replace(mu=beta * step.mu, logvar=np.log1p(beta * np.expm1(step.logvar)))
        return true(params, weighted, x, noise, ar)

    def train_step(true: Any, model: Any, x: Real, noise: Real) -> float:
        kl = float(np.sum(model.losses(x, noise).kl, dtype=np.float64))
        return float(true(model, x, noise)) + (beta - 1.0) * kl

    return both(on("backward", backward), on_method("_train_step", train_step))


def _detached(**changed: Any) -> Patch:
    """The KL term sends no gradient to what is named: there it is taken at the prior."""

    def wrong(true: Any, params: Params, step: Forward, x: Real, noise: Real, ar: Arithmetic) -> Any:
        at_prior = {name: np.zeros_like(getattr(step, name)) for name in changed}
        return true(params, step._replace(**at_prior), x, noise, ar)

    return on("backward", wrong)


def _gradients_times(factor: Any) -> Patch:
    def wrong(true: Any, params: Params, step: Forward, x: Real, noise: Real, ar: Arithmetic) -> Any:
        return {name: gradient * factor(x) for name, gradient in true(params, step, x, noise, ar).items()}

    return on("backward", wrong)


def _kl(wrong: Any) -> Patch:
    """kl per latent, (B, L), from the true function, mu and logvar."""
    return on("kl_terms", lambda true, mu, logvar, ar: wrong(true, mu, logvar, ar))


MUTANTS: Final = (
    Mutant(
        "losses-mean-over-batch",
        "per-sample losses divided by the batch",
        "pytorch/examples#228",
        "P04",
        _BCE,
        "wrong-reduction",
        ("loss/tiny", "loss/full"),
        _losses(lambda loss: loss / len(loss), lambda loss: loss / len(loss)),
    ),
    Mutant(
        "losses-of-the-batch",
        "every sample reports the average of its batch",
        "arimousa/DDAD#20",
        "P04",
        _BCE,
        "wrong-reduction",
        ("loss/tiny",),
        _losses(lambda loss: np.full_like(loss, loss.mean())),
    ),
    Mutant(
        "gradients-mean-over-batch",
        "gradients averaged over the batch",
        "pytorch/examples#226",
        "P04",
        _OBJECTIVE,
        "wrong-reduction",
        ("gradients/tiny", "gradients/full"),
        _gradients_times(lambda x: 1.0 / len(x)),
    ),
    Mutant(
        "kl-mean-over-latents",
        "KL averaged over latents",
        "keras-team/keras-io#270",
        "P04",
        _KL,
        "wrong-reduction",
        ("loss/tiny", "loss/full"),
        _kl(lambda true, mu, logvar, ar: true(mu, logvar, ar) / mu.shape[1]),
    ),
    Mutant(
        "kl-scaled-by-pixels",
        "KL divided by the pixels beside a summed reconstruction",
        "AntixK/PyTorch-VAE#11",
        "P04",
        _KL,
        "wrong-reduction",
        ("loss/tiny", "loss/full"),
        on_method(
            "losses",
            lambda true, model, x, noise: (found := true(model, x, noise))._replace(kl=found.kl / x.shape[1]),
        ),
    ),
    Mutant(
        "kl-logvar-as-log-std",
        "KL reads logvar as the log of the standard deviation",
        "keras-team/keras#9972",
        "P05",
        _KL,
        "std-for-logvar",
        ("loss/tiny",),
        _kl(lambda true, mu, logvar, ar: true(mu, 2.0 * logvar, ar)),
    ),
    Mutant(
        "kl-negative",
        "KL with the wrong sign",
        "AntixK/PyTorch-VAE#68",
        "P06",
        _KL,
        "kl-sign",
        ("loss/tiny", "loss::test_kl_is_never_negative"),
        _kl(lambda true, mu, logvar, ar: -true(mu, logvar, ar)),
    ),
    Mutant(
        "kl-constant-lost",
        "KL without the -1 of each latent",
        "ericjang/draw#6",
        "P06",
        _KL,
        "kl-sign",
        ("loss/tiny", "loss/standard-normal-posterior"),
        _kl(lambda true, mu, logvar, ar: true(mu, logvar, ar) + 0.5),
    ),
    Mutant(
        "kl-reversed",
        "KL(p||q) for KL(q||p)",
        "hanxiao0607/AERCA#8",
        "P06",
        _KL,
        "kl-sign",
        ("loss/tiny",),
        _kl(lambda true, mu, logvar, ar: 0.5 * ((1.0 + mu * mu) * np.exp(-logvar) - 1.0 + logvar)),
    ),
    Mutant(
        "kl-halved-mu",
        "KL without the square of mu halved",
        "google-deepmind/torch-distributions#34",
        "P06",
        _KL,
        "kl-sign",
        ("loss/tiny",),
        _kl(lambda true, mu, logvar, ar: true(mu, logvar, ar) + 0.5 * mu * mu),
    ),
    Mutant(
        "kl-free-bits",
        "KL of each latent floored at 0.01",
        "arXiv:1606.04934",
        "P07",
        _KL,
        "kl-sign",
        ("loss/standard-normal-posterior",),
        _kl(lambda true, mu, logvar, ar: np.maximum(true(mu, logvar, ar), 0.01)),
    ),
    Mutant(
        "beta-0",
        "KL weight 0: reported, not trained on",
        "Lightning-Universe/lightning-bolts#328",
        "P07",
        _OBJECTIVE,
        "inert-kl",
        ("gradients/kl-wired", "gradients/tiny", "training::test_objective_is_that_of_losses_before_the_update"),
        _beta(0.0),
    ),
    Mutant(
        "beta-one-half",
        "KL weight 0.5",
        "tensorflow/probability#1215",
        "P04",
        _OBJECTIVE,
        "inert-kl",
        ("gradients/kl-wired", "gradients/tiny", "training::test_objective_is_that_of_losses_before_the_update"),
        _beta(0.5),
    ),
    Mutant(
        "beta-1.01",
        "KL weight 1.01",
        "AntixK/PyTorch-VAE#35",
        "P04",
        _OBJECTIVE,
        "inert-kl",
        ("gradients/kl-wired", "gradients/tiny", "training::test_objective_is_that_of_losses_before_the_update"),
        _beta(1.01),
    ),
    Mutant(
        "kl-detached",
        "KL without a gradient",
        "tdspora/syngen#258",
        "P07",
        _KL,
        "inert-kl",
        ("gradients/kl-wired", "gradients/tiny"),
        _detached(mu=0, logvar=0),
    ),
    Mutant(
        "kl-detached-from-logvar",
        "KL with a gradient to mu alone",
        "AlexanderVNikitin/tsgm#69",
        "P07",
        _KL,
        "inert-kl",
        ("gradients/kl-wired", "gradients/tiny"),
        _detached(logvar=0),
    ),
    Mutant(
        "kl-logvar-clamped",
        "logvar clamped to [-30, 20]",
        "yzhao062/pyod#609",
        "P10",
        _KL,
        "logvar-clamped",
        ("loss/extreme-logvar",),
        _kl(lambda true, mu, logvar, ar: true(mu, np.clip(logvar, -30.0, 20.0), ar)),
        alone=True,
    ),
    Mutant(
        "kl-nan-to-num",
        "infinite losses replaced by the largest float32",
        "pyg-team/pytorch_geometric#500",
        "P10",
        _KL,
        "logvar-clamped",
        ("loss/extreme-logvar",),
        _losses(np.nan_to_num, np.nan_to_num),
        alone=True,
    ),
    Mutant(
        "evaluated-at-the-mean",
        "losses at z = mu, reported as the ELBO",
        "pytorch/examples#419",
        "P12",
        _OBJECTIVE,
        "reused-noise",
        ("loss/tiny", "loss/full"),
        on_method("losses", lambda true, model, x, noise: true(model, x, np.zeros_like(noise))),
    ),
    Mutant(
        "own-noise",
        "losses draw noise of their own",
        "SeldonIO/alibi-detect#407",
        "P12",
        _OBJECTIVE,
        "reused-noise",
        ("loss/tiny", "contract::test_same_call_gives_same_answer"),
        on_method(
            "losses",
            lambda true, model, x, noise: true(model, x, np.random.default_rng().standard_normal(noise.shape)),
        ),
    ),
)
