"""`python -m conformance MODULE [pytest options]`: grades a backend, from any directory."""

import importlib.util
import sys
from pathlib import Path

USAGE = """\
usage: python -m conformance MODULE [--vae-dtype float32|float64] [--vae-device auto|cpu|cuda] [pytest options]
       python -m conformance audit MODULE:FUNCTION [--help]

Grades MODULE, a dotted name that can be imported from here, against the specification. MODULE offers describe() and
load(params, *, dtype, device): see shared/contract.py. Exit code 0: it conforms; 1: it does not; 4: it cannot be
graded.

examples:
  python -m conformance implementations.torch_vae
  python -m conformance my_package.my_vae --vae-dtype float32 -k gradients
"""


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns pytest's exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if arguments else 4
    if arguments[0] == "audit":
        from conformance.audit import cli

        return cli.main(arguments[1:])
    module, *options = arguments
    if module.startswith("-"):
        print(f"MODULE: got the option {module!r}; expected the module's dotted name first\n\n{USAGE}", file=sys.stderr)
        return 4
    if importlib.util.find_spec("pytest") is None:
        print("the suite needs pytest; try: pip install 'vae-rosetta[conformance]'", file=sys.stderr)
        return 4
    import pytest

    here = Path(__file__).parent
    # The suite's own settings: a stranger's pytest.ini or conftest.py must not change what a pass means.
    isolated = [
        "-c",
        str(here / "pytest.ini"),
        "--rootdir",
        str(here),
        "-p",
        "conformance.plugin",
        "-p",
        "no:cacheprovider",
    ]
    return int(pytest.main([*isolated, "--vae-backend", module, *options, str(here / "chapters")]))


if __name__ == "__main__":
    sys.exit(main())
