"""The data set of a training run, checked and put on the device once instead of at every call to `train`."""

import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from vae_rosetta.shared import checks
from vae_rosetta.shared.contract import Array

Resident = TypeVar("Resident")


class ResidentImages(Generic[Resident]):
    """Remembers the last data set that is read-only (`checks.is_frozen`); any other is read anew at every call.

    What was put on the device goes when the caller lets go of the data set: a trained model does not keep it.
    """

    def __init__(self, input_dim: int, put: Callable[[Array], Resident]) -> None:
        self._input_dim = input_dim
        self._put = put
        self._last: tuple[weakref.ref[Array], Resident] | None = None

    def __call__(self, x: Array) -> Resident:
        """x (N, D) as `put` returned it.

        Raises:
            TypeError, ValueError: see `checks.images`.
        """
        if self._last is not None and self._last[0]() is x and checks.is_frozen(x):
            return self._last[1]
        self._last = None  # frees the former one before the next is put beside it
        resident = self._put(checks.images(x, self._input_dim, rows="N"))
        if checks.is_frozen(x):
            me = weakref.ref(self)  # not self: a cycle would keep a model, with all that it holds, from going at once
            self._last = (weakref.ref(x, lambda gone: _forget(me(), gone)), resident)
        return resident


def _forget(images: ResidentImages[Any] | None, gone: weakref.ref[Array]) -> None:
    if images is not None and images._last is not None and images._last[0] is gone:
        images._last = None
