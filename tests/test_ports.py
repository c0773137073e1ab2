"""The rows of `implementations/ports.py`: what they say is so, and one of them is all that a new port needs."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from vae_rosetta.conformance.grader import ABILITIES
from vae_rosetta.implementations import ports
from vae_rosetta.implementations.ports import MIXED, PORTS
from vae_rosetta.shared import parameters
from vae_rosetta.shared.spec import Sizes

ROOT: Final = Path(__file__).parents[1]
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: Final[dict[str, list[str]]] = PROJECT["optional-dependencies"]


@pytest.mark.parametrize("word", PORTS)
def test_row_says_what_the_model_offers(word: str) -> None:
    port = PORTS[word]
    if lacks := port.lacks():
        pytest.skip(f"{word} {lacks}")
    backend, params = ports.backend(word), parameters.initial(0, Sizes(2, 1, 1))
    model = backend.load(params)
    found = {ability for ability, methods in ABILITIES.items() if all(hasattr(model, name) for name in methods)}
    for dtype in ("float64", MIXED):
        if dtype in port.offers:
            backend.load(params, dtype=dtype)
            found.add(dtype)
        else:
            with pytest.raises(ValueError, match="dtype"):
                backend.load(params, dtype=dtype)
    assert found - {"gradients"} == port.offers


@pytest.mark.parametrize("word", [port.word for port in ports.FRAMEWORKS])
def test_extra_has_the_packages_of_the_row_each_with_a_floor(word: str) -> None:
    app, *packages = EXTRAS[word]
    assert app == "vae-rosetta[app]"
    assert tuple(package.partition(">=")[0] for package in packages) == PORTS[word].packages
    assert all(re.fullmatch(r"\w+>=[\d.]+", package) for package in packages)


def test_extra_all_has_every_framework() -> None:
    words = ",".join(port.word for port in ports.FRAMEWORKS)
    assert EXTRAS["all"] == [f"vae-rosetta[{words},conformance]"]


def test_readme_leads_to_every_model_that_stands_alone() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    models = [model.relative_to(ROOT).as_posix() for model in (ROOT / "implementations").glob("*/model.py")]
    assert len(models) >= 3
    assert not [model for model in models if f"]({model})" not in page]


# What a new port is made of: a folder, a row, an extra. The toy is the oracle under another word.
TOY: Final = "from vae_rosetta.shared.oracle import describe, load\n\n__all__ = ['describe', 'load']\n"
ROW: Final = '    Port("toy", "Python", f"{_HERE}.toy_vae", (), FULL),\n'
EXTRA: Final = 'toy = ["vae-rosetta[app]"]\n'


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project to which the toy has been added."""
    root = tmp_path_factory.mktemp("copy")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a checkout: there is no list of the project's files")
    for name in filter(None, listed.stdout.split("\0")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy2(ROOT / name, root / name, follow_symlinks=False)
    (root / "implementations/toy_vae").mkdir()
    (root / "implementations/toy_vae/__init__.py").write_text(TOY, encoding="utf-8")
    _insert(root / "implementations/ports.py", ROW, before='    Port("oracle"')
    _insert(root / "pyproject.toml", EXTRA, before="all = [")
    project = (root / "pyproject.toml").read_text(encoding="utf-8")
    (root / "pyproject.toml").write_text(project.replace("jax,conformance]", "jax,toy,conformance]"), encoding="utf-8")
    return root


def _insert(path: Path, line: str, *, before: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(f"\n{before}") == 1
    path.write_text(text.replace(f"\n{before}", f"\n{line}{before}"), encoding="utf-8")


def _run(tree: Path, *words: str) -> str:
    """What `python WORDS` prints in the copy."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, *words], cwd=tree, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_new_port_keeps_to_the_import_rules_and_its_row_is_true(tree: Path) -> None:
    cases = "toy or every_module_is_under_a_rule or extra_all"
    out = _run(tree, "-m", "pytest", "-q", "conformance/meta/test_imports.py", "tests/test_ports.py", "-k", cases)
    assert re.search(r"\b5 passed", out), out  # the folder's rule, all files, its row, its extra, the extra `all`


def test_tests_that_list_the_ports_pass_with_a_new_one(tree: Path) -> None:
    listing = "agreement_is_told or missing_backends or backends_tells"
    out = _run(tree, "-m", "pytest", "-q", "tests/test_demo.py", "tests/test_command_line.py", "-k", listing)
    assert re.search(r"\b5 passed", out), out


def test_new_port_has_its_sessions(tree: Path) -> None:
    pytest.importorskip("nox")
    listed = _run(tree, "-m", "nox", "--list")
    assert "conformance(toy)" in listed
    assert "seeds(toy)" in listed


def test_new_port_conforms(tree: Path) -> None:
    out = _run(tree, "-m", "conformance", "implementations.toy_vae", "-q", "-k", "loss and tiny")
    assert re.search(r"\b[1-9]\d* passed", out), out


def test_new_port_is_measured_and_shown_where_none_is_named(tree: Path) -> None:
    named = _run(tree, "-c", "from benchmarks import cli; print(*cli._modules(()))").split()
    assert "vae_rosetta.implementations.toy_vae" in named
    assert "toy" in _run(tree, "-c", "from applications import demo; print(*demo._FRAMEWORKS)").split()


def test_new_port_is_a_backend_of_every_command(tree: Path, tmp_path: Path) -> None:
    (row,) = (line for line in _run(tree, "-m", "applications", "backends").splitlines() if line.startswith("toy "))
    assert row.split() == ["toy", "Python", "numpy", np.__version__, "yes", "yes", "yes", "no"]
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((20, 3, 4), dtype=np.float32))
    train = ["train", "--backend", "toy", "--data", str(tmp_path / "x.npy"), "--epochs", "1"]
    _run(tree, "-m", "applications", *train, "--out", str(tmp_path / "run"))
    assert (tmp_path / "run/weights.safetensors").exists()
