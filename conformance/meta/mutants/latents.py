"""Wrong ways from mu, logvar and noise to z, and back."""

from typing import Any, Final

import numpy as np

from vae_rosetta.conformance.meta.mutants.base import Mutant, Patch, on, on_method
from vae_rosetta.shared.oracle import Arithmetic, Forward, Params, Real

_Z = "arch.reparameterize"


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
    Mutant(
        "std-is-exp-logvar",
        "logvar read as log-std: std = exp(logvar)",
        "DeepTrackAI/DeepTrack2#170",
        "P05",
        _Z,
        "std-for-logvar",
        ("forward/log-variance", "forward/tiny"),
        _std(np.exp),
    ),
    Mutant(
        "logvar-halved-twice",
        "std = exp(logvar / 4)",
        "keras-team/keras#9972",
        "P05",
        _Z,
        "std-for-logvar",
        ("forward/log-variance", "gradients/tiny"),
        _std(lambda logvar: np.exp(logvar / 4)),
    ),
    Mutant(
        "std-is-softplus",
        "std = softplus(logvar)",
        "masato-ka/airc-rl-agent#43",
        "P05",
        _Z,
        "std-for-logvar",
        ("forward/log-variance",),
        _std(lambda logvar: np.logaddexp(0.0, logvar)),
    ),
    Mutant(
        "std-with-floor",
        "1e-6 added to the standard deviation",
        "luigibonati/mlcolvar#192",
        "P05",
        _Z,
        "std-for-logvar",
        ("forward/log-variance", "forward/tiny"),
        _std(lambda logvar: np.exp(logvar / 2) + 1e-6),
        dtype="float64",
    ),
    Mutant(
        "z-clamps-logvar",
        "logvar clamped to [-30, 20] before z is drawn",
        "yzhao062/pyod#609",
        "P10",
        _Z,
        "logvar-clamped",
        ("forward/extreme-logvar",),
        _std(lambda logvar: np.exp(np.clip(logvar, -30.0, 20.0) / 2)),
        alone=True,
    ),
    Mutant(
        "z-nan-to-num",
        "infinite z replaced by the largest float32",
        "vanderschaarlab/synthcity#331",
        "P10",
        _Z,
        "logvar-clamped",
        ("forward/extreme-logvar",),
        on_method(
            "reparameterize", lambda true, model, mu, logvar, noise: np.nan_to_num(true(model, mu, logvar, noise))
        ),
        alone=True,
    ),
    Mutant(
        "noise-of-first-row",
        "one row of noise for the whole batch",
        "freyavoiceai/FreyaTTS#4",
        "P27",
        _Z,
        "reused-noise",
        ("forward/tiny",),
        on("reparameterize", lambda true, mu, logvar, noise, ar: true(mu, logvar, noise[:1] + 0 * noise, ar)),
    ),
    Mutant(
        "noise-off-by-one-row",
        "each row takes the noise of the next",
        "ltdrdata/ComfyUI-Impact-Pack#643",
        "P27",
        _Z,
        "reused-noise",
        (
            "forward/tiny",
            "loss::test_losses_follow_their_rows",
            "gradients::test_order_of_the_batch_is_only_an_order_of_summation",
        ),
        on("reparameterize", lambda true, mu, logvar, noise, ar: true(mu, logvar, np.roll(noise, 1, axis=0), ar)),
    ),
    Mutant(
        "noise-of-first-latent",
        "one number of noise for all latents of a row",
        "BioroboticsLab/IBA#17",
        "P27",
        _Z,
        "reused-noise",
        ("forward/tiny",),
        on("reparameterize", lambda true, mu, logvar, noise, ar: true(mu, logvar, noise[:, :1] + 0 * noise, ar)),
    ),
    Mutant(
        "noise-detached",
        "no gradient reaches logvar through z",
        "Unity-Technologies/ml-agents#5546",
        "P05",
        _Z,
        "std-for-logvar",
        ("gradients/tiny",),
        _backward(lambda step, noise: (step, np.zeros_like(noise))),
    ),
    Mutant(
        "half-lost-in-gradient",
        "d z / d logvar without its 1/2",
        "y0ast/VAE-Torch#13",
        "P05",
        _Z,
        "std-for-logvar",
        ("gradients/tiny",),
        _backward(lambda step, noise: (step._replace(std=2.0 * step.std), noise)),
    ),
)
