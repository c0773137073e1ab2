"""Finding the backend under test: a module by its dotted name, or a command that speaks for one."""

import importlib
import traceback
from typing import cast

from shared.contract import Backend


class BackendError(Exception):
    """There is nothing to grade; the message says why in one line."""


def find(module: str | None, command: str | None) -> Backend:
    """The backend that exactly one of a dotted name and a command names.

    Raises:
        BackendError: both are given or none, the module cannot be imported or lacks the contract's functions, or the
            command cannot be started.
    """
    if module is not None and command is None:
        return _imported(module)
    if command is not None and module is None:
        return _spoken(command)
    got = "neither" if module is None else "both"
    raise BackendError(f"got {got} of --vae-backend and --vae-command; expected one: a module's name or a command")


def _imported(name: str) -> Backend:
    try:
        backend = importlib.import_module(name)
    except Exception as error:
        raise BackendError(f"--vae-backend: cannot import {name!r}: {_where(error)}") from error
    for function in ("describe", "load"):
        if not callable(getattr(backend, function, None)):
            raise BackendError(f"--vae-backend: {name!r} has no function {function}(); see shared/contract.py")
    return cast(Backend, backend)


def _spoken(command: str) -> Backend:
    from conformance.command import backend  # here, so that a module is graded without it

    try:
        return cast(Backend, backend(command))
    except Exception as error:
        raise BackendError(f"--vae-command: cannot use {command!r}: {error or type(error).__name__}") from error


def _where(error: Exception) -> str:
    """The error in one line, with the place it comes from unless the import system raised it."""
    text = f"{type(error).__name__}: {error}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    last = frames[-1] if frames else None
    return text if last is None or last.filename == __file__ else f"{text} ({last.filename}:{last.lineno})"
