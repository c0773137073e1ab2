"""The lint accepts the vectors as they are, and notices whatever is done to their manifest by someone who signs it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vae_rosetta.conformance.meta import lint
from vae_rosetta.shared import vectors
from vae_rosetta.shared.vectors import __main__ as generator
from vae_rosetta.shared.vectors import cases


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the vectors that a test may damage."""
    target = tmp_path / "vectors"
    shutil.copytree(vectors.DIRECTORY, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return target


def test_vectors_are_faultless() -> None:
    assert lint.faults() == []


def test_every_case_has_its_vector() -> None:
    assert [case.id for case in cases.all_cases()] == list(vectors.load())


def test_generator_signs_what_it_writes(copy: Path) -> None:
    (copy / "manifest.sha256").unlink()
    generator.write(copy, {"stream/words"})
    assert lint.faults(copy) == []


def test_missing_checksum_and_stray_file_are_noticed(copy: Path) -> None:
    shutil.copy(copy / "loss/tiny.safetensors", copy / "loss/unlisted.safetensors")
    assert lint.faults(copy) == ["not in the manifest: unlisted.safetensors"]
    (copy / "manifest.sha256").unlink()
    assert lint.faults(copy) == [f"{copy / 'manifest.sha256'} is missing"]
    (copy / "manifest.json").unlink()
    assert lint.faults(copy) == [f"{copy / 'manifest.json'} is missing"]


def _set(field: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["cases"][0].__setitem__(field, value)


DAMAGE: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "unknown flag": (_set("flags", ["no-such-flag"]), "unknown flag"),
    "unknown clause": (_set("clauses", ["no.such.clause"]), "unknown clause"),
    "unknown operation": (_set("operation", "guess"), "is not one of"),
    "unknown field": (_set("tolerance", 1.0), "Additional properties"),
    "wish": (_set("description", "Every tensor should be right"), "must be a statement"),
    "bad id": (_set("id", "forward/Tiny"), "does not match"),
    "other checksum": (_set("sha256", "0" * 64), "SHA-256"),
    "unused flag": (
        lambda m: m["flags"].update(ghost={"bug": "A ghost bug.", "effect": "Nothing at all.", "source": "https://x"}),
        "is used by no case",
    ),
    "no source": (lambda m: m["flags"]["epsilon-hat"].pop("source"), "required property"),
    "seed as a number": (lambda m: m["cases"][-1]["arguments"].update(weights_seed=5), "is not of type 'string'"),
    "seed too wide": (lambda m: m["cases"][-1]["arguments"].update(weights_seed="9" * 21), "does not match"),
    "same id twice": (lambda m: m["cases"].append(m["cases"][0]), "same id"),
    "other version": (lambda m: m.update(spec_version="99.0"), "is not"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_manifest_is_noticed(damage: Callable[[dict[str, Any]], None], message: str, copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    damage(manifest)
    text = json.dumps(manifest).encode()
    (copy / "manifest.json").write_bytes(text)
    (copy / "manifest.sha256").write_bytes(vectors.checksum(text))
    assert any(message in fault for fault in lint.faults(copy))


def test_numbers_survive_readers_that_keep_doubles() -> None:
    """JavaScript reads a number as a double: nothing in the manifest is wider, and what is has become a string."""
    text = vectors.MANIFEST.read_text(encoding="utf-8")
    whole = json.loads(text)
    assert json.loads(text, parse_int=lambda digits: int(float(digits))) == whole
    written = {case["id"]: case["arguments"] for case in whole["cases"]}
    assert written["stream/words-far"]["seed"] == str(2**63 + 12345)
    assert vectors.load()["stream/words-far"].arguments["seed"] == 2**63 + 12345
