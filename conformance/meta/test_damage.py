"""A run on damaged vectors fails before it grades anything: whichever file is gone, whichever byte is another."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from vae_rosetta.conformance import session
from vae_rosetta.conformance.meta import kill
from vae_rosetta.conformance.meta.strangers import WHOLE, copy_suite, suite
from vae_rosetta.shared import vectors
from vae_rosetta.shared.vectors import VectorError

IDS: Final = tuple(vectors.load())
FILES: Final = ("manifest.json", "manifest.sha256", *(f"{name}.safetensors" for name in IDS))
POSITIONS: Final = 4  # random ones, beside the two ends and the header of each file

Run = Callable[[], tuple[int, str]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the vectors, for all tests of this file."""
    target = tmp_path_factory.mktemp("copy") / "vectors"
    shutil.copytree(vectors.DIRECTORY, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return target


@pytest.fixture
def copy(whole: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """That copy in the place of the vectors; whatever a test does to it is undone."""
    monkeypatch.setattr(vectors, "load", partial(vectors.load, whole))
    yield whole
    for name in FILES:
        shutil.copyfile(vectors.DIRECTORY / name, whole / name)


@pytest.fixture
def run(copy: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Grades the oracle by one small vector of the copy, within this process: exit code and messages."""

    def graded() -> tuple[int, str]:
        options = [
            "-c",
            str(kill.SUITE / "pytest.ini"),
            "--rootdir",
            str(kill.SUITE),
            "-p",
            "vae_rosetta.conformance.plugin",
        ]
        quiet = ["-q", "-p", "no:cacheprovider", "-W", "ignore", "-k", "test_loss and tiny and float32"]
        chapter = str(kill.SUITE / "chapters/test_loss.py")
        code = pytest.main([*options, *quiet, "--vae-backend", "vae_rosetta.shared.oracle", chapter])
        return code, "".join(capfd.readouterr())

    return graded


def _refused(run: Run, name: str) -> bool:
    """Whether the run ends as a usage error whose one line names a file."""
    code, text = run()
    lines = [line for line in text.splitlines() if line.startswith("ERROR: ")]
    return code == pytest.ExitCode.USAGE_ERROR and len(lines) == 1 and Path(name).name in lines[0]


def test_run_on_whole_vectors_passes(run: Run) -> None:
    code, text = run()
    assert code == pytest.ExitCode.OK, text
    assert "1 passed" in text


@pytest.mark.parametrize("name", FILES)
def test_run_without_a_file_fails(name: str, copy: Path, run: Run) -> None:
    (copy / name).unlink()
    assert _refused(run, name)


@pytest.mark.parametrize("name", IDS)
def test_run_without_an_entry_fails(name: str, copy: Path, run: Run) -> None:
    """With its file left there or deleted too; where the manifest is signed anew, the file that stays is a stray."""
    manifest, checksum, vector = (copy / file for file in ("manifest.json", "manifest.sha256", f"{name}.safetensors"))
    found = json.loads(manifest.read_bytes())
    cases = [case for case in found["cases"] if case["id"] != name]
    assert len(cases) == len(IDS) - 1
    manifest.write_text(json.dumps({**found, "cases": cases}, indent=2) + "\n", encoding="utf-8")
    assert _refused(run, "manifest.json")
    content = vector.read_bytes()
    vector.unlink()
    with pytest.raises(VectorError, match=r"manifest\.json has the SHA-256"):
        session.verified_vectors()
    vector.write_bytes(content)
    checksum.write_bytes(vectors.checksum(manifest.read_bytes()))
    with pytest.raises(VectorError, match=f"not in the manifest: {vector.name}"):
        session.verified_vectors()


@pytest.mark.parametrize("name", FILES)
def test_run_on_a_changed_byte_fails(name: str, copy: Path, run: Run) -> None:
    content = (copy / name).read_bytes()
    chosen = random.Random(name)
    positions = {0, 8, len(content) - 1, *chosen.sample(range(len(content)), POSITIONS)}
    for position in sorted(positions):
        other = chosen.choice([value for value in range(256) if value != content[position]])
        (copy / name).write_bytes(content[:position] + bytes([other]) + content[position + 1 :])
        with pytest.raises(VectorError, match=Path(name).name):
            session.verified_vectors()
    assert _refused(run, name)


@pytest.mark.parametrize("content", [b"", b"\0"], ids=["empty", "one byte more"])
@pytest.mark.parametrize("name", FILES)
def test_cut_and_lengthened_files_are_noticed(name: str, content: bytes, copy: Path) -> None:
    before = (copy / name).read_bytes()
    (copy / name).write_bytes(before + content if content else content)
    with pytest.raises(VectorError, match=Path(name).name):
        session.verified_vectors()


def test_stranger_sees_one_line(tmp_path: Path) -> None:
    """The whole command, with a copy of the project whose vector is damaged."""
    copy_suite(tmp_path / "site")
    damaged = tmp_path / "site/vae_rosetta/shared/vectors/gradients/kl-wired.safetensors"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (tmp_path / "port.py").write_text(WHOLE, encoding="utf-8")
    found = suite(tmp_path, "port", "-q", root=tmp_path / "site")
    assert found.returncode == 2
    assert "Error: gradients/kl-wired: kl-wired.safetensors has SHA-256" in found.stdout + found.stderr
    assert "Traceback" not in found.stdout + found.stderr
