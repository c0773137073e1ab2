"""Finding the backend under test: a module by its dotted name, or a command that speaks for one."""

import importlib
import inspect
import traceback
from collections.abc import Callable
from typing import cast

import numpy as np

from vae_rosetta.shared.contract import Array, Backend, Tensors


class BackendError(Exception):
    """There is nothing to grade; the message says why in one line."""


def read_only(tensors: Tensors) -> dict[str, Array]:
    """Copies that cannot be written to, for a backend must not change its arguments."""
    copies = {name: np.array(tensor) for name, tensor in tensors.items()}
    for copy in copies.values():
        copy.setflags(write=False)
    return copies


def find(module: str | None, command: str | None, timeout: float | None = None) -> Backend:
    """The backend that exactly one of a dotted name and a command names; `timeout` is a command's, in seconds.

    Raises:
        BackendError: both are given or none, the module cannot be imported or lacks the contract's functions, or the
            command cannot be started.
    """
    if module is not None and command is None:
        if timeout is not None:
            raise BackendError(f"--vae-timeout: got {timeout:g} for a module; expected it beside --vae-command only")
        return _imported(module)
    if command is not None and module is None:
        return _spoken(command, timeout)
    got = "neither" if module is None else "both"
    raise BackendError(f"got {got} of --vae-backend and --vae-command; expected one: a module's name or a command")


def _imported(name: str) -> Backend:
    try:
        backend = importlib.import_module(name)
    except Exception as error:  # a stranger's module may raise anything
        raise BackendError(f"--vae-backend: cannot import {name!r}: {_where(error)}") from error
    for function in ("describe", "load"):
        if not callable(getattr(backend, function, None)):
            raise BackendError(f"--vae-backend: {name!r} has no function {function}(); see shared/contract.py")
    if lacking := _lacking(backend.load):
        wanted = "load(params, *, dtype, device)"
        raise BackendError(f"--vae-backend: {name!r}: load() takes no argument {lacking}; expected {wanted}")
    return cast(Backend, backend)


def _lacking(load: Callable[..., object]) -> str:
    """The first keyword argument that `load` should take and does not; empty if there is none, or no telling."""
    try:
        signature = inspect.signature(load)
    except (TypeError, ValueError):  # written in C, say
        return ""
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    wanted = () if inspect.Parameter.VAR_KEYWORD in kinds else ("dtype", "device")
    return next((name for name in wanted if name not in signature.parameters), "")


def _spoken(command: str, timeout: float | None) -> Backend:
    from vae_rosetta.shared.process import backend  # here, so that a module is graded without it

    try:
        return cast(Backend, backend(command) if timeout is None else backend(command, timeout=timeout))
    except Exception as error:  # what a stranger's command answers may break anything
        raise BackendError(f"--vae-command: cannot use {command!r}: {error or type(error).__name__}") from error


def _where(error: Exception) -> str:
    """The error in one line, with the place it comes from unless the import system raised it."""
    text = f"{type(error).__name__}: {error}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    last = frames[-1] if frames else None
    return text if last is None or last.filename == __file__ else f"{text} ({last.filename}:{last.lineno})"
