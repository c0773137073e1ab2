"""Starting a framework, which takes seconds, prints what nobody asked for, and must not be interrupted halfway."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from vae_rosetta.applications.interrupts import interrupts_held
from vae_rosetta.implementations.ports import PORTS
from vae_rosetta.implementations.ports import backend as backend_module
from vae_rosetta.shared.contract import Backend, FullModel, Tensors


def load_backend(name: str) -> Backend:
    """The module of backend `name`, imported now.

    Raises:
        ImportError, ValueError: see `ports.backend`.
        OSError: its program cannot be built.
    """
    if name in PORTS and PORTS[name].program is not None and not PORTS[name].lacks():
        from vae_rosetta.implementations import programs

        programs.built(PORTS[name])  # shows how it goes on, and can be interrupted
    with interrupts_held(), _quiet():  # a framework's C++ code may swallow the KeyboardInterrupt, or die of it
        return backend_module(name)


def load_model(backend: Backend, params: Tensors, *, dtype: str = "float32", device: str = "auto") -> FullModel:
    """A model of `backend`; loading the first one starts the framework's devices.

    Raises:
        TypeError, ValueError: see `shared.contract.Backend.load`.
    """
    with interrupts_held(), _quiet():
        return backend.load(params, dtype=dtype, device=device)


def load(backend: str, params: Tensors, *, dtype: str = "float32", device: str = "auto") -> tuple[FullModel, str]:
    """A model of the backend called `backend`, and what computes it: framework and version, for a report.

    Raises:
        ImportError, TypeError, ValueError: see `load_backend` and `load_model`.
    """
    module = load_backend(backend)
    model = load_model(module, params, dtype=dtype, device=device)
    about = module.describe()
    return model, f"{about['framework']} {about['version']}"


@contextmanager
def _quiet() -> Iterator[None]:
    """What is written to stderr in the block, by C++ code too, is shown only if the block fails."""
    sys.stderr.flush()
    try:
        shown = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(shown, 2)
            os.close(shown)
            if failed:
                held.seek(0)
                os.write(2, held.read())
