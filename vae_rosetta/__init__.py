"""The one name under which everything is installed: `vae_rosetta.shared`, `vae_rosetta.implementations`, ...

The wheel holds the five packages in this folder. In a checkout they lie at the top of the repository. There, by this
file, `vae_rosetta.shared` is the folder `shared`, and the short name `shared` is the same module, so that a process
never holds two copies of one. The links beside this file serve type checkers and editors, which do not run it; nothing
else needs them.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

PACKAGES: Final = ("shared", "implementations", "conformance", "benchmarks", "applications")

_ROOT: Final = Path(__file__).resolve().parents[1]
IN_CHECKOUT: Final = all((_ROOT / part).is_file() for part in ("pyproject.toml", "shared/spec.py"))


def same_module(name: str) -> None:
    """Called by each of `PACKAGES` as it is imported, for the case that its short name comes before `vae_rosetta`."""
    if name in PACKAGES:
        theirs = _earlier_folder(name)
        long = f"{__name__}.{name}"
        sys.modules[name] = importlib.import_module(long) if theirs is None else importlib.util.module_from_spec(theirs)


def _earlier_folder(name: str) -> ModuleSpec | None:
    """The plain folder (a namespace package) of that name that stands before this checkout on Python's path.

    Python itself passes it over in favour of a package further on. To a stranger, whose folder it is, a checkout on
    PYTHONPATH or an editable install would then hide it.
    """
    earlier = itertools.takewhile(lambda entry: Path(entry).resolve() != _ROOT, sys.path)
    found = PathFinder.find_spec(name, list(earlier))
    return found if found is not None and found.loader is None else None


class _Finder(importlib.abc.MetaPathFinder):
    """Finds `vae_rosetta.shared`, `shared`, `shared.spec`; not `vae_rosetta.tests`, nor a `shared` that is not ours."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, rest = fullname.partition(".")
        if package == __name__ and rest in PACKAGES and IN_CHECKOUT:
            return PathFinder.find_spec(fullname, [str(_ROOT)])
        if package not in PACKAGES:
            return None
        if rest:
            return _second_name(fullname) if _is_ours(package) else None
        found = PathFinder.find_spec(package)
        if found is None or not _is_at_root(package, found.origin):
            return None
        return _earlier_folder(package) or _second_name(package)


def _is_ours(package: str) -> bool:
    """Whether the package imported under this short name is ours, or is just becoming so: threads may see it before."""
    module = sys.modules.get(package)
    ours = sys.modules.get(f"{__name__}.{package}")
    return module is not None and (module is ours or _is_at_root(package, getattr(module, "__file__", None)))


def _is_at_root(package: str, file: str | None) -> bool:
    return IN_CHECKOUT and file is not None and Path(file).resolve() == _ROOT / package / "__init__.py"


def _second_name(name: str) -> ModuleSpec | None:
    found = importlib.util.find_spec(f"{__name__}.{name}")
    if found is None:
        return None
    is_package = found.submodule_search_locations is not None
    return importlib.util.spec_from_loader(name, _SameModule(found), origin=found.origin, is_package=is_package)


class _SameModule(importlib.abc.InspectLoader):
    """Loads a module under a second name, without a second copy."""

    def __init__(self, spec: ModuleSpec) -> None:
        """`spec` is the module's own, under its long name."""
        self._spec = spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._spec.name)
        self._spec = module.__spec__ or self._spec
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has just put the short name's there

    def is_package(self, fullname: str) -> bool:
        return self._spec.submodule_search_locations is not None

    def get_source(self, fullname: str) -> str | None:
        source: str | None = self._inspector().get_source(self._spec.name)
        return source

    def get_code(self, fullname: str) -> CodeType | None:
        """For `python -m`, which runs a module's code rather than importing it."""
        return self._inspector().get_code(self._spec.name)

    def _inspector(self) -> importlib.abc.InspectLoader:
        loader = self._spec.loader
        if not isinstance(loader, importlib.abc.InspectLoader):
            raise ImportError(f"{self._spec.name}: its loader {loader!r} has no source")
        return loader


sys.meta_path.insert(0, _Finder())
