"""Ports in other languages, as whoever uses them meets them: `pytest tests/programs --port c`."""

import pytest

from vae_rosetta.implementations.ports import PORTS, Port

PROGRAMS = [word for word, port in PORTS.items() if port.program is not None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--port", choices=PROGRAMS, required=True, help="the port whose program is tested")


@pytest.fixture(scope="session")
def port(request: pytest.FixtureRequest) -> Port:
    """The port that the command line names."""
    return PORTS[request.config.getoption("--port")]
