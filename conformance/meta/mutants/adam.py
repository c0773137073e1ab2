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
    Mutant("epsilon-hat", "epsilon is 1e-8", ("training/tiny-gradients", "training/full"), _epsilon_hat(spec.EPSILON)),
    Mutant("epsilon-hat", "epsilon is 1e-7", ("training/tiny-gradients", "training/full"), _epsilon_hat(1e-7)),
    Mutant("epsilon-value", "1e-7", ("training/tiny-gradients",), _hyperparameters(epsilon=1e-7)),
    Mutant("epsilon-in-root", "", ("training/tiny-gradients", "training/full"), _adam(_epsilon_in_root)),
    Mutant(
        "gradient-underflow",
        "those below 2e-9",
        ("training/tiny-gradients",),
        _around(lambda step_of, p, m, v, g, step: step_of(p, m, v, np.where(np.abs(g) < 2e-9, 0.0, g), step)),
        alone=True,
    ),
    Mutant(
        "bias-correction-late",
        "of m and v",
        _LONG,
        _around(lambda step_of, p, m, v, g, step: step_of(p, m, v, g, step + 1)),
    ),
    Mutant("bias-correction-late", "of v alone", _LONG, _hyperparameters(late2=1)),
    Mutant("no-bias-correction", "of v", _LONG, _hyperparameters(late2=1_000_000)),
    Mutant("no-bias-correction", "of m", _LONG, _hyperparameters(late1=1_000_000)),
    Mutant("adam-beta1", "0.91", _LONG, _hyperparameters(beta1=0.91)),
    Mutant("adam-beta2", "0.99", _LONG, _hyperparameters(beta2=0.99)),
    Mutant(
        "rounded-constants",
        "",
        _LONG,
        _hyperparameters(beta1=float(np.float32(spec.BETA1)), beta2=float(np.float32(spec.BETA2))),
    ),
    Mutant("adam-rate", "1.001e-3", _LONG, _hyperparameters(rate=1.001e-3)),
    Mutant(
        "adam-rate",
        "times 0.9999 at every step",
        _LONG,
        _around(
            lambda step_of, p, m, v, g, step: (
                (new := step_of(p, m, v, g, step))[0] + (1 - 0.9999 ** (step - 1)) * (p - new[0]),
                *new[1:],
            )
        ),
    ),
    Mutant(
        "weight-decay",
        "decoupled, 1e-4",
        _LONG,
        _around(
            lambda step_of, p, m, v, g, step: step_of(p * (1 - 1e-4 * spec.LEARNING_RATE), m, v, g, step),
        ),
        dtype="float64",
    ),
    Mutant(
        "weight-decay",
        "in the gradient, 1e-4",
        _LONG,
        _around(lambda step_of, p, m, v, g, step: step_of(p, m, v, g + 1e-4 * p, step)),
    ),
    Mutant("gradient-clipped", "to a norm of 50", ("training/tiny",), _clipped_by_norm(50.0)),
    Mutant(
        "gradients-averaged",
        "of 2 workers",
        ("training/tiny",),
        _around(lambda step_of, p, m, v, g, step: step_of(p, m, v, g / 2, step)),
    ),
    Mutant(
        "amsgrad",
        "",
        _LONG,
        _around(
            lambda step_of, p, m, v, g, step: (
                (new := step_of(p, m, v, g, step))[0],
                new[1],
                np.maximum(new[2], v),
            )
        ),
    ),
    Mutant("nadam", "", _LONG, _adam(_nesterov)),
    Mutant("not-adam", "", _LONG, _adam(lambda param, m, v, g, step: (param - spec.LEARNING_RATE * g, m, v))),
    Mutant("lazy-moments", "", ("training/full",), _around(_lazy)),
    Mutant("stale-second-moment", "", _LONG, _adam(_second_moment_before)),
    Mutant(
        "zero-gradient-moves",
        "noise of 1e-12",
        ("training/tiny-gradients",),
        _around(lambda step_of, p, m, v, g, step: step_of(p, m, v, np.where(g == 0.0, 1e-12, g), step)),
    ),
    Mutant(
        "biases-frozen",
        "",
        _LONG,
        _around(lambda step_of, p, m, v, g, step: step_of(p, m, v, g, step) if p.ndim == 2 else (p, m, v)),
    ),
)
