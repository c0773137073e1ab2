"""Wrong ways from mu, logvar and noise to z, and back."""

from typing import Any, Final

import numpy as np

from vae_rosetta.conformance.meta.mutants.base import Mutant, Patch, both, on, on_method
from vae_rosetta.shared.oracle import Arithmetic, Forward, Params, Real


def _z(wrong: Any) -> Patch:
    """`wrong(mu, logvar, noise)` returns std and z."""
    return on("reparameterize", lambda true, mu, logvar, noise, ar: wrong(mu, logvar, noise))


def _std(wrong: Any) -> Patch:
    """`wrong(logvar)` returns the standard deviation."""
    return _z(lambda mu, logvar, noise: (std := wrong(logvar), mu + std * noise))


def _backward(wrong: Any) -> Patch:
    """`wrong(step, noise)` returns the forward pass and the noise that the gradients are taken at."""

    def backward(true: Any, params: Params, step: Forward, x: Real, noise: Real, ar: Arithmetic) -> Any:
        changed, seen = wrong(step, noise)
        return true(params, changed, x, seen, ar)

    return on("backward", backward)


MUTANTS: Final = (
    Mutant("std-is-exp-logvar", "", ("forward/log-variance", "forward/tiny"), _std(np.exp)),
    Mutant(
        "std-is-root-of-std", "", ("forward/log-variance", "gradients/tiny"), _std(lambda logvar: np.exp(logvar / 4))
    ),
    Mutant("std-is-softplus", "", ("forward/log-variance",), _std(lambda logvar: np.logaddexp(0.0, logvar))),
    Mutant("std-is-logvar", "", ("forward/log-variance", "forward/tiny"), _std(lambda logvar: logvar)),
    Mutant("std-is-root-of-logvar", "", ("forward/log-variance",), _std(np.sqrt)),
    Mutant(
        "noise-subtracted",
        "",
        ("forward/tiny",),
        on("reparameterize", lambda true, mu, logvar, noise, ar: true(mu, logvar, -noise, ar)),
    ),
    Mutant(
        "log-std-throughout",
        "in the value",
        ("loss/tiny",),
        both(_std(np.exp), on("kl_terms", lambda true, mu, logvar, ar: true(mu, 2.0 * logvar, ar))),
    ),
    Mutant(
        "std-with-floor",
        "1e-6",
        ("forward/log-variance", "forward/tiny"),
        _std(lambda logvar: np.exp(logvar / 2) + 1e-6),
        dtype="float64",
    ),
    Mutant(
        "logvar-clamped",
        "in z, to [-30, 20]",
        ("forward/extreme-logvar",),
        _std(lambda logvar: np.exp(np.clip(logvar, -30.0, 20.0) / 2)),
        alone=True,
    ),
    Mutant(
        "nan-replaced",
        "in z, by the largest float32",
        ("forward/extreme-logvar",),
        on_method(
            "reparameterize", lambda true, model, mu, logvar, noise: np.nan_to_num(true(model, mu, logvar, noise))
        ),
        alone=True,
    ),
    Mutant(
        "noise-shared-by-rows",
        "",
        ("forward/tiny",),
        on("reparameterize", lambda true, mu, logvar, noise, ar: true(mu, logvar, noise[:1] + 0 * noise, ar)),
    ),
    Mutant(
        "noise-misplaced",
        "off by one row",
        (
            "forward/tiny",
            "loss::test_losses_follow_their_rows",
            "gradients::test_order_of_the_batch_is_only_an_order_of_summation",
        ),
        on("reparameterize", lambda true, mu, logvar, noise, ar: true(mu, logvar, np.roll(noise, 1, axis=0), ar)),
    ),
    Mutant(
        "noise-misplaced",
        "the first latent's for every latent",
        ("forward/tiny",),
        on("reparameterize", lambda true, mu, logvar, noise, ar: true(mu, logvar, noise[:, :1] + 0 * noise, ar)),
    ),
    Mutant(
        "posterior-detached",
        "along logvar alone",
        ("gradients/tiny",),
        _backward(lambda step, noise: (step, np.zeros_like(noise))),
    ),
    Mutant(
        "std-slope", "", ("gradients/tiny",), _backward(lambda step, noise: (step._replace(std=2.0 * step.std), noise))
    ),
)
