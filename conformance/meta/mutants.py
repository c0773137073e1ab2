"""Wrong implementations: the oracle with one classic bug each, and the vectors that must reject it.

A suite is measured by what it rejects. Each mutant patches one function of `shared.oracle` (or of the parameters), so
that all else stays true.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import pytest

from shared import oracle, parameters, spec
from shared.contract import Array, Tensors
from shared.oracle import Arithmetic, Forward, Oracle, Params, Real
from shared.spec import Sizes

Patch = Callable[[pytest.MonkeyPatch], None]


class Mutant(NamedTuple):
    """One bug. `claimed` are the vectors that must reject it; `alone` says that in float32 no other one does."""

    bug: str
    flag: str
    patch: Patch
    claimed: tuple[str, ...]
    alone: bool = False


def _on_oracle(name: str) -> Callable[[Callable[..., Any]], Patch]:
    """Turns `wrong(true, *arguments)` into a patch of the oracle's function `name`."""

    def make(wrong: Callable[..., Any]) -> Patch:
        true = getattr(oracle, name)

        def replaced(*arguments: Any, **options: Any) -> Any:
            return wrong(true, *arguments, **options)

        return lambda patch: patch.setattr(oracle, name, replaced)

    return make


def _on_method(name: str) -> Callable[[Callable[..., Any]], Patch]:
    """Turns `wrong(true, self, *arguments)` into a patch of the `Oracle` method `name`."""

    def make(wrong: Callable[..., Any]) -> Patch:
        true = getattr(Oracle, name)

        def replaced(*arguments: Any) -> Any:
            return wrong(true, *arguments)

        return lambda patch: patch.setattr(Oracle, name, replaced)

    return make


@_on_oracle("reparameterize")
def _variance_as_std(true: Any, mu: Real, logvar: Real, noise: Real, ar: Arithmetic) -> Any:
    return true(mu, 2 * logvar, noise, ar)


@_on_oracle("reparameterize")
def _log_std_halved(true: Any, mu: Real, logvar: Real, noise: Real, ar: Arithmetic) -> Any:
    return true(mu, logvar / 2, noise, ar)


@_on_oracle("reparameterize")
def _noise_shared_by_rows(true: Any, mu: Real, logvar: Real, noise: Real, ar: Arithmetic) -> Any:
    return true(mu, logvar, np.broadcast_to(noise[:1], noise.shape), ar)


@_on_oracle("linear")
def _square_weights_transposed(true: Any, params: Params, layer: str, x: Real, ar: Arithmetic) -> Any:
    weight = params[f"{layer}.weight"]
    square = weight.shape[0] == weight.shape[1]
    return true({**params, f"{layer}.weight": weight.T if square else weight}, layer, x, ar)


@_on_oracle("cross_entropy")
def _log_clamped_at_100(true: Any, logits: Real, x: Real, ar: Arithmetic) -> Any:
    return true(np.clip(logits, -100.0, 100.0), x, ar)


@_on_oracle("cross_entropy_slope")
def _gradient_clipped_at_1e7(true: Any, logits: Real, x: Real, ar: Arithmetic) -> Any:
    inside = np.abs(logits) < -np.log(1e-7)
    return np.where(inside, true(logits, x, ar), 0.0)


@_on_oracle("cross_entropy_slope")
def _kink_at_logit_zero(true: Any, logits: Real, x: Real, ar: Arithmetic) -> Any:
    return np.where(logits == 0.0, 1.0 - x, true(logits, x, ar))


@_on_oracle("relu_slope")
def _relu_slope_one_at_zero(true: Any, hidden: Real) -> Any:
    return hidden >= 0.0


@_on_oracle("cross_entropy")
def _targets_and_logits_swapped(true: Any, logits: Real, x: Real, ar: Arithmetic) -> Any:
    return np.logaddexp(0.0, x) - x * logits


@_on_oracle("kl_terms")
def _kl_averaged_over_latents(true: Any, mu: Real, logvar: Real, ar: Arithmetic) -> Any:
    return true(mu, logvar, ar) / mu.shape[1]


@_on_oracle("kl_terms")
def _kl_negated(true: Any, mu: Real, logvar: Real, ar: Arithmetic) -> Any:
    return -true(mu, logvar, ar)


@_on_oracle("kl_terms")
def _logvar_clamped(true: Any, mu: Real, logvar: Real, ar: Arithmetic) -> Any:
    return true(mu, np.clip(logvar, -30.0, 20.0), ar)


@_on_oracle("backward")
def _kl_without_gradient(true: Any, params: Params, step: Forward, x: Real, noise: Real, ar: Arithmetic) -> Any:
    at_prior = step._replace(mu=np.zeros_like(step.mu), logvar=np.zeros_like(step.logvar))
    return true(params, at_prior, x, noise, ar)


@_on_oracle("backward")
def _gradient_averaged_over_batch(
    true: Any, params: Params, step: Forward, x: Real, noise: Real, ar: Arithmetic
) -> Any:
    return {name: gradient / len(x) for name, gradient in true(params, step, x, noise, ar).items()}


def _on_products(patch: pytest.MonkeyPatch) -> None:
    def ten_bits(values: Real) -> Real:
        mantissa, exponent = np.frexp(values)
        return np.ldexp(np.round(mantissa * 2.0**11) / 2.0**11, exponent)

    patch.setattr(Arithmetic, "matmul", lambda self, a, b: ten_bits(a) @ ten_bits(b))


@_on_oracle("adam_step")
def _epsilon_before_correction(
    true: Any, param: Real, m: Real, v: Real, gradient: Real, step: int, ar: Arithmetic
) -> Any:
    _, m, v = true(param, m, v, gradient, step, ar)
    rate = spec.LEARNING_RATE * np.sqrt(1 - spec.BETA2**step) / (1 - spec.BETA1**step)
    return param - rate * m / (np.sqrt(v) + spec.EPSILON), m, v


@_on_oracle("adam_step")
def _epsilon_inside_the_root(
    true: Any, param: Real, m: Real, v: Real, gradient: Real, step: int, ar: Arithmetic
) -> Any:
    _, m, v = true(param, m, v, gradient, step, ar)
    root = np.sqrt(v / (1 - spec.BETA2**step) + spec.EPSILON**2)
    return param - spec.LEARNING_RATE * m / (1 - spec.BETA1**step) / root, m, v


@_on_oracle("adam_step")
def _tiny_gradients_flushed(true: Any, param: Real, m: Real, v: Real, gradient: Real, step: int, ar: Arithmetic) -> Any:
    return true(param, m, v, np.where(np.abs(gradient) < 2e-9, 0.0, gradient), step, ar)


@_on_oracle("adam_step")
def _correction_one_step_late(
    true: Any, param: Real, m: Real, v: Real, gradient: Real, step: int, ar: Arithmetic
) -> Any:
    return true(param, m, v, gradient, step + 1, ar)


@_on_oracle("adam_step")
def _beta2_of_099(true: Any, param: Real, m: Real, v: Real, gradient: Real, step: int, ar: Arithmetic) -> Any:
    _, m, _ = true(param, m, v, gradient, step, ar)
    v = 0.99 * v + 0.01 * gradient * gradient
    corrected = np.sqrt(v / (1 - 0.99**step)) + spec.EPSILON
    return param - spec.LEARNING_RATE * m / (1 - spec.BETA1**step) / corrected, m, v


@_on_method("train")
def _short_batch_padded(true: Any, model: Any, x: Array, order: Array, noise: Array) -> Any:
    """What a fixed batch shape invites: the short last batch is filled up by repeating its rows."""
    full = getattr(model, "full_batch", order.shape[1])
    model.full_batch = full
    rows = np.arange(max(full, order.shape[1])) % order.shape[1]
    return true(model, x, order[:, rows], noise[:, rows])


@_on_method("train")
def _noise_shared_by_steps(true: Any, model: Any, x: Array, order: Array, noise: Array) -> Any:
    return true(model, x, order, np.ascontiguousarray(np.broadcast_to(noise[:1], noise.shape)))


@_on_method("_train_step")
def _objective_after_update(true: Any, model: Any, x: Real, noise: Real) -> Any:
    true(model, x, noise)
    return float(np.sum(model.losses(x, noise)))


def _glorot_initial(patch: pytest.MonkeyPatch) -> None:
    def glorot(seed: int, sizes: Sizes = Sizes()) -> dict[str, Array]:
        drawn: Tensors = true(seed, sizes)
        return {
            name: (value * np.sqrt(6.0 * value.shape[1] / sum(value.shape))).astype(np.float32)
            if value.ndim == 2
            else np.zeros_like(value)
            for name, value in drawn.items()
        }

    true = parameters.initial
    patch.setattr(parameters, "initial", glorot)


MUTANTS: Final = (
    Mutant(
        "exp(logvar) taken as the standard deviation", "std-for-logvar", _variance_as_std, ("forward/log-variance",)
    ),
    Mutant("logvar halved twice", "std-for-logvar", _log_std_halved, ("forward/log-variance", "gradients/tiny")),
    Mutant("one row of noise for the whole batch", "reused-noise", _noise_shared_by_rows, ("forward/tiny",)),
    Mutant(
        "square weights taken as (in, out)",
        "transposed-weights",
        _square_weights_transposed,
        ("forward/square-layers",),
    ),
    Mutant("log clamped at -100", "clamped-log", _log_clamped_at_100, ("loss/saturated-logits",), alone=True),
    Mutant("probabilities clipped at 1e-7", "clamped-log", _gradient_clipped_at_1e7, ("gradients/saturated-logits",)),
    Mutant("gradient 1 - x at logit 0", "kink-at-zero", _kink_at_logit_zero, ("gradients/logit-zero",)),
    Mutant("relu'(0) = 1", "relu-at-zero", _relu_slope_one_at_zero, ("gradients/relu-at-zero",)),
    Mutant(
        "logits and targets swapped",
        "swapped-arguments",
        _targets_and_logits_swapped,
        ("loss/soft-targets",),
    ),
    Mutant("KL averaged over latents", "wrong-reduction", _kl_averaged_over_latents, ("loss/tiny", "loss/full")),
    Mutant("KL with the wrong sign", "kl-sign", _kl_negated, ("loss/tiny",)),
    Mutant("logvar clamped to [-30, 20]", "logvar-clamped", _logvar_clamped, ("loss/extreme-logvar",)),
    Mutant("KL without a gradient", "inert-kl", _kl_without_gradient, ("gradients/kl-wired", "gradients/tiny")),
    Mutant(
        "gradients averaged over the batch",
        "wrong-reduction",
        _gradient_averaged_over_batch,
        ("gradients/tiny", "gradients/full"),
    ),
    Mutant(
        "matrix products in TF32", "coarse-products", _on_products, ("forward/full", "gradients/full", "training/full")
    ),
    Mutant(
        "Adam's epsilon before the bias correction",
        "epsilon-hat",
        _epsilon_before_correction,
        ("training/tiny-gradients", "training/full"),
    ),
    Mutant(
        "Adam's epsilon inside the square root",
        "epsilon-hat",
        _epsilon_inside_the_root,
        ("training/tiny-gradients", "training/full"),
    ),
    Mutant(
        "gradients below 2e-9 taken for zero",
        "gradient-underflow",
        _tiny_gradients_flushed,
        ("training/tiny-gradients",),
        alone=True,
    ),
    Mutant("bias correction counts a step too many", "bias-correction", _correction_one_step_late, ("training/tiny",)),
    Mutant("beta2 = 0.99", "bias-correction", _beta2_of_099, ("training/tiny",)),
    Mutant(
        "short last batch padded", "short-last-batch", _short_batch_padded, ("training/short-last-batch",), alone=True
    ),
    Mutant("one step's noise for all steps", "reused-noise", _noise_shared_by_steps, ("training/tiny",)),
    Mutant("objective after the update", "post-update-objective", _objective_after_update, ("training/tiny",)),
    Mutant(
        "Glorot weights and zero biases",
        "wrong-initial-weights",
        _glorot_initial,
        ("stream/initial-weights", "training/whole-run"),
    ),
)
