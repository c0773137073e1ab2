"""One run of the suite: pytest on the chapters, with the suite's own settings. Only a run imports pytest."""

import contextlib
import os
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from vae_rosetta.shared.command_line import BAD_INPUT, BROKEN, DONE, NO

# 2: pytest was interrupted, though not by Ctrl-C, as by a test file that cannot be collected.
_CODES: Final = {0: DONE, 1: NO, 2: BROKEN, 3: BROKEN, 4: BAD_INPUT, 5: BAD_INPUT}


def run(options: Sequence[str]) -> int:
    """Runs the suite with pytest's options and the plugin's, prints what it finds, and returns the exit code.

    Raises:
        ValueError: nothing can be graded, in the words of the plugin or of pytest; or the options leave no test.
        KeyboardInterrupt: Ctrl-C; what was found until then has been printed.
    """
    here = Path(__file__).parent
    # The suite's own settings: a stranger's pytest.ini, conftest.py or environment must not change what a pass means.
    for variable in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(variable, None)
    isolated = [
        *("-c", str(here / "pytest.ini"), "--rootdir", str(here)),
        *("-p", "vae_rosetta.conformance.plugin", "-p", "no:cacheprovider"),
        *("--tb=short", "-rN"),  # the suite's own summary lists what fails
    ]
    ends = _Ends()
    code = int(pytest.main([*isolated, *options, str(here / "chapters")], plugins=[ends]))
    if ends.interrupted:
        raise KeyboardInterrupt
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise ValueError("the options leave no test to run")
    return _CODES.get(code, BROKEN)


class _Ends:
    """A plugin that tells apart how pytest ends: its exit codes and its own way of printing errors do not."""

    interrupted = False

    def pytest_keyboard_interrupt(self, excinfo: Any) -> None:
        self.interrupted = excinfo.type is KeyboardInterrupt

    @pytest.hookimpl(wrapper=True)
    def pytest_cmdline_parse(self) -> Generator[None, Any, Any]:
        with _refusals():
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_cmdline_main(self) -> Generator[None, Any, Any]:
        with _refusals():
            return (yield)


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except pytest.UsageError as error:
        text = str(error)
        _, mark, complaint = text.partition(": error: ")  # how argparse ends a text that begins with the usage
        raise ValueError(complaint.splitlines()[0] if mark else text) from None
