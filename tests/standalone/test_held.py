"""Data that a model holds on its device: who may use the handle, and that nothing stays when it goes."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest

from vae_rosetta.shared import oracle, parameters
from vae_rosetta.shared.contract import Array, Holder
from vae_rosetta.shared.spec import Sizes

SIZES = Sizes(12, 8, 3)


def loaded(module: Any, sizes: Sizes = SIZES, dtype: str = "float32") -> Holder:
    """A model of a backend."""
    model: Holder = module.load(parameters.initial(0, sizes), dtype=dtype)
    return model


def steps(rows: int) -> tuple[Array, Array]:
    """order (2, 4), noise (2, 4, 3)."""
    random = np.random.default_rng(0)
    return random.integers(0, rows, (2, 4)), random.standard_normal((2, 4, 3)).astype(np.float32)


def test_what_is_held_goes_with_the_handle(framework: Any, images: Array) -> None:
    model = loaded(framework.module)
    held = model.hold(images)
    assert len(held) == len(images)
    model.train(held, *steps(len(images)))
    tensor = weakref.ref(held.tensor)
    del held
    gc.collect()
    assert tensor() is None


def test_models_at_one_place_can_use_the_same_handle(framework: Any, images: Array) -> None:
    first, second = loaded(framework.module), loaded(framework.module)
    expected = first.train(images, *steps(len(images)))
    np.testing.assert_array_equal(second.train(first.hold(images), *steps(len(images))), expected, strict=True)


def test_a_handle_of_another_model_is_refused(framework: Any, images: Array) -> None:
    model = loaded(framework.module)
    before = model.state()
    others = {
        "float64": loaded(framework.module, dtype="float64").hold(images),
        "by NumPy": loaded(oracle).hold(images),
        r"shape \(50, 11\)": loaded(framework.module, SIZES._replace(input_dim=11)).hold(images[:, :11].copy()),
    }
    for differs, held in others.items():
        with pytest.raises(ValueError, match=rf"^x: got images .*{differs}.*; expected images .*float32 by"):
            model.train(held, *steps(len(images)))
    with pytest.raises(ValueError, match=r"^x: got images .* by .*; expected images .* by NumPy"):
        loaded(oracle).train(model.hold(images), *steps(len(images)))
    for name, tensor in model.state().items():
        np.testing.assert_array_equal(tensor, before[name], err_msg=name, strict=True)


def test_a_handle_is_for_training_alone(framework: Any, images: Array) -> None:
    model: Any = loaded(framework.module)
    with pytest.raises(TypeError, match=r"^x: got Held; expected a float32 or float64 array"):
        model.encode(model.hold(images))
