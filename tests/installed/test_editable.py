"""An editable install is the checkout from everywhere: each module has two names and one copy."""

from pathlib import Path
from typing import Any

import pytest

import vae_rosetta

ROOT = Path(vae_rosetta.__file__).parents[1]


@pytest.mark.parametrize(
    "order", [("shared.spec", "vae_rosetta.shared.spec"), ("vae_rosetta.shared.spec", "shared.spec")]
)
def test_two_names_are_one_module(order: tuple[str, str], editable: Any, tmp_path: Path) -> None:
    lines = (
        *(f"import {name}" for name in order),
        "from implementations import ports",
        "import vae_rosetta.implementations.ports",
        "assert shared.spec is vae_rosetta.shared.spec",
        "assert ports is vae_rosetta.implementations.ports",
        "print(shared.spec.__file__)",
    )
    done = editable.run("python", "-c", "\n".join(lines), folder=tmp_path)
    assert done.stdout.strip() == str(ROOT / "shared/spec.py"), done.stderr


def test_short_name_of_the_suite(editable: Any, tmp_path: Path) -> None:
    done = editable.run("python", "-m", "conformance", "--help", folder=tmp_path)
    assert "Usage: python -m conformance " in done.stdout, done.stderr
