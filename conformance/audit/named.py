"""Finding a loss by its name."""

import importlib
from collections.abc import Callable
from typing import Any

from vae_rosetta.conformance.audit.probe import AuditError


def loss(text: str) -> Callable[..., Any]:
    """The function that `text`, such as my_package.losses:vae_loss, names.

    Raises:
        AuditError: there is no such function; the message is in one line.
    """
    module, colon, path = text.partition(":")
    if not (module and colon and path):
        raise AuditError("expected MODULE:FUNCTION, such as my_package.losses:vae_loss")
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:  # a stranger's module may raise anything
        raise AuditError(f"cannot import {module!r}: {type(error).__name__}: {error}") from None
    for name in path.split("."):
        if not hasattr(found, name):
            raise AuditError(f"{module!r} has no {path!r}")
        found = getattr(found, name)
    if not callable(found):
        raise AuditError(f"got a {type(found).__name__}; expected a function")
    return found  # type: ignore[no-any-return]
