"""The one name under which everything is installed: `vae_rosetta.shared`, `vae_rosetta.implementations`, ...

In a checkout the five packages lie at the top of the repository, as the wheel's build puts them in here. This file
joins the two: from a checkout, `vae_rosetta.shared` is the folder `shared`, and the short name `shared` is the same
module, so that a process never holds two copies of one. The links beside this file say the same to type checkers and
editors, which do not run it; nothing else needs them.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

PACKAGES: Final = ("shared", "implementations", "conformance", "benchmarks", "applications")

_ROOT: Final = Path(__file__).resolve().parents[1]
IN_CHECKOUT: Final = all((_ROOT / part).is_file() for part in ("pyproject.toml", "shared/spec.py"))

if IN_CHECKOUT:
    __path__.insert(0, str(_ROOT))


def same_module(name: str) -> None:
    """Called by each of `PACKAGES` as it is imported: under its short name it becomes the module of the long one."""
    if name not in PACKAGES:
        return
    sys.modules[name] = importlib.import_module(f"{__name__}.{name}")
    if not any(isinstance(finder, _ShortNames) for finder in sys.meta_path):
        sys.meta_path.insert(0, _ShortNames())


class _ShortNames(importlib.abc.MetaPathFinder):
    """Finds `shared.spec` as `vae_rosetta.shared.spec`, if `shared` is ours: a stranger's own is left alone."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        package = fullname.partition(".")[0]
        ours = sys.modules.get(f"{__name__}.{package}")
        if fullname == package or ours is None or sys.modules.get(package) is not ours:
            return None
        found = importlib.util.find_spec(f"{__name__}.{fullname}")
        if found is None:
            return None
        return importlib.util.spec_from_loader(
            fullname, _SameModule(found), origin=found.origin, is_package=found.submodule_search_locations is not None
        )


class _SameModule(importlib.abc.InspectLoader):
    """Loads a module under a second name, without a second copy."""

    def __init__(self, spec: importlib.machinery.ModuleSpec) -> None:
        """`spec` is the module's own, under its long name."""
        self._spec = spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return importlib.import_module(self._spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has just put the short name's there

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
