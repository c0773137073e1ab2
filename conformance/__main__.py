"""`python -m conformance MODULE [options]`: grades a backend, from any directory."""

import contextlib
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any, Final

USAGE: Final = """\
usage: python -m conformance MODULE [options] [pytest options]
       python -m conformance --vae-command "CMD" [options] [pytest options]
       python -m conformance matrix CERTIFICATE.json ...
       python -m conformance headroom CERTIFICATE.json ...
       python -m conformance audit MODULE:FUNCTION [--help]
       python -m conformance mixed MODULE [--help]

Grades MODULE, a dotted name that can be imported from here, against the specification. MODULE offers describe() and
load(params, *, dtype, device): see shared/contract.py. CMD, instead of a module, is a command that speaks for a port in
another language.

options:
  --report FILE                  write a certificate, as FILE ends in .json or .md; may be given twice
  --deviations FILE              known deviations with their reasons, in TOML
  --vae-dtype float32|float64    grade this precision only
  --vae-device auto|cpu|cuda     where the backend runs
  --timeout SECONDS              how long CMD may take for one request (60)

Exit code 0: nothing that was run fails; 1: something does; 2, 3: the suite itself broke; 4: it cannot be graded; 5: the
options leave no test; 130: interrupted.

examples:
  python -m conformance implementations.torch_vae
  python -m conformance my_package.my_vae --report conformance.json
  python -m conformance my_package.my_vae --vae-dtype float32 -k gradients
"""

# Each is a module with main(arguments) -> exit code, imported when it is asked for.
SUBCOMMANDS: Final = {
    "audit": "vae_rosetta.conformance.audit.cli",
    "headroom": "vae_rosetta.conformance.headroom",
    "matrix": "vae_rosetta.conformance.matrix",
    "mixed": "vae_rosetta.conformance.mixed",
}

# What the command line calls the plugin's options, which carry a prefix.
_SHORT: Final = {"--report": "--vae-report", "--deviations": "--vae-deviations", "--timeout": "--vae-timeout"}


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    with contextlib.suppress(KeyboardInterrupt):
        return _main(sys.argv[1:] if arguments is None else arguments)
    print("Interrupted.", file=sys.stderr)
    return 130  # 128 + SIGINT, as shells have it


def _main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if arguments else 4
    if arguments[0] in SUBCOMMANDS:
        return int(importlib.import_module(SUBCOMMANDS[arguments[0]]).main(arguments[1:]))
    named = [] if arguments[0].startswith("-") else ["--vae-backend", arguments[0]]
    options = [_spelled_out(option) for option in arguments[len(named) // 2 :]]
    commanded = any(option.split("=")[0] == "--vae-command" for option in options)
    if bool(named) == commanded:
        got = f"the module {arguments[0]!r} and --vae-command" if named else f"the option {arguments[0]!r}"
        expected = "one of them" if named else "the module's dotted name first, or --vae-command"
        print(f"MODULE: got {got}; expected {expected}\n\n{USAGE}", file=sys.stderr)
        return 4
    return _graded([*named, *options])


def _graded(options: list[str]) -> int:
    """Runs pytest on the chapters; returns its exit code."""
    if importlib.util.find_spec("pytest") is None:
        print("the suite needs pytest; try: pip install 'vae-rosetta[conformance]'", file=sys.stderr)
        return 4
    import pytest

    here = Path(__file__).parent
    # The suite's own settings: a stranger's pytest.ini, conftest.py or environment must not change what a pass means.
    for variable in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(variable, None)
    isolated = [
        "-c",
        str(here / "pytest.ini"),
        "--rootdir",
        str(here),
        "-p",
        "vae_rosetta.conformance.plugin",
        "-p",
        "no:cacheprovider",
        "--tb=short",
        "-rN",  # the suite's own summary lists what fails
    ]
    interrupts = _Interrupts()
    code = int(pytest.main([*isolated, *options, str(here / "chapters")], plugins=[interrupts]))
    if interrupts.came:
        raise KeyboardInterrupt
    return code


class _Interrupts:
    """Whether Ctrl-C ended the run; pytest's exit code is the same for tests that it could not collect."""

    came = False

    def pytest_keyboard_interrupt(self, excinfo: Any) -> None:
        self.came = excinfo.type is KeyboardInterrupt


def _spelled_out(option: str) -> str:
    name, equals, value = option.partition("=")
    return f"{_SHORT.get(name, name)}{equals}{value}"


if __name__ == "__main__":
    sys.exit(main())
