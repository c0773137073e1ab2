"""The lint accepts the vectors as they are, and notices whatever is done to them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.meta import lint
from shared import vectors


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the vectors that a test may damage."""
    target = tmp_path / "vectors"
    shutil.copytree(vectors.DIRECTORY, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return target


def test_vectors_are_faultless() -> None:
    assert lint.faults() == []


def test_any_missing_file_is_noticed(copy: Path) -> None:
    for path in sorted(copy.glob("*/*.safetensors")):
        hidden = path.rename(path.with_suffix(".hidden"))
        assert any("is missing" in fault for fault in lint.faults(copy)), path
        hidden.rename(path)
    assert lint.faults(copy) == []


def test_any_changed_byte_is_noticed(copy: Path) -> None:
    for path in sorted(copy.glob("*/*.safetensors")):
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        assert any("SHA-256" in fault for fault in lint.faults(copy)), path
        path.write_bytes(data)


def test_missing_manifest_and_stray_file_are_noticed(copy: Path) -> None:
    shutil.copy(copy / "loss/tiny.safetensors", copy / "loss/unlisted.safetensors")
    assert lint.faults(copy) == ["not in the manifest: unlisted.safetensors"]
    (copy / "manifest.json").unlink()
    assert "is missing" in lint.faults(copy)[0]


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
    path = copy / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    damage(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")
    assert any(message in fault for fault in lint.faults(copy))


def test_numbers_survive_readers_that_keep_doubles() -> None:
    """JavaScript reads a number as a double: nothing in the manifest is wider, and what is has become a string."""
    text = vectors.MANIFEST.read_text(encoding="utf-8")
    whole = json.loads(text)
    assert json.loads(text, parse_int=lambda digits: int(float(digits))) == whole
    written = {case["id"]: case["arguments"] for case in whole["cases"]}
    assert written["stream/words-far"]["seed"] == str(2**63 + 12345)
    assert vectors.load()["stream/words-far"].arguments["seed"] == 2**63 + 12345
