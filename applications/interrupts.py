"""Ctrl-C held back while something must be done whole."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Ctrl-C during the block takes effect at its end."""
    former = signal.getsignal(signal.SIGINT)
    # Only the main thread gets Ctrl-C and may say what it does.
    if threading.current_thread() is not threading.main_thread() or former is None:  # None: set outside Python
        yield
        return
    held = False

    def hold(_: int, __: FrameType | None) -> None:
        nonlocal held
        held = True

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
        if held:
            signal.raise_signal(signal.SIGINT)
