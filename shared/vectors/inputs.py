"""What the golden cases are given: small networks built by hand, batches and pictures from the portable stream."""

from typing import Final

import numpy as np

from vae_rosetta.shared import parameters, spec, stream
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes

EXTREME_LOGVARS: Final = np.array([-110.0, -30.0, 20.0, 80.0, 88.7, 89.0, 178.0], dtype=np.float32)


def weights(sizes: Sizes, zero: tuple[str, ...] = ()) -> dict[str, Array]:
    """Stored parameters, twice the initial ones, so that nothing hides in the linear range; `zero` names zeros."""
    drawn = parameters.initial(42, sizes)
    return {f"param.{name}": value * np.float32(0 if name in zero else 2) for name, value in drawn.items()}


def fixed_logits(logits: Array) -> dict[str, Array]:
    """A network of D pixels, one hidden unit and one latent whose logits are the last bias, whatever goes in."""
    params = weights(Sizes(len(logits), 1, 1), zero=spec.PARAMETER_NAMES)
    return {**params, "param.decoder.fc4.bias": logits.astype(np.float32)}


def noise_to_logit() -> dict[str, Array]:
    """A network of one pixel whose logit is its noise, exactly: mu = logvar = 0, and relu(z) - relu(-z) = z."""
    params = weights(Sizes(1, 2, 1), zero=spec.PARAMETER_NAMES)
    params["param.decoder.fc3.weight"] = np.array([[1.0], [-1.0]], dtype=np.float32)
    params["param.decoder.fc4.weight"] = np.array([[1.0, -1.0]], dtype=np.float32)
    return params


def fixed_logvars(logvars: Array) -> dict[str, Array]:
    """A network whose i-th one-hot image has logvar_i at latent i and 0 elsewhere; the decoder ignores z."""
    n = len(logvars)
    params = weights(Sizes(n, n, n), zero=spec.PARAMETER_NAMES)
    params["param.encoder.fc1.weight"] = np.eye(n, dtype=np.float32)
    params["param.encoder.fc2_logvar.weight"] = np.diag(logvars).astype(np.float32)
    return params


def extreme_scales() -> dict[str, Array]:
    """mu 0, every logvar of EXTREME_LOGVARS with noise 1 and -1."""
    logvar = np.tile(EXTREME_LOGVARS, (2, 1))
    noise = np.outer(np.array([1.0, -1.0]), np.ones(len(EXTREME_LOGVARS)))
    return {"mu": np.zeros_like(logvar), "logvar": logvar, "noise": noise.astype(np.float32)}


def precision_probe() -> dict[str, Array]:
    """A white picture of 1024 pixels under weights of 1 + 2^-13, there and back; the heads divide by 1024.

    Sums of these 14-bit numbers fit 24 bits, so float32 adds them up exactly in any order. Of weights such as 1.0001,
    all alike, the roundings would all go one way, and a port that adds one term after another be off by more than
    independent roundings explain.
    """
    params = weights(Sizes(1024, 1, 1), zero=spec.PARAMETER_NAMES)
    for layer in ("encoder.fc1", "decoder.fc3", "decoder.fc4"):
        params[f"param.{layer}.weight"] += np.float32(1 + 2.0**-13)
    for head in ("mu", "logvar"):
        params[f"param.encoder.fc2_{head}.weight"] += np.float32(2.0**-10)
    return {**params, "x": np.ones((1, 1024), np.float32), "noise": np.ones((1, 1), np.float32)}


def batch(sizes: Sizes, rows: int) -> dict[str, Array]:
    drawn = stream.uniform(0, stream.Purpose.VECTORS, 2, rows * sizes.input_dim)
    return {"x": drawn.astype(np.float32).reshape(rows, -1), "noise": noise(rows, sizes, 1)}


def reconstructions(sizes: Sizes, rows: int) -> dict[str, Array]:
    """Probabilities between 0.02 and 0.98, pictures, and posteriors, all drawn."""
    drawn = batch(sizes, 2 * rows)
    probabilities = np.float32(0.02) + np.float32(0.96) * drawn["x"][rows:]
    mu, logvar = np.split(drawn["noise"], 2)
    return {"recon_x": probabilities, "x": drawn["x"][:rows], "mu": mu, "logvar": logvar}


def noise(rows: int, sizes: Sizes, index: int) -> Array:
    return stream.normal(0, stream.Purpose.VECTORS, index, (rows, sizes.latent_dim))


def zeros(*shape: int) -> Array:
    return np.zeros(shape, dtype=np.float32)


def pictures(count: int) -> Array:
    """Pictures of three soft strokes on black, 28 x 28 in 8 bits, (count, 784): like digits, mostly exact zeros."""
    across, down = np.meshgrid(np.arange(28), np.arange(28))
    ends = 6 + 16 * stream.uniform(0, stream.Purpose.VECTORS, 5, count * 12).reshape(count, 3, 4, 1, 1)
    x0, y0, x1, y1 = (ends[:, :, i] for i in range(4))  # (count, 3, 1, 1)
    length = (x1 - x0) ** 2 + (y1 - y0) ** 2
    along = np.clip(((across - x0) * (x1 - x0) + (down - y0) * (y1 - y0)) / length, 0, 1)  # (count, 3, 28, 28)
    distance = np.hypot(across - x0 - along * (x1 - x0), down - y0 - along * (y1 - y0)).min(axis=1)
    pixels: Array = np.round(255 * np.clip(2.0 - distance, 0, 1)).astype(np.uint8)
    return pixels.reshape(count, 784)
