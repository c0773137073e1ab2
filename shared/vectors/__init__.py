"""Golden vectors: what a correct VAE answers, in files that any language can read.

`manifest.json` lists the cases; each has one safetensors file with its inputs (`input.*`), the oracle's float64 answers
(`expected.*`) and, element by element, how far a float32 or float64 port may be from them (`tolerance.float32.*`,
`tolerance.float64.*`). README.md beside this file is for readers who come without Python.

A missing, changed or unlisted file is an error, never a skip. The manifest holds the SHA-256 of every vector, and
`manifest.sha256` that of the manifest: no byte of either can change unnoticed, and no entry can go.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import safetensors.numpy

from vae_rosetta.shared.checks import DTYPES
from vae_rosetta.shared.contract import Array

DIRECTORY: Final = Path(__file__).parent
MANIFEST: Final = DIRECTORY / "manifest.json"
CHECKSUM: Final = DIRECTORY / "manifest.sha256"
SCHEMA: Final = DIRECTORY / "schema.json"
# Arguments of 64 bits. The manifest has them as decimal strings: a JSON number is a double to many readers, JavaScript
# among them, and exact up to 2^53 only (RFC 8259, section 6).
WIDE: Final = ("seed", "weights_seed", "index", "start")


class VectorError(Exception):
    """The golden vectors themselves are damaged: a file is missing, changed or not listed."""


def graded_in(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The precisions in which a case with these arguments is graded: both, or the one it names."""
    return (arguments["dtype"],) if "dtype" in arguments else DTYPES


@dataclass(frozen=True)
class Vector:
    """One golden case, its tensors read and verified when first asked for."""

    id: str
    operation: str
    description: str
    clauses: tuple[str, ...]
    flags: tuple[str, ...]
    arguments: Mapping[str, Any]
    path: Path
    sha256: str

    @property
    def chapter(self) -> str:
        """The part of the id before the slash."""
        return self.id.split("/")[0]

    @property
    def inputs(self) -> dict[str, Array]:
        """What is given to the model."""
        return self._section("input.")

    @property
    def expected(self) -> dict[str, Array]:
        """The oracle's answers: float64, or integers."""
        return self._section("expected.")

    def tolerance(self, dtype: str) -> dict[str, Array]:
        """Largest allowed absolute error, element by element, for a model of "float32" or "float64"."""
        return self._section(f"tolerance.{dtype}.")

    @cached_property
    def tensors(self) -> dict[str, Array]:
        """Everything in the file.

        Raises:
            VectorError: the file is missing, or is not the one that the manifest names.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            raise VectorError(f"{self.id}: {self.path.name} is missing") from None
        if (found := hashlib.sha256(data).hexdigest()) != self.sha256:
            raise VectorError(f"{self.id}: {self.path.name} has SHA-256 {found}; the manifest says {self.sha256}")
        return safetensors.numpy.load(data)

    def _section(self, prefix: str) -> dict[str, Array]:
        return {name.removeprefix(prefix): value for name, value in self.tensors.items() if name.startswith(prefix)}


def load(directory: Path = DIRECTORY) -> dict[str, Vector]:
    """All vectors by id, in the manifest's order.

    Raises:
        VectorError: there is no manifest, or another one than its checksum names, or there are files that it does not
            list.
    """
    manifest = json.loads(_verified_manifest(directory))
    vectors = {
        case["id"]: Vector(
            id=case["id"],
            operation=case["operation"],
            description=case["description"],
            clauses=tuple(case["clauses"]),
            flags=tuple(case["flags"]),
            arguments={k: int(v) if k in WIDE else v for k, v in case["arguments"].items()},
            path=directory / case["file"],
            sha256=case["sha256"],
        )
        for case in manifest["cases"]
    }
    listed = {vector.path for vector in vectors.values()}
    if stray := sorted(path.name for path in directory.glob("*/*.safetensors") if path not in listed):
        raise VectorError(f"not in the manifest: {', '.join(stray)}")
    return vectors


def checksum(manifest: bytes) -> bytes:
    """What the file beside a manifest holds, in the format of `sha256sum`."""
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST.name}\n".encode()


def _verified_manifest(directory: Path) -> bytes:
    files = (directory / MANIFEST.name, directory / CHECKSUM.name)
    if missing := [path for path in files if not path.is_file()]:
        raise VectorError(f"{missing[0]} is missing")
    manifest, stated = (path.read_bytes() for path in files)
    if (found := checksum(manifest)) != stated:
        wanted = stated.decode(errors="replace")
        raise VectorError(f"{MANIFEST.name} has the SHA-256 {found.decode()!r}; {CHECKSUM.name} says {wanted!r}")
    return manifest
