"""The wheel in a virtualenv of its own, beside NumPy, safetensors and pytest, as a stranger has it."""

import importlib.util
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import NamedTuple

import pytest

import vae_rosetta

ROOT = Path(vae_rosetta.__file__).parents[1]


class Installation(NamedTuple):
    """A virtualenv, and what its users do with it."""

    folder: Path

    @property
    def site(self) -> Path:
        """Where its packages lie."""
        return Path(sysconfig.get_path("purelib", "venv", {"base": str(self.folder)}))

    @property
    def scripts(self) -> Path:
        """Where its commands lie."""
        return Path(sysconfig.get_path("scripts", "venv", {"base": str(self.folder)}))

    def run(self, *words: str, folder: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Runs one of its commands, `python` for one, in `folder`, with `path` for PYTHONPATH."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST"))}
        environment |= {"COLUMNS": "200"} | ({} if path is None else {"PYTHONPATH": str(path)})
        program = str(self.scripts / words[0])
        return subprocess.run(
            [program, *words[1:]], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
        )

    def pip(self, *words: str) -> None:
        """Runs pip on it, without an index."""
        options = ["--python", str(self.folder), "--quiet", "--disable-pip-version-check"]
        done = subprocess.run(
            [sys.executable, "-m", "pip", *options, *words], cwd=self.folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def names(self) -> set[str]:
        """What lies at the top of its packages."""
        return {path.name for path in self.site.iterdir()}


def _new(folder: Path) -> Installation:
    """An empty virtualenv that finds the packages of this one, except this project, after its own."""
    venv.create(folder, with_pip=False)
    installation = Installation(folder)
    others = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    assert not any((other / "vae_rosetta").exists() for other in others), "the project is to be installed editable"
    (installation.site / "others.pth").write_text("\n".join(map(str, sorted(others))), encoding="utf-8")
    return installation


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This tree's wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    if missing := [name for name in ("hatchling", "pip") if importlib.util.find_spec(name) is None]:
        pytest.skip(f"needs {' and '.join(missing)}, which nox installs")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture
def empty(tmp_path: Path) -> Installation:
    """With nothing but what it finds in this one."""
    return _new(tmp_path / "virtualenv")


@pytest.fixture(scope="session")
def editable(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """With this tree as it stands, as developers have it; tests leave it as it is."""
    installation = _new(tmp_path_factory.mktemp("virtualenv"))
    installation.pip("install", "--no-index", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    return installation


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """With the wheel; tests leave it as it is."""
    installation = _new(tmp_path_factory.mktemp("virtualenv"))
    installation.pip("install", "--no-index", "--no-deps", "--no-compile", str(wheel))
    return installation
