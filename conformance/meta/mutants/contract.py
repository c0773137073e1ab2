"""Bad manners: changed arguments, shared arrays, shapes and dtypes that depend on the input."""

from typing import Any, Final

import numpy as np

from vae_rosetta.conformance.meta.mutants.base import Mutant, on, on_method
from vae_rosetta.shared.contract import Array, Losses, Tensors

_SHAPES = "contract::test_shapes_and_dtypes_at_any_size"


def _clipped_in_place(true: Any, model: Any, x: Array, noise: Array) -> Losses:
    if x.flags.writeable and x.dtype.kind == "f":
        np.clip(x, 1e-6, 1.0 - 1e-6, out=x)
    found: Losses = true(model, x, noise)
    return found


def _noise_scaled_in_place(true: Any, model: Any, mu: Array, logvar: Array, noise: Array) -> Array:
    result: Array = true(model, mu, logvar, noise)
    if noise.flags.writeable:
        noise *= np.exp(logvar / 2)
    return result


def _kept_as_given(true: Any, model: Any, params: Tensors, dtype: str, *rest: Any) -> None:
    true(model, params, dtype, *rest)
    model._params = {name: np.asarray(value, dtype) for name, value in params.items()}


def _shared_by_all(true: Any, model: Any, params: Tensors, dtype: str, *rest: Any) -> None:
    """All models of one shape and dtype share their arrays, as with a compiled function that closes over them."""
    true(model, params, dtype, *rest)
    key = (model.sizes, dtype)
    arrays = model.arrays.setdefault(key, model._params)
    for name, value in model._params.items():
        arrays[name][...] = value
    model._params = arrays


def _share_arrays(subject: Any, undoing: Any) -> None:
    subject.Oracle.arrays = {}
    on_method("__init__", _shared_by_all)(subject, undoing)


def _column_of_losses(true: Any, model: Any, x: Array, noise: Array) -> Losses:
    return Losses(*(loss[:, None] for loss in true(model, x, noise)))


def _total_of_losses(true: Any, model: Any, x: Array, noise: Array) -> Losses:
    found = true(model, x, noise)
    return Losses(found.reconstruction, np.asarray(found.kl.sum()))


def _sorted_params(true: Any, model: Any) -> dict[str, Array]:
    return dict(sorted(true(model).items()))


def _reads_memory(true: Any, model: Any, x: Array, noise: Array) -> Losses:
    """Reads the buffer as it lies, whatever the strides."""
    if not x.flags.c_contiguous and x.flags.f_contiguous:
        x = np.frombuffer(x.tobytes(order="A"), x.dtype).reshape(x.shape)
    found: Losses = true(model, x, noise)
    return found


def _float64_cut(true: Any, model: Any, x: Array) -> Any:
    return true(model, np.round(x, 3) if x.dtype == np.float64 else x)


def _remembers(true: Any, model: Any, z: Array) -> Array:
    """A cache by shape: the second call of a shape adds a little to the first one's answer."""
    model.calls = getattr(model, "calls", 0) + 1
    result: Array = true(model, z) + np.asarray(1e-3 * model.calls, model._dtype)
    return result


MUTANTS: Final = (
    Mutant(
        "argument-changed",
        "images, by losses",
        ("contract::test_arguments_are_not_changed",),
        on_method("losses", _clipped_in_place),
    ),
    Mutant(
        "argument-changed",
        "noise, by reparameterize",
        ("contract::test_arguments_are_not_changed",),
        on_method("reparameterize", _noise_scaled_in_place),
    ),
    Mutant(
        "arrays-shared",
        "by params",
        ("contract::test_returned_params_belong_to_the_caller",),
        on_method("params", lambda true, model: dict(model._params)),
    ),
    Mutant(
        "arrays-shared",
        "by load",
        ("contract::test_model_keeps_copies_of_its_params",),
        on_method("__init__", _kept_as_given),
    ),
    Mutant("arrays-shared", "by two models", ("contract::test_two_models_share_nothing",), _share_arrays),
    Mutant(
        "params-reordered",
        "alphabetical",
        ("contract::test_params_come_back_as_they_went_in",),
        on_method("params", _sorted_params),
    ),
    Mutant(
        "transposed-weights",
        "by params",
        ("contract::test_params_come_back_as_they_went_in",),
        on_method("params", lambda true, model: {name: value.T for name, value in true(model).items()}),
    ),
    Mutant(
        "batch-of-one-squeezed",
        "",
        (_SHAPES,),
        on_method(
            "decode", lambda true, model, z: np.squeeze(true(model, z), axis=0) if len(z) == 1 else true(model, z)
        ),
    ),
    Mutant("wrong-shape", "losses are (B, 1)", ("loss/tiny", _SHAPES), on_method("losses", _column_of_losses)),
    Mutant("batch-total", "of the KL term", ("loss/tiny", _SHAPES), on_method("losses", _total_of_losses)),
    Mutant("strides-ignored", "", ("contract::test_strided_and_read_only_input",), on_method("losses", _reads_memory)),
    Mutant("float64-input-cut", "", ("contract::test_float64_input_is_taken_too",), on_method("encode", _float64_cut)),
    Mutant("answers-drift", "", ("contract::test_same_call_gives_same_answer",), on_method("decode", _remembers)),
    Mutant(
        "precision-unsaid",
        "",
        ("contract::test_describe_names_framework_and_version",),
        on("describe", lambda true: {k: v for k, v in true().items() if k != "precision"}),
    ),
)
