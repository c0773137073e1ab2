"""Bad input that is taken, and good input that is refused for the wrong reason."""

from types import SimpleNamespace
from typing import Any, Final

import numpy as np

from vae_rosetta.conformance.meta.mutants.base import Mutant, Patch, both, on, on_checks, on_method
from vae_rosetta.shared import checks, spec
from vae_rosetta.shared.contract import Array, Tensors


def _forgiving(wrong: Any) -> Patch:
    """`wrong(x)` mends the images before they are checked."""
    return on_checks("images", lambda true, value, *rest, **options: true(wrong(value), *rest, **options))


def _mended(value: Any, dtype: Any, scale: float) -> Any:
    return value.astype(np.float32) / np.float32(scale) if getattr(value, "dtype", None) == dtype else value


def _forgiving_batch(wrong: Any) -> Patch:
    """The same for `batch`, which calls the check of images of its own module."""

    def batch(true: Any, x: Any, noise: Any, input_dim: int, latent_dim: int) -> Any:
        return true(wrong(x), noise, input_dim, latent_dim)

    return on_checks("batch", batch)


def _finite_only(value: Any) -> Any:
    return np.nan_to_num(value, nan=0.0, posinf=1.0, neginf=0.0) if isinstance(value, np.ndarray) else value


def _clipped(value: Any) -> Any:
    return np.clip(value, 0.0, 1.0) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value


def _any_noise(true: Any, x: Any, noise: Any, input_dim: int, latent_dim: int) -> Any:
    """One row of noise too few is repeated, as NumPy would."""
    if isinstance(noise, np.ndarray) and noise.ndim == 2 and len(noise) < len(x):
        noise = np.resize(noise, (len(x), noise.shape[1]))
    return true(x, noise, input_dim, latent_dim)


def _negative_rows(true: Any, order: Any, noise: Any, images_count: int, latent_dim: int) -> Any:
    """NumPy's own reading of a negative row: from the end."""
    if isinstance(order, np.ndarray) and order.dtype.kind == "i":
        order = np.where(order < 0, order + images_count, order)
    return true(order, noise, images_count, latent_dim)


def _clamped_rows(true: Any, order: Any, noise: Any, images_count: int, latent_dim: int) -> Any:
    """An index out of range is clamped, as JAX does."""
    if isinstance(order, np.ndarray) and order.dtype.kind == "i":
        order = np.clip(order, None, images_count - 1)
    return true(order, noise, images_count, latent_dim)


def _unnamed(true: Any, *arguments: Any, **options: Any) -> Any:
    try:
        return true(*arguments, **options)
    except (TypeError, ValueError):
        raise ValueError("bad input") from None


def _trains_first(true: Any, model: Any, x: Any, order: Array, noise: Array) -> Any:
    """Counts the step before it looks at the images."""
    model._step += 1
    try:
        result = true(model, x, order, noise)
    except (TypeError, ValueError):
        raise
    model._step -= 1
    return result


def _loads_first(true: Any, model: Any, state: Tensors) -> None:
    """Takes up what it can before it finds that something is missing."""
    if "adam.step" in state and int(state["adam.step"]) < 0:
        model._step = 0
    true(model, state)


def _seed_cast(true: Any, seed: Any) -> int:
    cast: int = true(int(seed) % 2**64)
    return cast


def _seeds_cast(subject: Any, undoing: Any) -> None:
    true = subject.stream.check_seed
    subject.stream = SimpleNamespace(check_seed=lambda seed: _seed_cast(true, seed))


def _params_taken(wrong: Any) -> Patch:
    """`load(wrong(params))`."""
    return on("load", lambda true, params, **options: true(wrong(params), **options))


def _known_only(params: Tensors) -> dict[str, Array]:
    return {name: value for name, value in params.items() if name in spec.PARAMETER_NAMES}


def _dtype_fallback(true: Any, params: Tensors, *, dtype: str = "float32", device: str = "auto") -> Any:
    return true(params, dtype=dtype if dtype in checks.DTYPES else "float32", device=device)


def _device_fallback(true: Any, params: Tensors, *, dtype: str = "float32", device: str = "auto") -> Any:
    return true(params, dtype=dtype, device="auto")


_IMAGES = "errors::test_images"


def _images(wrong: Any) -> Patch:
    return both(_forgiving(wrong), _forgiving_batch(wrong))


MUTANTS: Final = (
    Mutant(
        "images-mended", "8-bit pixels are divided by 255", (_IMAGES,), _images(lambda x: _mended(x, np.uint8, 255.0))
    ),
    Mutant("bad-input-taken", "a list of lists as images", (_IMAGES,), _images(np.asarray)),
    Mutant("bad-input-taken", "float16 images", (_IMAGES,), _images(lambda x: _mended(x, np.float16, 1.0))),
    Mutant("images-mended", "clipped to [0, 1]", (_IMAGES,), _images(_clipped)),
    Mutant("images-mended", "NaN and infinity are replaced", (_IMAGES,), _images(_finite_only)),
    Mutant("errors-without-names", "", (_IMAGES,), on_checks("images", _unnamed)),
    Mutant("bad-input-taken", "too few rows of noise", ("errors::test_noise",), on_checks("batch", _any_noise)),
    Mutant(
        "bad-input-taken", "negative rows in the order", ("errors::test_order",), on_checks("schedule", _negative_rows)
    ),
    Mutant(
        "bad-input-taken", "rows beyond the data set", ("errors::test_order",), on_checks("schedule", _clamped_rows)
    ),
    Mutant(
        "refused-call-counted",
        "",
        ("errors::test_training_images_leave_the_model_alone",),
        on_method("train", _trains_first),
    ),
    Mutant("unknown-params-ignored", "", ("errors::test_params",), _params_taken(_known_only)),
    Mutant("unknown-option-taken", "dtype", ("errors::test_load_options",), on("load", _dtype_fallback)),
    Mutant("unknown-option-taken", "device", ("errors::test_load_options",), on("load", _device_fallback)),
    Mutant("bad-input-taken", "1.5, -1 and 2**64 as seeds", ("errors::test_seed",), _seeds_cast),
    Mutant(
        "bad-input-taken",
        "numbers that are no counts",
        ("errors::test_n",),
        on_checks("count", lambda true, name, value: true(name, max(1, int(value)))),
    ),
)
