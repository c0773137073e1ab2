"""What every test relies on."""

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_works() -> Iterator[None]:
    """Also where the tests run in the background of a shell, which has SIGINT ignored, by children too."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    if former is not None:
        signal.signal(signal.SIGINT, former)
