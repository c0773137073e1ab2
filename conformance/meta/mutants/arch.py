"""Wrong networks: layout of weights, heads, latents and pixels, activations, what happens to the input."""

from typing import Any, Final

import numpy as np

from vae_rosetta.conformance.meta.mutants.base import Mutant, Patch, both, on, on_method
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.oracle import Arithmetic, Params, Real


def _layer(wrong: Any) -> Patch:
    """`wrong(layer, weight, bias)` returns the weight and bias that are used instead."""

    def linear(true: Any, params: Params, layer: str, x: Real, ar: Arithmetic) -> Real:
        weight, bias = wrong(layer, params[f"{layer}.weight"], params[f"{layer}.bias"])
        result: Real = true({**params, f"{layer}.weight": weight, f"{layer}.bias": bias}, layer, x, ar)
        return result

    return on("linear", linear)


def _transposed_where_square(*layers: str) -> Patch:
    def wrong(layer: str, weight: Real, bias: Real) -> tuple[Real, Real]:
        turn = weight.shape[0] == weight.shape[1] and layer in layers
        return (weight.T if turn else weight), bias

    return _layer(wrong)


def _without_bias(name: str) -> Patch:
    return _layer(lambda layer, weight, bias: (weight, np.zeros_like(bias) if layer == name else bias))


def _encoded(wrong: Any) -> Patch:
    """`wrong(hidden, mu, logvar)` returns what the encoder does."""
    return on("encode", lambda true, *arguments: wrong(*true(*arguments)))


def _latents_reversed() -> Patch:
    """Latent j is latent L - 1 - j throughout: losses would be the same, had the noise come along."""
    return both(
        _encoded(lambda hidden, mu, logvar: (hidden, mu[:, ::-1], logvar[:, ::-1])),
        on("decode", lambda true, params, z, ar: true(params, z[:, ::-1], ar)),
    )


def _pixels_column_by_column() -> Patch:
    """A 12-pixel picture of 3 x 4 is flattened down its columns, on the way in and out."""

    def order(pixels: int) -> Any:
        rows = next(n for n in (3, 28, 5, 1) if pixels % n == 0)
        return np.arange(pixels).reshape(rows, -1).T.ravel()

    def decode(true: Any, params: Params, z: Real, ar: Arithmetic) -> tuple[Real, Real]:
        hidden3, logits = true(params, z, ar)
        turned = np.empty_like(logits)
        turned[:, order(logits.shape[1])] = logits
        return hidden3, turned

    return both(
        on("encode", lambda true, params, x, ar: true(params, x[:, order(x.shape[1])], ar)), on("decode", decode)
    )


def _relu_in(layer: str, activation: Any) -> Patch:
    """Another activation than relu after `layer`."""

    def encode(true: Any, params: Params, x: Real, ar: Arithmetic) -> Any:
        hidden = activation(x @ params["encoder.fc1.weight"].T + params["encoder.fc1.bias"])
        heads = (f"encoder.{head}" for head in ("fc2_mu", "fc2_logvar"))
        return hidden, *(hidden @ params[f"{head}.weight"].T + params[f"{head}.bias"] for head in heads)

    def decode(true: Any, params: Params, z: Real, ar: Arithmetic) -> Any:
        hidden3 = activation(z @ params["decoder.fc3.weight"].T + params["decoder.fc3.bias"])
        return hidden3, hidden3 @ params["decoder.fc4.weight"].T + params["decoder.fc4.bias"]

    return on("encode", encode) if layer == "encoder.fc1" else on("decode", decode)


def _batch_normalised(hidden: Real, mu: Real, logvar: Real) -> tuple[Real, Real, Real]:
    return hidden, mu - mu.mean(axis=0), logvar


def _dropout(true: Any, model: Any, x: Array) -> tuple[Array, Array]:
    mu, logvar = true(model, x)
    return mu * 2 * (np.random.default_rng().random(mu.shape) > 0.5), logvar


MUTANTS: Final = (
    Mutant(
        "transposed-weights",
        "every square one",
        ("forward/square-layers",),
        _transposed_where_square("encoder.fc1", "encoder.fc2_mu", "encoder.fc2_logvar", "decoder.fc3", "decoder.fc4"),
    ),
    Mutant(
        "transposed-weights",
        "the square one of the decoder",
        ("forward/square-layers",),
        _transposed_where_square("decoder.fc3"),
    ),
    Mutant(
        "heads-swapped",
        "",
        ("forward/square-layers", "forward/tiny"),
        _encoded(lambda hidden, mu, logvar: (hidden, logvar, mu)),
    ),
    Mutant(
        "columns-permuted",
        "latents, in encoder and decoder alike",
        ("forward/square-layers", "forward/tiny"),
        _latents_reversed(),
    ),
    Mutant("pixels-by-column", "", ("forward/tiny", "gradients/tiny"), _pixels_column_by_column()),
    Mutant("no-bias", "of the last layer", ("forward/tiny", "forward/full"), _without_bias("decoder.fc4")),
    Mutant(
        "no-bias", "of the log-variance head", ("forward/tiny", "forward/full"), _without_bias("encoder.fc2_logvar")
    ),
    Mutant(
        "relu-at-zero", "it is 1", ("gradients/relu-at-zero",), on("relu_slope", lambda true, hidden: hidden >= 0.0)
    ),
    Mutant(
        "relu-at-zero",
        "it is 1/2",
        ("gradients/relu-at-zero",),
        on("relu_slope", lambda true, hidden: (hidden > 0.0) + 0.5 * (hidden == 0.0)),
    ),
    Mutant(
        "activation",
        "leaky relu, slope 0.01, in the encoder",
        ("forward/tiny", "forward/full"),
        _relu_in("encoder.fc1", lambda a: np.where(a > 0, a, 0.01 * a)),
    ),
    Mutant("activation", "none in the decoder", ("forward/tiny", "forward/full"), _relu_in("decoder.fc3", lambda a: a)),
    Mutant(
        "batch-statistics",
        "mu is centred over the batch",
        ("forward/tiny", "forward::test_rows_do_not_see_each_other"),
        _encoded(_batch_normalised),
    ),
    Mutant(
        "sigmoid-returned",
        "",
        ("forward/tiny", "forward/full"),
        on_method("decode", lambda true, model, z: 1.0 / (1.0 + np.exp(-true(model, z)))),
    ),
    Mutant(
        "logits-clamped",
        "to +-50",
        ("loss/saturated-logits", "gradients/saturated-logits"),
        on(
            "decode",
            lambda true, params, z, ar: (
                found := true(params, z, ar),
                (found[0], np.clip(found[1], -50.0, 50.0)),
            )[1],
        ),
    ),
    Mutant("dropout-left-on", "half of them", ("forward/full",), on_method("encode", _dropout)),
    Mutant(
        "pixels-changed",
        "shifted by MNIST's mean 0.1307 and scaled",
        ("forward/tiny", "forward/full"),
        on("encode", lambda true, params, x, ar: true(params, (x - 0.1307) / 0.3081, ar)),
    ),
    Mutant(
        "pixels-changed",
        "those above 0 are 1",
        ("forward/tiny", "forward/full"),
        on("encode", lambda true, params, x, ar: true(params, (x > 0).astype(x.dtype), ar)),
    ),
)
