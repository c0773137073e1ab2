"""Wrong KL terms, and wrong ways to add the two losses up."""

from typing import Any, Final

import numpy as np

from vae_rosetta.conformance.meta.mutants.base import Mutant, Patch, both, on, on_method
from vae_rosetta.shared.contract import Array, Losses
from vae_rosetta.shared.oracle import Arithmetic, Forward, Params, Real


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
        "batch-mean",
        "of the losses",
        ("loss/tiny", "loss/full"),
        _losses(lambda loss: loss / len(loss), lambda loss: loss / len(loss)),
    ),
    Mutant(
        "batch-total",
        "its average, in every row",
        ("loss/tiny",),
        _losses(lambda loss: np.full_like(loss, loss.mean())),
    ),
    Mutant("scale", "1/2", ("loss/tiny",), _losses(lambda loss: loss / 2, lambda loss: loss / 2)),
    Mutant("sign", "", ("loss/tiny",), _losses(np.negative, np.negative)),
    Mutant("rows-permuted", "in reverse", ("loss/tiny",), _losses(np.flip, np.flip)),
    Mutant(
        "batch-mean", "of the gradients", ("gradients/tiny", "gradients/full"), _gradients_times(lambda x: 1.0 / len(x))
    ),
    Mutant(
        "kl-latent-mean",
        "",
        ("loss/tiny", "loss/full"),
        _kl(lambda true, mu, logvar, ar: true(mu, logvar, ar) / mu.shape[1]),
    ),
    Mutant(
        "kl-pixel-mean",
        "",
        ("loss/tiny", "loss/full"),
        on_method(
            "losses",
            lambda true, model, x, noise: (found := true(model, x, noise))._replace(kl=found.kl / x.shape[1]),
        ),
    ),
    Mutant("kl-reads-log-std", "", ("loss/tiny",), _kl(lambda true, mu, logvar, ar: true(mu, 2.0 * logvar, ar))),
    Mutant("kl-half", "missing", ("loss/tiny",), _kl(lambda true, mu, logvar, ar: 2.0 * true(mu, logvar, ar))),
    Mutant(
        "kl-reads-variance",
        "",
        ("loss/tiny",),
        _kl(lambda true, mu, variance, ar: 0.5 * (mu * mu + variance - 1.0 - np.log(variance))),
    ),
    Mutant(
        "kl-reads-std",
        "",
        ("loss/tiny",),
        _kl(lambda true, mu, std, ar: 0.5 * (mu * mu + std * std - 1.0 - np.log(std * std))),
    ),
    Mutant(
        "kl-sign",
        "",
        ("loss/tiny", "loss::test_kl_is_never_negative"),
        _kl(lambda true, mu, logvar, ar: -true(mu, logvar, ar)),
    ),
    Mutant(
        "kl-term-missing",
        "-1",
        ("loss/tiny", "loss/standard-normal-posterior"),
        _kl(lambda true, mu, logvar, ar: true(mu, logvar, ar) + 0.5),
    ),
    Mutant(
        "kl-reversed",
        "",
        ("loss/tiny",),
        _kl(lambda true, mu, logvar, ar: 0.5 * ((1.0 + mu * mu) * np.exp(-logvar) - 1.0 + logvar)),
    ),
    Mutant(
        "kl-term-missing",
        "the factor 1/2 of mu^2",
        ("loss/tiny",),
        _kl(lambda true, mu, logvar, ar: true(mu, logvar, ar) + 0.5 * mu * mu),
    ),
    Mutant(
        "kl-floored",
        "at 0.01",
        ("loss/standard-normal-posterior",),
        _kl(lambda true, mu, logvar, ar: np.maximum(true(mu, logvar, ar), 0.01)),
    ),
    Mutant(
        "inert-kl",
        "its weight is 0",
        ("gradients/kl-wired", "gradients/tiny", "training::test_objective_is_that_of_losses_before_the_update"),
        _beta(0.0),
    ),
    Mutant(
        "kl-weight",
        "1/2",
        ("gradients/kl-wired", "gradients/tiny", "training::test_objective_is_that_of_losses_before_the_update"),
        _beta(0.5),
    ),
    Mutant(
        "kl-weight",
        "1.01",
        ("gradients/kl-wired", "gradients/tiny", "training::test_objective_is_that_of_losses_before_the_update"),
        _beta(1.01),
    ),
    Mutant("inert-kl", "it has no gradient", ("gradients/kl-wired", "gradients/tiny"), _detached(mu=0, logvar=0)),
    Mutant("inert-kl", "it has a gradient to mu alone", ("gradients/kl-wired", "gradients/tiny"), _detached(logvar=0)),
    Mutant(
        "logvar-clamped",
        "in the KL term, to [-30, 20]",
        ("loss/extreme-logvar",),
        _kl(lambda true, mu, logvar, ar: true(mu, np.clip(logvar, -30.0, 20.0), ar)),
        alone=True,
    ),
    Mutant(
        "nan-replaced",
        "in the losses, by the largest float32",
        ("loss/extreme-logvar",),
        _losses(np.nan_to_num, np.nan_to_num),
        alone=True,
    ),
    Mutant(
        "noise-ignored",
        "in the losses",
        ("loss/tiny", "loss/full"),
        on_method("losses", lambda true, model, x, noise: true(model, x, np.zeros_like(noise))),
    ),
    Mutant(
        "own-noise",
        "in reparameterize",
        ("forward/tiny", "forward/full"),
        on_method(
            "reparameterize",
            lambda true, model, mu, logvar, noise: true(
                model, mu, logvar, np.random.default_rng().standard_normal(noise.shape).astype(noise.dtype)
            ),
        ),
    ),
    Mutant(
        "own-noise",
        "in the losses",
        ("loss/tiny", "contract::test_same_call_gives_same_answer"),
        on_method(
            "losses",
            lambda true, model, x, noise: true(model, x, np.random.default_rng().standard_normal(noise.shape)),
        ),
    ),
)
