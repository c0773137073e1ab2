"""Models lent to whoever has parameters: one per backend, sizes, dtype and device, used by one at a time.

A search over settings fits hundreds of times. TensorFlow would trace and compile a model of its own for each anew,
and keep the graph of each for as long as the process lives (tensorflow/tensorflow#61791). So a model takes up the
parameters of its next user instead, which the contract promises to be exact.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import numpy as np

from vae_rosetta.applications.startup import load_backend, load_model
from vae_rosetta.shared import parameters
from vae_rosetta.shared.contract import Array, FullModel, Tensors
from vae_rosetta.shared.spec import Sizes

_KEPT: Final = 4  # models: a search is through with one setting before the next, and a person compares a few


class Kind(NamedTuple):
    """What two users must have in common to use the same model."""

    backend: str
    sizes: Sizes
    dtype: str
    device: str


class _Slot:
    """A model and whose parameters it holds."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.model: FullModel | None = None
        self.holds: Tensors | None = None  # None: the parameters of nobody


_slots: OrderedDict[Kind, _Slot] = OrderedDict()
_lock = threading.Lock()


@contextmanager
def lent(kind: Kind, params: Tensors, *, to_train: bool = False) -> Iterator[FullModel]:
    """A model of the given kind that holds `params` and, if it is to be trained, has not taken a step.

    In the block it is the caller's alone: other threads that want the same kind wait. Parameters are known by identity,
    so that nothing is copied when the same ones come again: they must not be changed in place.

    Raises:
        ModuleNotFoundError: the backend's framework is not installed.
        TypeError, ValueError: see `shared.contract.Backend.load`.
    """
    slot = _slot(kind)
    with slot.lock:
        if slot.model is None:
            with _lock:  # a framework's start is quietened for the whole process, hence one at a time
                slot.model = load_model(load_backend(kind.backend), params, dtype=kind.dtype, device=kind.device)
        elif to_train or slot.holds is not params:
            slot.holds = None
            slot.model.load_state(_untrained(params, kind.sizes))
        slot.holds = None if to_train else params
        yield slot.model


def _slot(kind: Kind) -> _Slot:
    with _lock:
        slot = _slots.setdefault(kind, _Slot())
        _slots.move_to_end(kind)
        if len(_slots) > _KEPT:
            _slots.popitem(last=False)
        return slot


def _untrained(params: Tensors, sizes: Sizes) -> dict[str, Array]:
    """The state that a model has when `params` have just been loaded."""
    moments = {name: np.zeros(shape) for name, shape in parameters.state_shapes(sizes).items() if name not in params}
    return {**params, **moments, "adam.step": np.array(0, dtype=np.int64)}
