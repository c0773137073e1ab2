"""What installing adds to a virtualenv: one name, which other wheels can neither hide nor take away."""

import zipfile
from pathlib import Path
from typing import Any, Final

import pytest

import vae_rosetta

OTHER: Final = "other-1.0.dist-info"


@pytest.fixture
def other_wheel(tmp_path: Path) -> Path:
    """Of another project, which puts packages named as ours at the top."""
    contents = {f"{name}/__init__.py": "MINE = 'other'\n" for name in vae_rosetta.PACKAGES}
    contents[f"{OTHER}/METADATA"] = "Metadata-Version: 2.1\nName: other\nVersion: 1.0\n"
    contents[f"{OTHER}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    contents[f"{OTHER}/RECORD"] = "".join(f"{name},,\n" for name in (*contents, f"{OTHER}/RECORD"))
    path = tmp_path / "other-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def test_wheel_adds_one_name_and_takes_it_away(wheel: Path, empty: Any) -> None:
    before = empty.names()
    empty.pip("install", "--no-index", "--no-deps", "--no-compile", str(wheel))
    assert empty.names() - before == {"vae_rosetta", f"vae_rosetta-{wheel.name.split('-')[1]}.dist-info"}
    empty.pip("uninstall", "--yes", "vae-rosetta")
    assert empty.names() == before


def test_another_wheel_with_these_names_comes_and_goes(wheel: Path, other_wheel: Path, empty: Any) -> None:
    names = vae_rosetta.PACKAGES
    code = f"import {', '.join(names)}; print({', '.join(f'{name}.MINE' for name in names)})"
    empty.pip("install", "--no-index", "--no-deps", "--no-compile", str(wheel), str(other_wheel))
    ours = {path: path.read_bytes() for path in (empty.site / "vae_rosetta").rglob("*.*") if path.is_file()}
    done = empty.run("python", "-B", "-c", f"import vae_rosetta.shared.spec; {code}", folder=empty.folder)
    assert done.stdout.split() == ["other"] * len(names), done.stderr
    empty.pip("uninstall", "--yes", "other")
    assert {path: path.read_bytes() for path in ours} == ours
    done = empty.run("python", "-B", "-c", "from vae_rosetta.benchmarks import gate", folder=empty.folder)
    assert done.returncode == 0, done.stderr


def test_wheel_is_typed_and_holds_the_vectors(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "vae_rosetta/py.typed",
        "vae_rosetta/shared/vectors/manifest.json",
        "vae_rosetta/conformance/pytest.ini",
    } <= names
