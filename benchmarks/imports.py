"""What importing a backend costs beyond importing the packages that it is built on, each time in a fresh process."""

import ast
import importlib.metadata
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Final

from vae_rosetta.benchmarks import processes

# Whoever imports it: part of the backend's cost, not of its framework's.
_OURS: Final = frozenset({"vae_rosetta"})
_TIMED: Final = """
import sys, time
started = time.perf_counter()
exec(sys.argv[1])
print(time.perf_counter() - started)
"""


def of(module: ModuleType) -> list[str]:
    """The framework of a module, as it and the modules in it import it: see `foreign`."""
    name = module.__name__
    own = [found for key, found in sys.modules.items() if key == name or key.startswith(f"{name}.")]
    sources = [inspect.getsource(found) for found in own if getattr(found, "__file__", None)]
    return list(dict.fromkeys(statement for source in sources for statement in foreign(source, name)))


def foreign(source: str, module: str) -> list[str]:
    """The framework of `module`, as its text `source` imports it.

    These are the import statements at its top level, without those of Python's packages, this project's and its own.
    """
    own = {module.partition(".")[0]} | _OURS | sys.stdlib_module_names
    return [statement for package, statement in _statements(source) if package not in own]


def versions(statements: list[str]) -> dict[str, str]:
    """Versions of NumPy and of the distributions that provide the packages in `statements`."""
    packages = {package for statement in statements for package, _ in _statements(statement)}
    providers = importlib.metadata.packages_distributions()
    names = {name for package in packages | {"numpy"} for name in providers.get(package, [])}
    return {name: importlib.metadata.version(name) for name in sorted(names)}


def seconds(statements: str) -> float:
    """Seconds that `statements` take in a fresh process, whose own start does not count.

    Raises:
        RuntimeError: they failed; the message is the last line that was said.
    """
    return float(processes.output(["-c", _TIMED, statements]))


def _statements(source: str) -> Iterator[tuple[str, str]]:
    """Package and statement, one for each package imported."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0], ast.unparse(ast.Import([alias]))
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0], ast.unparse(node)
