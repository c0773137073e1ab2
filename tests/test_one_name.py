"""In a checkout, the short name of a module and its long one are one module, and nobody's own folder is hidden."""

import ast
import importlib
import importlib.resources
import importlib.util
import inspect
import os
import pickle
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import vae_rosetta

ROOT: Final = Path(vae_rosetta.__file__).parents[1]
FRAMEWORKS: Final = ("torch", "tensorflow", "keras", "jax", "flax", "optax", "pythae")

pytestmark = pytest.mark.skipif(not vae_rosetta.IN_CHECKOUT, reason="a wheel has no short names")


class _NoFrameworks:
    """A finder by which no framework is installed."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name.partition(".")[0] in FRAMEWORKS:
            raise ModuleNotFoundError(f"{name}: not in this test", name=name)


@pytest.fixture
def at_root(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The checkout's root first on the path, as for `python -c` there; and no framework."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setattr(sys, "meta_path", [_NoFrameworks(), *sys.meta_path])
    before = {*sys.modules}
    yield
    for name in {*sys.modules} - before:
        if name.partition(".")[0] in vae_rosetta.PACKAGES:
            del sys.modules[name]


def python(*arguments: str, folder: Path, path: Path | None = ROOT) -> str:
    """What Python prints, run in `folder` with `path` on PYTHONPATH."""
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _modules() -> list[str]:
    """The short names of all modules that are there to be imported."""
    files = [file for package in vae_rosetta.PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files]
    return [name for name in names if not name.rpartition(".")[2].startswith(("test_", "__main__", "conftest"))]


@pytest.mark.usefixtures("at_root")
def test_every_module_has_two_names_and_one_copy() -> None:
    without, names = [], _modules()
    for number, short in enumerate(names):
        both = (short, f"vae_rosetta.{short}")
        try:  # every other one by its long name first
            first, second = (importlib.import_module(name) for name in both[:: -1 if number % 2 else 1])
        except ModuleNotFoundError as error:
            without.append((short, error.name))
            continue
        assert first is second, short
        assert (first.__name__, first.__spec__ and first.__spec__.name) == (both[1], both[1])
    assert len(names) > 150
    assert all(short.startswith(("implementations.", "benchmarks.")) for short, _ in without)
    assert {missing for _, missing in without} <= {*FRAMEWORKS, None}  # None of a program whose tools are missing


FIRST: Final = {
    "short": "import shared.spec, vae_rosetta.shared.spec as long",
    "long": "import vae_rosetta.shared.spec as long, shared.spec",
    "package, then module": "import shared; from vae_rosetta.shared import spec as long; import shared.spec",
    "from": "from shared import spec; import shared; long = spec; from vae_rosetta.shared import spec",
    "through another": "import vae_rosetta.shared.oracle; import shared.spec; long = vae_rosetta.shared.spec",
    "in threads": """
import sys, threading, vae_rosetta
sys.setswitchinterval(1e-6)
def work(name, start=threading.Barrier(8)):
    start.wait()
    __import__(name)
names = ["shared.spec", "vae_rosetta.shared.spec", "shared.vectors", "vae_rosetta.shared.vectors"] * 2
threads = [threading.Thread(target=work, args=(name,)) for name in names]
[thread.start() for thread in threads], [thread.join() for thread in threads]
import shared.spec, vae_rosetta.shared.spec as long
assert sys.modules["shared.vectors"] is sys.modules["vae_rosetta.shared.vectors"]""",
}


@pytest.mark.parametrize("code", FIRST.values(), ids=FIRST)
@pytest.mark.parametrize("elsewhere", [False, True], ids=["at the root", "on PYTHONPATH"])
def test_whichever_is_imported_first(code: str, elsewhere: bool, tmp_path: Path) -> None:
    check = "assert shared.spec is long and shared.spec.__spec__.name == 'vae_rosetta.shared.spec'; print('one')"
    folder, path = (tmp_path, ROOT) if elsewhere else (ROOT, None)
    assert python("-c", f"{code}\n{check}", folder=folder, path=path) == "one\n"


def test_commands_by_their_short_names() -> None:
    for module in ("conformance", "benchmarks", "applications"):
        assert "usage: " in python("-m", module, "--help", folder=ROOT, path=None).lower()


@pytest.mark.usefixtures("at_root")
def test_tools_find_source_data_and_names() -> None:
    spec, checks = (importlib.import_module(f"shared.{name}") for name in ("spec", "checks"))
    assert pickle.loads(pickle.dumps(spec.Sizes(3, 2, 1))) == (3, 2, 1)
    assert spec.Sizes.__module__ == "vae_rosetta.shared.spec"
    assert inspect.getsource(checks).startswith('"""')
    assert importlib.resources.files("shared.vectors").joinpath("manifest.json").is_file()
    assert pkgutil.resolve_name("shared.spec:Sizes") is spec.Sizes
    found = importlib.util.find_spec("shared.vectors.flags")
    assert found is not None
    assert found.origin == str(ROOT / "shared/vectors/flags.py")


def test_a_module_that_is_reloaded_is_one_still() -> None:
    code = """
import importlib, vae_rosetta, shared.spec, vae_rosetta.shared.spec as long
for module in (shared.spec, shared, vae_rosetta):
    assert importlib.reload(module) is module
import shared.stream, vae_rosetta.shared.stream
assert shared.stream is vae_rosetta.shared.stream and shared.spec is long
"""
    python("-c", code, folder=ROOT, path=None)


def test_no_package_gives_a_module_of_its_own_another_meaning() -> None:
    """Importing `explainer.together` puts the module into the package, over a function that the package has there."""
    clashes = []
    for file in (file for package in vae_rosetta.PACKAGES for file in (ROOT / package).rglob("__init__.py")):
        own = {module.name for module in pkgutil.iter_modules([str(file.parent)])}
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom):
                modules = node.module == "vae_rosetta." + ".".join(file.parent.relative_to(ROOT).parts)
                names = set() if modules else {alias.asname or alias.name for alias in node.names}
            else:
                names = {node.name} if isinstance(node, ast.FunctionDef | ast.ClassDef) else set()
            clashes += [f"{file.relative_to(ROOT)}: {name}" for name in sorted(names & own)]
    assert not clashes


def test_nothing_else_of_the_checkout_is_in_the_package() -> None:
    found = {module.name for module in pkgutil.iter_modules(vae_rosetta.__path__)}
    assert found in ({*vae_rosetta.PACKAGES}, set()), "by the links, where the file system has them"
    for name in ("tests", "noxfile", "vae_rosetta", "docs"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f"vae_rosetta.{name}")


@pytest.mark.parametrize("package", [False, True], ids=["plain folder", "package"])
def test_an_earlier_folder_of_that_name_is_not_hidden(package: bool, tmp_path: Path) -> None:
    for name in vae_rosetta.PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "spec.py").write_text(f"MINE = {name!r}", encoding="utf-8")
        if package:
            (tmp_path / name / "__init__.py").touch()
    for first in ("", "import vae_rosetta.shared.spec, vae_rosetta.conformance, vae_rosetta.benchmarks.cli\n"):
        code = "".join(f"import {name}.spec; print({name}.spec.MINE)\n" for name in vae_rosetta.PACKAGES)
        last = "from vae_rosetta.shared import spec; print(spec.HIDDEN_DIM)"
        found = python("-c", first + code + last, folder=tmp_path)
        assert found.split() == [*vae_rosetta.PACKAGES, "400"]


def test_a_later_folder_of_that_name_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    code = f"import sys; sys.path.append({str(tmp_path)!r}); import shared.spec; print(shared.spec.HIDDEN_DIM)"
    assert python("-c", code, folder=ROOT, path=None) == "400\n"
