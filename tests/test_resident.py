"""A data set on the device: put there once if it is read-only, and gone when its caller lets go of it."""

import gc
import weakref

import numpy as np
import numpy.typing as npt
import pytest

from vae_rosetta.shared import checks
from vae_rosetta.shared.resident import ResidentImages

Array = npt.NDArray[np.float64]


class Put:
    """Counts what is put on the device; what it returns can be watched."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, x: npt.NDArray[np.generic]) -> "OnDevice":
        self.times += 1
        return OnDevice()


class OnDevice:
    pass


def data(*, frozen: bool) -> Array:
    x = np.full((3, 2), 0.5)
    x.setflags(write=not frozen)
    return x


@pytest.mark.parametrize(("frozen", "times"), [(True, 1), (False, 2)])
def test_only_what_is_read_only_is_put_once(frozen: bool, times: int) -> None:
    put = Put()
    images, x = ResidentImages(2, put), data(frozen=frozen)
    first, second = images(x), images(x)
    assert put.times == times
    assert (first is second) == frozen


@pytest.mark.parametrize("dtype", [np.float32, np.float64, ">f4"])
def test_view_that_is_vouched_for_is_read_only_and_keeps_its_memory(dtype: str) -> None:
    whole = np.arange(12, dtype=dtype).reshape(4, 3)
    x = whole[::2, 1:]
    view = checks.frozen_view(x)
    assert checks.is_frozen(view)
    assert checks.is_frozen(view[1:])
    assert checks.frozen_view(view) is view
    assert np.shares_memory(view, x)
    assert x.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        view[0, 0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.setflags(write=True)
    expected = x.copy()
    del x, whole
    gc.collect()
    np.testing.assert_array_equal(view, expected, strict=True)


def test_another_data_set_takes_the_place_of_the_last() -> None:
    put = Put()
    images, x, other = ResidentImages(2, put), data(frozen=True), data(frozen=True)
    first = weakref.ref(images(x))
    second = images(other)
    assert first() is None
    assert images(other) is second
    assert put.times == 2


def test_data_set_that_is_let_go_leaves_the_device() -> None:
    images, x = ResidentImages(2, Put()), data(frozen=True)
    on_device = weakref.ref(images(x))
    assert on_device() is not None
    del x
    assert on_device() is None


def test_model_goes_at_once_with_its_data_set_alive() -> None:
    images, x = ResidentImages(2, Put()), data(frozen=True)
    images(x)
    gone = weakref.ref(images)
    gc.disable()
    try:
        del images
        assert gone() is None
    finally:
        gc.enable()
    del x  # nobody is left to be told
