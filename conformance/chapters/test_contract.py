"""Chapter contract: what a module must offer, before any number is looked at."""

import numpy as np
import pytest

from vae_rosetta.conformance.grader import Grader
from vae_rosetta.shared import parameters, spec
from vae_rosetta.shared.contract import Array, FullModel, Losses, Tensors
from vae_rosetta.shared.spec import Sizes

pytestmark = pytest.mark.clause("names", "precision", "input")


def _answers(model: FullModel, x: Array, noise: Array) -> dict[str, Array]:
    mu, logvar = _arrays(dict(zip(("mu", "logvar"), model.encode(x), strict=True))).values()
    z = _arrays({"z": model.reparameterize(mu, logvar, noise)})["z"]
    answers = {"mu": mu, "logvar": logvar, "z": z, **_arrays({"logits": model.decode(z)})}
    return {**answers, **_arrays(Losses(*model.losses(x, noise))._asdict())}


def _arrays(answers: dict[str, Array]) -> dict[str, Array]:
    """The answers, of which none is a framework's own tensor: that would go wrong later, in other words."""
    for name, answer in answers.items():
        got = f"{type(answer).__module__}.{type(answer).__qualname__}"
        assert isinstance(answer, np.ndarray), f"{name}: the model returned a {got}; expected a NumPy array"
    return answers


def _batch(rows: int, sizes: Sizes) -> tuple[Array, Array]:
    random = np.random.default_rng(rows)
    x = random.random((rows, sizes.input_dim)).astype(np.float32)
    return x, random.standard_normal((rows, sizes.latent_dim)).astype(np.float32)


def test_describe_names_framework_and_version(grader: Grader) -> None:
    identity = grader.backend.describe()
    assert {"framework", "version", "device", "precision", "threads"} <= set(identity)
    assert all(isinstance(value, str) and value for value in identity.values())


def test_params_come_back_as_they_went_in(grader: Grader, params: Tensors) -> None:
    returned = grader.load(params).params()
    assert list(returned) == list(spec.PARAMETER_NAMES)
    for name, tensor in params.items():
        assert returned[name].dtype == np.dtype(grader.dtype)
        np.testing.assert_array_equal(returned[name], tensor.astype(grader.dtype), err_msg=name, strict=True)


def test_model_keeps_copies_of_its_params(grader: Grader, params: Tensors) -> None:
    mine = {name: np.array(tensor) for name, tensor in params.items()}
    model = grader.backend.load(mine, dtype=grader.dtype, device=grader.device)  # not read-only
    for tensor in mine.values():
        tensor.fill(np.nan)
    for name, tensor in model.params().items():
        np.testing.assert_array_equal(tensor, params[name].astype(grader.dtype), err_msg=name, strict=True)


def test_returned_params_belong_to_the_caller(grader: Grader, params: Tensors) -> None:
    model = grader.load(params)
    for tensor in model.params().values():
        tensor.fill(np.nan)
    for name, tensor in model.params().items():
        np.testing.assert_array_equal(tensor, params[name].astype(grader.dtype), err_msg=name, strict=True)


def test_two_models_share_nothing(grader: Grader, params: Tensors) -> None:
    first = grader.load(params)
    grader.load({name: np.zeros_like(tensor) for name, tensor in params.items()})
    for name, tensor in first.params().items():
        np.testing.assert_array_equal(tensor, params[name].astype(grader.dtype), err_msg=name, strict=True)


@pytest.mark.parametrize("rows", [1, 33])
@pytest.mark.parametrize("sizes", [Sizes(1, 1, 1), Sizes(50, 7, 9)], ids=str)
def test_shapes_and_dtypes_at_any_size(grader: Grader, rows: int, sizes: Sizes) -> None:
    model = grader.load(parameters.initial(3, sizes))
    assert parameters.sizes_of_model(model) == sizes
    answers = _answers(model, *_batch(rows, sizes))
    shapes = {
        "mu": (rows, sizes.latent_dim),
        "logvar": (rows, sizes.latent_dim),
        "z": (rows, sizes.latent_dim),
        "logits": (rows, sizes.input_dim),
        "reconstruction": (rows,),
        "kl": (rows,),
    }
    assert {name: answer.shape for name, answer in answers.items()} == shapes
    assert {answer.dtype for answer in answers.values()} == {np.dtype(grader.dtype)}
    assert all(isinstance(answer, np.ndarray) and np.isfinite(answer).all() for answer in answers.values())


def test_float64_input_is_taken_too(grader: Grader) -> None:
    model, (x, noise) = grader.untouched(), _batch(4, Sizes(12, 8, 3))
    wide = _answers(model, x.astype(np.float64), noise.astype(np.float64))
    for name, answer in _answers(model, x, noise).items():
        np.testing.assert_array_equal(wide[name], answer, err_msg=name, strict=True)


def test_strided_and_read_only_input(grader: Grader) -> None:
    model, (x, noise) = grader.untouched(), _batch(4, Sizes(12, 8, 3))
    columns, backwards = np.asfortranarray(x), noise[::-1].copy()[::-1]
    for array in (columns, backwards):
        array.setflags(write=False)
    strided = _answers(model, columns, backwards)
    for name, answer in _answers(model, x, noise).items():
        np.testing.assert_array_equal(strided[name], answer, err_msg=name, strict=True)


def test_arguments_are_not_changed(grader: Grader) -> None:
    model, (x, noise) = grader.untouched(), _batch(4, Sizes(12, 8, 3))
    x[0, :2] = 0.0, 1.0  # what a clip in place would change
    before = x.copy(), noise.copy()
    _answers(model, x, noise)
    np.testing.assert_array_equal(x, before[0], err_msg="x, an argument, was changed", strict=True)
    np.testing.assert_array_equal(noise, before[1], err_msg="noise, an argument, was changed", strict=True)


def test_same_call_gives_same_answer(grader: Grader) -> None:
    model, (x, noise) = grader.untouched(), _batch(4, Sizes(12, 8, 3))
    first = _answers(model, x, noise)
    for name, answer in _answers(model, x, noise).items():
        np.testing.assert_array_equal(answer, first[name], err_msg=f"{name}: noise is an argument", strict=True)
