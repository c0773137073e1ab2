"""What may be wrong in the forward pass, as an oracle with that bug."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from vae_rosetta.conformance.explainer.rules import Rules, Unary
from vae_rosetta.shared import spec
from vae_rosetta.shared.oracle import Real, sigmoid
from vae_rosetta.shared.spec import Sizes

LOGVARS: Final = (
    (-30.0, 20.0),  # pyod, diffusers
    (-20.0, 20.0),
    (-10.0, 10.0),
    (-20.0, 2.0),  # soft actor-critic
    (-5.0, 5.0),
    (-4.0, 4.0),
    (-4.0, 15.0),
    (-np.inf, 88.0),
    (-np.inf, 80.0),
    (-np.inf, 50.0),
    (-np.inf, 20.0),
    (-np.inf, 10.0),
    (-np.inf, 5.0),
)
_LAYERS: Final = ("encoder.fc1", "encoder.fc2_mu", "encoder.fc2_logvar", "decoder.fc3", "decoder.fc4")
_PIXELS: Final[tuple[tuple[str, Unary], ...]] = (
    ("rounded to 0 or 1", np.round),
    ("1 above 0", lambda x: (x > 0.0).astype(np.float64)),
    ("from -1 to 1", lambda x: 2.0 * x - 1.0),
    ("standardised as MNIST", lambda x: (x - 0.1307) / 0.3081),
    ("divided by 255 again", lambda x: x / 255.0),
    ("from 0 to 255", lambda x: x * 255.0),
    ("inverted", lambda x: 1.0 - x),
)


class Hypothesis(NamedTuple):
    """One bug."""

    cause: str  # the id of a bug in the catalogue, shared.bugs
    detail: str  # what is particular: a number, a name; may be empty
    rules: Rules


def model_hypotheses(sizes: Sizes) -> Iterator[Hypothesis]:
    """Bugs of encoder, reparameterisation and decoder, for a model of the given sizes."""
    yield Hypothesis("noise-ignored", "", Rules(noise=np.zeros_like))
    yield Hypothesis("noise-shared-by-rows", "", Rules(noise=lambda noise: np.broadcast_to(noise[:1], noise.shape)))
    yield Hypothesis("noise-misplaced", "rows in reverse", Rules(noise=lambda noise: noise[::-1]))
    yield Hypothesis("noise-misplaced", "off by one row", Rules(noise=lambda noise: np.roll(noise, 1, axis=0)))
    yield Hypothesis("noise-misplaced", "off by one row", Rules(noise=lambda noise: np.roll(noise, -1, axis=0)))
    first = Rules(noise=lambda noise: np.broadcast_to(noise[:, :1], noise.shape))
    yield Hypothesis("noise-misplaced", "the first latent's for every latent", first)
    yield Hypothesis("noise-subtracted", "", Rules(noise=np.negative))
    yield from _standard_deviations()
    for value in (1.0, 0.5):
        yield Hypothesis("relu-at-zero", f"it is {value:g}", _slope_at_zero(value))
    yield Hypothesis("heads-swapped", "", Rules(heads=("encoder.fc2_logvar", "encoder.fc2_mu")))
    yield Hypothesis("sigmoid-returned", "", Rules(logits=sigmoid))
    yield from _transpositions(sizes)
    yield Hypothesis("no-bias", "no layer", Rules(unbiased=frozenset(_LAYERS)))
    for layer in _LAYERS:
        yield Hypothesis("no-bias", layer, Rules(unbiased=frozenset({layer})))
    yield from _activations()
    for low, high in LOGVARS:
        yield Hypothesis("logvar-clamped", f"in z, to [{low:g}, {high:g}]", _std_clamped(low, high))
    for text, change in _PIXELS:
        yield Hypothesis("pixels-changed", text, Rules(pixels=change))
        yield Hypothesis("targets-changed", text, Rules(targets=change))


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
    yield Hypothesis("std-slope", "", Rules(std_slope=lambda logvar: np.exp(logvar / 2)))
    softplus = Rules(std=lambda logvar: np.logaddexp(0.0, logvar), std_slope=sigmoid)
    yield Hypothesis("std-is-softplus", "", softplus)


def kl_of_log_std(mu: Real, log_std: Real) -> Real:
    """The KL term of a posterior with the given log of the standard deviation."""
    return 0.5 * (mu * mu + np.expm1(2.0 * log_std) - 2.0 * log_std)


def kl_of_log_std_slopes(mu: Real, log_std: Real) -> tuple[Real, Real]:
    """The derivatives of `kl_of_log_std`."""
    return mu, np.expm1(2.0 * log_std)


def _transpositions(sizes: Sizes) -> Iterator[Hypothesis]:
    shapes = spec.parameter_shapes(sizes)
    layers = [layer for layer in _LAYERS if len({*shapes[f"{layer}.weight"]}) == 1]
    if layers:
        yield Hypothesis("transposed-weights", "every square layer", Rules(transposed=frozenset(layers)))
    for layer in layers:
        yield Hypothesis("transposed-weights", layer, Rules(transposed=frozenset({layer})))


def _std_clamped(low: float, high: float) -> Rules:
    return Rules(std=lambda logvar: np.exp(np.clip(logvar, low, high) / 2))


def _activations() -> Iterator[Hypothesis]:
    choices: list[tuple[str, Unary, Unary]] = [
        ("none", np.array, np.ones_like),
        ("tanh", np.tanh, lambda h: 1 - np.tanh(h) ** 2),
        ("sigmoid", sigmoid, sigmoid_slope),
        *((f"leaky relu, slope {slope}", *_leaky(slope)) for slope in (0.01, 0.2, 0.3)),
    ]
    for text, f, slope in choices:
        both = Rules(activation=f, activation_slope=slope, activation3=f, activation3_slope=slope)
        yield Hypothesis("activation", text, both)
        yield Hypothesis("activation", f"{text}, in the encoder", Rules(activation=f, activation_slope=slope))
        yield Hypothesis("activation", f"{text}, in the decoder", Rules(activation3=f, activation3_slope=slope))


def _leaky(slope: float) -> tuple[Unary, Unary]:
    return lambda h: np.where(h > 0, h, slope * h), lambda h: np.where(h > 0, 1.0, slope)


def _slope_at_zero(value: float) -> Rules:
    def slope(before: Real) -> Real:
        return np.where(before > 0, 1.0, np.where(before == 0, value, 0.0))

    return Rules(activation_slope=slope, activation3_slope=slope)
