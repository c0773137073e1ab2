"""What may be wrong in the forward pass, as an oracle with that bug."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from conformance.explainer.rules import Rules
from shared.oracle import Real, sigmoid
from shared.spec import Sizes


class Hypothesis(NamedTuple):
    """One bug."""

    cause: str  # of CAUSES
    detail: str  # what is particular: a number, a name; may be empty
    rules: Rules


def model_hypotheses(sizes: Sizes) -> Iterator[Hypothesis]:
    """Bugs of encoder, reparameterisation and decoder, for a model of the given sizes."""
    yield Hypothesis("noise-ignored", "", Rules(noise=np.zeros_like))
    yield Hypothesis("noise-shared-by-rows", "", Rules(noise=lambda noise: np.broadcast_to(noise[:1], noise.shape)))
    yield Hypothesis("noise-reversed", "", Rules(noise=lambda noise: noise[::-1]))
    yield Hypothesis("noise-subtracted", "", Rules(noise=np.negative))
    yield from _standard_deviations()
    for value in (1.0, 0.5):
        yield Hypothesis("relu-slope", f"it is {value:g}", _slope_at_zero(value))
    yield Hypothesis("heads-swapped", "", Rules(heads=("encoder.fc2_logvar", "encoder.fc2_mu")))
    yield Hypothesis("sigmoid-returned", "", Rules(logits=sigmoid))
    yield from _transpositions(sizes)
    yield Hypothesis("no-bias", "", Rules(unbiased=True))
    yield Hypothesis("activation", "none", Rules(activation=np.array, activation_slope=np.ones_like))
    yield Hypothesis("activation", "tanh", Rules(activation=np.tanh, activation_slope=lambda h: 1 - np.tanh(h) ** 2))
    yield Hypothesis("activation", "sigmoid", Rules(activation=sigmoid, activation_slope=sigmoid_slope))
    for slope in (0.01, 0.2, 0.3):
        yield Hypothesis("activation", f"leaky relu, slope {slope}", _leaky(slope))


def sigmoid_slope(logits: Real) -> Real:
    """The derivative of the sigmoid."""
    return sigmoid(logits) * sigmoid(-logits)


def _standard_deviations() -> Iterator[Hypothesis]:
    yield Hypothesis("std-is-exp-logvar", "", Rules(std=np.exp, std_slope=np.exp))
    fourth = Rules(std=lambda logvar: np.exp(logvar / 4), std_slope=lambda logvar: np.exp(logvar / 4) / 4)
    yield Hypothesis("std-is-root-of-std", "", fourth)
    # A gradient written by hand for exp(logvar / 2) does not follow what the forward pass does.
    by_hand = Rules(std=np.exp, std_slope=lambda logvar: np.exp(logvar) / 2)
    yield Hypothesis("std-is-exp-logvar", "the gradient, half of it", by_hand)
    by_hand = Rules(std=lambda logvar: np.exp(logvar / 4), std_slope=lambda logvar: np.exp(logvar / 4) / 2)
    yield Hypothesis("std-is-root-of-std", "the gradient, twice it", by_hand)
    yield Hypothesis("std-is-logvar", "", Rules(std=np.array, std_slope=np.ones_like))
    root = Rules(std=np.sqrt, std_slope=lambda logvar: 0.5 / np.sqrt(logvar))
    yield Hypothesis("std-is-root-of-logvar", "NaN where it is negative", root)
    softplus = Rules(std=lambda logvar: np.logaddexp(0.0, logvar), std_slope=sigmoid)
    yield Hypothesis("std-is-softplus", "", softplus)


def kl_of_log_std(mu: Real, log_std: Real) -> Real:
    """The KL term of a posterior with the given log of the standard deviation."""
    return 0.5 * (mu * mu + np.expm1(2.0 * log_std) - 2.0 * log_std)


def kl_of_log_std_slopes(mu: Real, log_std: Real) -> tuple[Real, Real]:
    """The derivatives of `kl_of_log_std`."""
    return mu, np.expm1(2.0 * log_std)


def _transpositions(sizes: Sizes) -> Iterator[Hypothesis]:
    pixels, hidden, latents = sizes
    square = {
        "encoder.fc1": pixels == hidden,
        "encoder.fc2_mu": hidden == latents,
        "encoder.fc2_logvar": hidden == latents,
        "decoder.fc3": hidden == latents,
        "decoder.fc4": pixels == hidden,
    }
    layers = [layer for layer, fits in square.items() if fits]
    if layers:
        yield Hypothesis("transposed", "every square layer", Rules(transposed=frozenset(layers)))
    for layer in layers:
        yield Hypothesis("transposed", layer, Rules(transposed=frozenset({layer})))


def _leaky(slope: float) -> Rules:
    return Rules(
        activation=lambda h: np.where(h > 0, h, slope * h), activation_slope=lambda h: np.where(h > 0, 1.0, slope)
    )


def _slope_at_zero(value: float) -> Rules:
    return Rules(activation_slope=lambda before: np.where(before > 0, 1.0, np.where(before == 0, value, 0.0)))
