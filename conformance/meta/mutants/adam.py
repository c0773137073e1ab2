"""Wrong optimisers: almost Adam."""

from typing import Any, Final

import numpy as np

from vae_rosetta.conformance.meta.mutants.base import Mutant, Patch, on
from vae_rosetta.shared import spec
from vae_rosetta.shared.oracle import Arithmetic, Forward, Params, Real

_Step = tuple[Real, Real, Real]  # param, m, v
_LONG = ("training/tiny", "training/full")


def _adam(wrong: Any) -> Patch:
    """`wrong(param, m, v, gradient, step)` returns the new param, m and v."""
    return on("adam_step", lambda true, param, m, v, gradient, step, ar: wrong(param, m, v, gradient, step))


def _around(wrong: Any) -> Patch:
    """`wrong(step_of, param, m, v, gradient, step)` calls the true `step_of` with something else, or adds to it."""

    def adam_step(true: Any, param: Real, m: Real, v: Real, gradient: Real, step: int, ar: Arithmetic) -> Any:
        return wrong(lambda *arguments: true(*arguments, ar), param, m, v, gradient, step)

    return on("adam_step", adam_step)


def _hyperparameters(
    rate: float = spec.LEARNING_RATE,
    beta1: float = spec.BETA1,
    beta2: float = spec.BETA2,
    epsilon: float = spec.EPSILON,
    late1: float = 0,
    late2: float = 0,
) -> Patch:
    """Algorithm 1 with other constants, or with bias corrections that count `late` steps more."""

    def wrong(param: Real, m: Real, v: Real, gradient: Real, step: int) -> _Step:
        m = beta1 * m + (1 - beta1) * gradient
        v = beta2 * v + (1 - beta2) * gradient * gradient
        m_hat, v_hat = m / (1 - beta1 ** (step + late1)), v / (1 - beta2 ** (step + late2))
        return param - rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v

    return _adam(wrong)


def _moments(m: Real, v: Real, gradient: Real) -> tuple[Real, Real]:
    return spec.BETA1 * m + (1 - spec.BETA1) * gradient, spec.BETA2 * v + (1 - spec.BETA2) * gradient * gradient


def _epsilon_hat(epsilon: float) -> Patch:
    def wrong(param: Real, m: Real, v: Real, gradient: Real, step: int) -> _Step:
        m, v = _moments(m, v, gradient)
        rate = spec.LEARNING_RATE * np.sqrt(1 - spec.BETA2**step) / (1 - spec.BETA1**step)
        return param - rate * m / (np.sqrt(v) + epsilon), m, v

    return _adam(wrong)


def _epsilon_in_root(param: Real, m: Real, v: Real, gradient: Real, step: int) -> _Step:
    m, v = _moments(m, v, gradient)
    root = np.sqrt(v / (1 - spec.BETA2**step) + spec.EPSILON**2)
    return param - spec.LEARNING_RATE * m / (1 - spec.BETA1**step) / root, m, v


def _second_moment_before(param: Real, m: Real, v: Real, gradient: Real, step: int) -> _Step:
    """The update divides by the root of the v that the step found, but for the first one."""
    m, after = _moments(m, v, gradient)
    v_hat = v / (1 - spec.BETA2 ** (step - 1)) if step > 1 else after / (1 - spec.BETA2)
    return param - spec.LEARNING_RATE * m / (1 - spec.BETA1**step) / (np.sqrt(v_hat) + spec.EPSILON), m, after


def _nesterov(param: Real, m: Real, v: Real, gradient: Real, step: int) -> _Step:
    m, v = _moments(m, v, gradient)
    ahead = spec.BETA1 * m / (1 - spec.BETA1 ** (step + 1)) + (1 - spec.BETA1) * gradient / (1 - spec.BETA1**step)
    return param - spec.LEARNING_RATE * ahead / (np.sqrt(v / (1 - spec.BETA2**step)) + spec.EPSILON), m, v


def _lazy(step_of: Any, param: Real, m: Real, v: Real, gradient: Real, step: int) -> _Step:
    """What a sparse optimiser does: an element whose gradient is 0 keeps its parameter and moments."""
    moved = gradient != 0.0
    new = step_of(param, m, v, gradient, step)
    kept = tuple(np.where(moved, after, before) for after, before in zip(new, (param, m, v), strict=True))
    return kept[0], kept[1], kept[2]


def _clipped_by_norm(limit: float) -> Patch:
    """All gradients scaled down together where their norm is above `limit`."""

    def backward(true: Any, params: Params, step: Forward, x: Real, noise: Real, ar: Arithmetic) -> Any:
        gradients = true(params, step, x, noise, ar)
        norm = np.sqrt(sum(float(np.sum(g * g)) for g in gradients.values()))
        return {name: g * min(1.0, limit / norm) for name, g in gradients.items()}

    return on("backward", backward)


MUTANTS: Final = (
    Mutant(
        "epsilon-hat",
        "epsilon added before the bias correction",
        "google-deepmind/optax#571",
        "P16",
        "adam",
        "epsilon-hat",
        ("training/tiny-gradients", "training/full"),
        _epsilon_hat(spec.EPSILON),
    ),
    Mutant(
        "epsilon-hat-1e-7",
        "Keras' own: epsilon 1e-7 before the bias correction",
        "pytorch/pytorch#104857",
        "P16",
        "adam",
        "epsilon-hat",
        ("training/tiny-gradients", "training/full"),
        _epsilon_hat(1e-7),
    ),
    Mutant(
        "epsilon-1e-7",
        "epsilon 1e-7",
        "google-deepmind/optax#571",
        "P16",
        "adam",
        "epsilon-hat",
        ("training/tiny-gradients",),
        _hyperparameters(epsilon=1e-7),
    ),
    Mutant(
        "epsilon-in-root",
        "epsilon inside the square root",
        "google-deepmind/optax#571",
        "P16",
        "adam",
        "epsilon-hat",
        ("training/tiny-gradients", "training/full"),
        _adam(_epsilon_in_root),
    ),
    Mutant(
        "gradients-flushed",
        "gradients below 2e-9 taken for zero",
        "arXiv:1710.03740",
        "P16",
        "adam",
        "gradient-underflow",
        ("training/tiny-gradients",),
        _around(lambda step_of, p, m, v, g, step: step_of(p, m, v, np.where(np.abs(g) < 2e-9, 0.0, g), step)),
        alone=True,
    ),
    Mutant(
        "correction-one-late",
        "both bias corrections count a step too many",
        "allenai/OLMo-core#317",
        "P16",
        "adam",
        "bias-correction",
        _LONG,
        _around(lambda step_of, p, m, v, g, step: step_of(p, m, v, g, step + 1)),
    ),
    Mutant(
        "correction-of-v-one-late",
        "the bias correction of v alone counts a step too many",
        "karpathy/convnetjs#107",
        "P16",
        "adam",
        "bias-correction",
        _LONG,
        _hyperparameters(late2=1),
    ),
    Mutant(
        "no-correction-of-v",
        "v is not bias-corrected",
        "oxiglade/mlx-rs#301",
        "P16",
        "adam",
        "bias-correction",
        _LONG,
        _hyperparameters(late2=1_000_000),
    ),
    Mutant(
        "no-correction-of-m",
        "m is not bias-corrected",
        "oxiglade/mlx-rs#301",
        "P16",
        "adam",
        "bias-correction",
        _LONG,
        _hyperparameters(late1=1_000_000),
    ),
    Mutant(
        "beta1-0.91",
        "beta1 = 0.91",
        "jolibrain/joliGEN#193",
        "P16",
        "adam",
        "bias-correction",
        _LONG,
        _hyperparameters(beta1=0.91),
    ),
    Mutant(
        "beta2-0.99",
        "beta2 = 0.99",
        "LoganBooker/prodigy-plus-schedule-free#9",
        "P16",
        "adam",
        "bias-correction",
        _LONG,
        _hyperparameters(beta2=0.99),
    ),
    Mutant(
        "rest-in-float32",
        "1 - beta formed in float32: 1 - 0.999f",
        "pytorch/pytorch#173224",
        "P16",
        "adam",
        "rounded-constants",
        _LONG,
        _hyperparameters(beta1=float(np.float32(spec.BETA1)), beta2=float(np.float32(spec.BETA2))),
    ),
    Mutant(
        "learning-rate-1.001e-3",
        "learning rate a thousandth too high",
        "hulianyuyy/Temporal-Lift-Pooling#4",
        "P16",
        "adam",
        "bias-correction",
        _LONG,
        _hyperparameters(rate=1.001e-3),
    ),
    Mutant(
        "learning-rate-decays",
        "learning rate times 0.9999 at every step",
        "uclnlp/jack#322",
        "P16",
        "adam",
        "bias-correction",
        _LONG,
        _around(
            lambda step_of, p, m, v, g, step: (
                (new := step_of(p, m, v, g, step))[0] + (1 - 0.9999 ** (step - 1)) * (p - new[0]),
                *new[1:],
            )
        ),
    ),
    Mutant(
        "decoupled-weight-decay",
        "decoupled weight decay of 1e-4",
        "NVIDIA/apex#1849",
        "P31",
        "adam",
        "bias-correction",
        _LONG,
        _around(
            lambda step_of, p, m, v, g, step: step_of(p * (1 - 1e-4 * spec.LEARNING_RATE), m, v, g, step),
        ),
        dtype="float64",
    ),
    Mutant(
        "l2-penalty",
        "a penalty of 1e-4 times the weights in the gradient",
        "pytorch/pytorch#38767",
        "P31",
        "adam",
        "bias-correction",
        _LONG,
        _around(lambda step_of, p, m, v, g, step: step_of(p, m, v, g + 1e-4 * p, step)),
    ),
    Mutant(
        "clipped-by-norm",
        "gradients clipped to a norm that one step in ten exceeds, by a tenth",
        "AI-Hypercomputer/torchprime#286",
        "P31",
        "adam",
        "bias-correction",
        ("training/tiny",),
        _clipped_by_norm(50.0),
    ),
    Mutant(
        "amsgrad",
        "AMSGrad: v never falls",
        "google-deepmind/optax#1389",
        "P31",
        "adam",
        "bias-correction",
        _LONG,
        _around(
            lambda step_of, p, m, v, g, step: (
                (new := step_of(p, m, v, g, step))[0],
                new[1],
                np.maximum(new[2], v),
            )
        ),
    ),
    Mutant(
        "nesterov",
        "Nesterov momentum: NAdam",
        "google-deepmind/optax#719",
        "P31",
        "adam",
        "bias-correction",
        _LONG,
        _adam(_nesterov),
    ),
    Mutant(
        "lazy-moments",
        "elements with a zero gradient keep their moments, as in a sparse Adam",
        "tensorflow/tensorflow#23668",
        "P17",
        "adam",
        "bias-correction",
        ("training/full",),
        _around(_lazy),
    ),
    Mutant(
        "v-of-the-step-before",
        "the update divides by the v of the step before",
        "kozistr/pytorch_optimizer#346",
        "P16",
        "adam",
        "bias-correction",
        _LONG,
        _adam(_second_moment_before),
    ),
    Mutant(
        "zero-gradient-moves",
        "m / (sqrt(v) + eps) with noise of 1e-12 where the gradient is exactly 0",
        "MrNeRF/LichtFeld-Studio#2066",
        "P17",
        "adam",
        "gradient-underflow",
        ("training/tiny-gradients",),
        _around(lambda step_of, p, m, v, g, step: step_of(p, m, v, np.where(g == 0.0, 1e-12, g), step)),
    ),
    Mutant(
        "biases-frozen",
        "biases are left out of the optimiser",
        "nntrainer/nntrainer#219",
        "P31",
        "adam",
        "bias-correction",
        _LONG,
        _around(lambda step_of, p, m, v, g, step: step_of(p, m, v, g, step) if p.ndim == 2 else (p, m, v)),
    ),
)
