"""Ports as strangers bring them, and the suite run on them as strangers run it: from a folder of their own."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import vae_rosetta
from vae_rosetta.conformance.report import SCHEMA

ROOT: Final = Path(vae_rosetta.__file__).parents[1]

# Right: the oracle under another name.
WHOLE: Final = """\
from vae_rosetta.shared import oracle
describe, load = oracle.describe, oracle.load
"""

# The oracle with fewer methods; `{methods}` are those that it has.
_PARTIAL: Final = """\
from vae_rosetta.shared import oracle
from vae_rosetta.shared.oracle import describe

class Model:
    def __init__(self, model):
        for name in {methods}:
            setattr(self, name, getattr(model, name))

def load(params, *, dtype="float32", device="auto"):
    return Model(oracle.load(params, dtype=dtype, device=device))
"""

# Wrong: KL averaged over the latents.
WRONG: Final = """\
from vae_rosetta.shared import oracle
from vae_rosetta.shared.oracle import describe

class Model(oracle.Oracle):
    def losses(self, x, noise):
        found = super().losses(x, noise)
        return found._replace(kl=found.kl / self.sizes.latent_dim)

def load(params, *, dtype="float32", device="auto"):
    oracle.load(params, dtype=dtype, device=device)
    return Model(params, dtype)
"""

FORWARD: Final = ("params", "encode", "reparameterize", "decode", "losses")


def partial(*more: str) -> str:
    """The source of a port with what every model has, and `more` methods."""
    return _PARTIAL.format(methods=(*FORWARD, *more))


def suite(
    folder: Path,
    *arguments: str,
    python: tuple[str, ...] = ("-m", "vae_rosetta.conformance"),
    root: Path = ROOT,
    more: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """`python -m vae_rosetta.conformance` with these arguments, run in `folder`, with `more` in its environment."""
    environment = {**os.environ, "PYTHONPATH": str(root), "COLUMNS": "200", **(more or {})}
    command = [sys.executable, *python, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def copy_suite(site: Path) -> None:
    """Copies what the suite needs into a folder for Python's path, as an installation lays it out."""
    (site / "vae_rosetta").mkdir(parents=True)
    (site / "vae_rosetta/__init__.py").write_bytes(Path(vae_rosetta.__file__).read_bytes())
    for package in ("shared", "implementations", "conformance"):
        source = Path(str(importlib.import_module(f"vae_rosetta.{package}").__file__)).parent
        shutil.copytree(source, site / "vae_rosetta" / package, ignore=shutil.ignore_patterns("__pycache__"))


def grade(folder: Path, source: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Writes a port's source into `folder` and grades it, quietly."""
    (folder / "port.py").write_text(source, encoding="utf-8")
    return suite(folder, "port", "-q", "--tb=short", *options)


def read(path: Path) -> Any:
    """A certificate, checked against its schema."""
    import jsonschema  # here, because some sessions grade strangers' ports without it

    found = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(found, json.loads(SCHEMA.read_text(encoding="utf-8")))
    return found


def by(entries: list[dict[str, Any]], key: str) -> dict[str, dict[str, Any]]:
    """The entries of a list in a certificate by the value of a key."""
    return {entry[key]: entry for entry in entries}
