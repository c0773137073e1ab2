"""Input checks, written once for every backend: one message that names the argument, the value, what was expected."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vae_rosetta.shared.contract import Array, Held, OnDevice

DTYPES: Final = ("float32", "float64")
MIXED: Final = "mixed_bfloat16"  # float32 with layers in bfloat16, as Keras calls it; no port needs to offer it
PRECISIONS: Final = (*DTYPES, MIXED)  # that our own backends offer
DEVICES: Final = ("auto", "cpu", "cuda")


def one_of(name: str, value: object, known: Iterable[str]) -> str:
    """`value` itself if it is one of `known`.

    Raises:
        ValueError: it is not; the message lists what is known.
    """
    known = list(known)
    if value not in known:
        raise ValueError(f"{name}: got {value!r}; expected one of {', '.join(known)}")
    return str(value)


def held_in(dtype: str) -> str:
    """The dtype of the parameters and arrays of a model that was loaded as `dtype`."""
    return "float32" if dtype == MIXED else dtype


def float_array(name: str, value: object, shape: Sequence[int | str]) -> Array:
    """`value` as it is, if it is a float32 or float64 array of `shape`, where a word stands for any positive length.

    Raises:
        TypeError: not a NumPy array, or another dtype.
        ValueError: another shape, or an empty one.
    """
    expected = f"a float32 or float64 array of shape {_shape_text(shape)}"
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: got {type(value).__name__}; expected {expected}")
    if value.dtype not in (np.float32, np.float64):
        hint = " (divide 8-bit pixels by 255)" if value.dtype == np.uint8 else ""
        raise TypeError(f"{name}: got dtype {value.dtype}; expected {expected}{hint}")
    _check_shape(name, value, shape, expected)
    return value


def finite(name: str, value: Array) -> Array:
    """`value` as it is.

    Raises:
        ValueError: it holds a NaN or an infinity; the message says where the first one is.
    """
    # One pass without a temporary: a sum is finite unless an element is not (or the sum overflows: then look closer).
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.sum(value, dtype=np.float64)
    if not np.isfinite(total) and not (good := np.isfinite(value)).all():
        where = tuple(int(i) for i in np.argwhere(~good)[0])
        raise ValueError(f"{name}: got {value[where]} at {list(where)}; expected finite numbers")
    return value


def images(value: object, input_dim: int, *, rows: int | str = "B", name: str = "x") -> Array:
    """Images as the clause `input` wants them: (B, D), finite, in [0, 1].

    Raises:
        TypeError, ValueError: see `float_array` and `finite`; also for a pixel outside [0, 1].
    """
    x = float_array(name, value, (rows, input_dim))
    low, high = float(x.min()), float(x.max())  # NaN compares false below, so that `finite` gets to name it
    if not (low >= 0.0 and high <= 1.0):
        finite(name, x)
        raise ValueError(f"{name}: got values from {low:g} to {high:g}; expected pixels in [0, 1]")
    return x


def batch(x: object, noise: object, input_dim: int, latent_dim: int) -> tuple[Array, Array]:
    """A batch of images with one row of noise for each: x (B, D), noise (B, L).

    Raises:
        TypeError, ValueError: see `images` and `latents`.
    """
    checked = images(x, input_dim)
    return checked, latents("noise", noise, latent_dim, rows=len(checked))


def latents(name: str, value: object, latent_dim: int, *, rows: int | str = "B") -> Array:
    """(B, L), finite.

    Raises:
        TypeError, ValueError: see `float_array` and `finite`.
    """
    return finite(name, float_array(name, value, (rows, latent_dim)))


def posterior(mu: object, logvar: object, noise: object, latent_dim: int) -> tuple[Array, Array, Array]:
    """mu, logvar and noise of one batch, (B, L) each.

    Raises:
        TypeError, ValueError: see `latents`.
    """
    checked = latents("mu", mu, latent_dim)
    rows = len(checked)
    return checked, latents("logvar", logvar, latent_dim, rows=rows), latents("noise", noise, latent_dim, rows=rows)


def reconstructions(
    recon_x: object, x: object, mu: object, logvar: object, input_dim: int, latent_dim: int
) -> tuple[Array, Array, Array, Array]:
    """The arguments of `loss_on_probabilities`: recon_x and x (B, D), mu and logvar (B, L).

    Raises:
        TypeError, ValueError: see `images` and `latents`.
    """
    checked = images(x, input_dim)
    rows = len(checked)
    return (
        images(recon_x, input_dim, rows=rows, name="recon_x"),
        checked,
        latents("mu", mu, latent_dim, rows=rows),
        latents("logvar", logvar, latent_dim, rows=rows),
    )


def schedule(order: object, noise: object, images_count: int, latent_dim: int) -> tuple[npt.NDArray[np.int64], Array]:
    """The arguments of `train` beside x: order (K, B), rows of x in range; noise (K, B, L).

    Raises:
        TypeError: `order` does not hold integers; see also `float_array`.
        ValueError: a row outside the data set; see also `float_array` and `finite`.
    """
    if not isinstance(order, np.ndarray) or order.dtype.kind not in "iu":
        got = f"dtype {order.dtype}" if isinstance(order, np.ndarray) else type(order).__name__
        raise TypeError(f"order: got {got}; expected an integer array of shape (K, B)")
    _check_shape("order", order, ("K", "B"), "an integer array of shape (K, B)")
    low, high = int(order.min()), int(order.max())
    if low < 0 or high >= images_count:
        raise ValueError(f"order: got rows {low} to {high}; expected rows of x, 0 to {images_count - 1}")
    checked = finite("noise", float_array("noise", noise, (*order.shape, latent_dim)))
    return order.astype(np.int64, copy=False), checked


def count(name: str, value: object, *, least: int = 1) -> int:
    """`value` itself if it is a whole number of at least `least`.

    Raises:
        TypeError: not a whole number.
        ValueError: below `least`.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}: got {value!r} ({type(value).__name__}); expected a whole number, {least} or more")
    if value < least:
        raise ValueError(f"{name}: got {value}; expected a whole number, {least} or more")
    return int(value)


def held(data: Held[OnDevice], input_dim: int, place: str) -> OnDevice:
    """The tensor (N, D) of a handle made by a model of the same width and at the same place as the one that asks.

    Raises:
        ValueError: another model made it.
    """
    if data.shape[1] != input_dim or data.place != place:
        got, expected = f"of shape {data.shape}, held in {data.place}", f"of shape (N, {input_dim}), held in {place}"
        raise ValueError(f"x: got images {got}; expected images {expected}")
    return data.tensor


def _check_shape(name: str, value: npt.NDArray[Any], shape: Sequence[int | str], expected: str) -> None:
    fits = len(value.shape) == len(shape) and all(
        got > 0 if isinstance(want, str) else got == want for got, want in zip(value.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name}: got shape {value.shape}; expected {expected}")


def _shape_text(shape: Sequence[int | str]) -> str:
    return "(" + ", ".join(str(length) for length in shape) + ("," if len(shape) == 1 else "") + ")"
