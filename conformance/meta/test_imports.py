"""Data flows one way: what each package may import, read from the source; and that the reading notices a breach."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import vae_rosetta
from vae_rosetta.implementations.ports import PORTS

ROOT: Final = Path(vae_rosetta.__file__).parents[1]
OURS: Final = set(vae_rosetta.PACKAGES)
FRAMEWORKS: Final = {"jaxlib"}.union(*(port.packages for port in PORTS.values()))


def _rules() -> dict[str, set[str]]:
    """Which of our packages, and which frameworks, the files of a package may import."""
    rules = {
        "shared": {"shared"},
        "implementations": {"shared"},
        "implementations/programs.py": {"implementations"},  # a row: what is built
        "conformance": {"shared", "conformance"},
        "conformance/cli.py": {"shared", "conformance", "implementations"},  # the rows: a port's word names its module
        "conformance/meta/seeds.py": {"shared", "conformance", "implementations"},
        "conformance/meta/test_imports.py": {"implementations"},  # the rows: from which these rules follow
        "benchmarks": {"shared", "conformance", "benchmarks"},
        "benchmarks/cli.py": {"shared", "conformance", "benchmarks", "implementations"},  # the rows: what is measured
        "benchmarks/gpu": {"shared", "conformance", "benchmarks", "implementations"},  # the rows, too
        "benchmarks/gpu/cuda.py": {"torch"},
        "benchmarks/gpu/products.py": {"shared", "benchmarks", "implementations", "torch"},
        "benchmarks/peers/__init__.py": {"shared", "implementations"},  # the rows: whose program a peer is in
        "benchmarks/peers/dl4j_layer.py": {"shared", "implementations"},
        "benchmarks/peers/keras_fit.py": {"shared", "benchmarks", "keras"},
        "benchmarks/peers/pythae_trainer.py": {"shared", "benchmarks", "torch"},
        "benchmarks/peers/pytorch_compiled.py": {"shared", "benchmarks", "torch"},
        "benchmarks/peers/pytorch_listing.py": {"shared", "benchmarks", "torch"},
        "benchmarks/peers/pytorch_tensors.py": {"shared", "benchmarks", "torch"},
        "benchmarks/profiles/xla.py": {"benchmarks", "jax"},
        "applications": {"shared", "implementations", "applications"},
        "applications/cli.py": {"shared", "applications", "conformance", "benchmarks"},  # every command, by its name
    }
    for port in PORTS.values():
        rules[f"implementations/{port.word}_vae"] = {"shared", "implementations", *port.packages}
        rules[f"implementations/{port.word}_vae/model.py"] = set(port.packages)
    for file in sorted((ROOT / "benchmarks").glob("p*/with_*.py")):  # named for the port whose packages they need
        word = file.stem.split("_")[1]
        packages = PORTS[word].packages if word in PORTS else ()
        rules[_name(file)] = {"shared", "benchmarks", *packages}
    rules["benchmarks/products/with_nd4j.py"] = {"benchmarks", "implementations"}  # a program of the port in Java
    return {place: rule for place, rule in rules.items() if (ROOT / place).exists()}


def _name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


ALLOWED: Final = _rules()
# Packages beside ours and the standard library that may be imported when a module of the lowest layer is.
SHARED_AT_IMPORT: Final = {"numpy", "safetensors", "click"}
_COMMAND: Final = re.compile(r"vae_rosetta\.[\w.]+:\w+")  # "package.module:attribute", imported when it is asked for


def imports(source: str) -> Iterator[str]:
    """The top-level packages that a source file imports anywhere, by statement or by name; of ours, the one within."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (_package(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "vae_rosetta":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield _package(node.module)
        elif isinstance(node, ast.Constant) and _COMMAND.fullmatch(str(node.value)):
            yield _package(str(node.value))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (_package(str(a.value)) for a in node.args if isinstance(a, ast.Constant))


def _package(name: str) -> str:
    first, *rest = name.split(".")
    return rest[0] if first == "vae_rosetta" and rest else first


def breaches(place: str, source: str) -> set[str]:
    """What `source`, a file of `place`, imports although it must not."""
    return {name for name in imports(source) if name in OURS | FRAMEWORKS} - ALLOWED[place]


def _files(place: str) -> list[Path]:
    """The file that `place` is, or the files in that folder which have no rule of their own."""
    path = ROOT / place
    if path.suffix:
        return [path]
    nearer = [ROOT / other for other in ALLOWED if other.startswith(f"{place}/")]
    return [f for f in sorted(path.rglob("*.py")) if not any(f == other or other in f.parents for other in nearer)]


@pytest.mark.parametrize("place", ALLOWED)
def test_imports_keep_to_their_layer(place: str) -> None:
    files = _files(place)
    assert files
    found = {str(file.relative_to(ROOT)): breaches(place, file.read_text(encoding="utf-8")) for file in files}
    assert not {name: names for name, names in found.items() if names}


def test_every_module_is_under_a_rule() -> None:
    ruled = {file for place in ALLOWED for file in _files(place)}
    assert {file for package in OURS for file in (ROOT / package).rglob("*.py")} == ruled


def test_modules_imported_by_name_exist() -> None:
    """Tests that need a framework, too: where it is not installed, nobody would notice a module that has moved."""
    named: dict[object, str] = {}
    for file in (path for folder in (*OURS, "tests") for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                named |= {a.value: _name(file) for a in node.args if isinstance(a, ast.Constant)}
    ours = {str(name): file for name, file in named.items() if str(name).startswith("vae_rosetta.")}
    assert len(ours) >= 4
    places = {name: ROOT / "/".join(name.split(".")[1:]) for name in ours}
    assert not {n: ours[n] for n, path in places.items() if not (path.is_dir() or path.with_suffix(".py").is_file())}


def test_shared_needs_numpy_safetensors_and_click_only() -> None:
    import sys

    for file in _files("shared"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        top = "\n".join(ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom))
        assert set(imports(top)) - set(sys.stdlib_module_names) - {"shared", "vae_rosetta"} <= SHARED_AT_IMPORT, file


@pytest.mark.parametrize(
    ("place", "source", "caught"),
    [
        ("implementations/jax_vae", "import torch", {"torch"}),
        ("implementations/torch_vae/model.py", "def f():\n    from jax import numpy", {"jax"}),
        ("shared", "from vae_rosetta import implementations", {"implementations"}),
        ("shared", "from vae_rosetta.implementations import torch_vae", {"implementations"}),
        ("implementations/torch_vae/model.py", "from vae_rosetta.shared import spec", {"shared"}),
        ("shared", "import importlib\nimportlib.import_module('torch.nn')", {"torch"}),
        ("conformance", "import vae_rosetta.applications.cli", {"applications"}),
        ("applications", "import tensorflow as tf, numpy", {"tensorflow"}),
        ("applications", "LAZY = {'bench': 'vae_rosetta.benchmarks.cli:bench'}", {"benchmarks"}),
        ("shared", "import numpy\nfrom . import spec\nfrom shared import oracle", set()),
    ],
)
def test_breaches_are_noticed(place: str, source: str, caught: set[str]) -> None:
    assert breaches(place, source) == caught
