"""The parts of `benchmarks/gpu.sh` that measure PyTorch itself, on the CPU."""

import pytest

from vae_rosetta.benchmarks.gpu import listing, products
from vae_rosetta.benchmarks.gpu.plan import AMOUNTS, Part

pytest.importorskip("torch")
AMOUNTS_HERE = AMOUNTS["small"]._replace(images=64, batches=(16, 32), turn_seconds=0.0)


def _rates(findings: list[str], measure: str) -> None:
    assert [what for what in findings if measure in what] == [f"batch {batch}: {measure}" for batch in (16, 32)]


def test_products_and_empty_launches() -> None:
    found = list(products.findings(Part("products", "torch", "", "cpu", 0), AMOUNTS_HERE))
    named = [finding.what for finding in found]
    _rates(named, "products, float32")
    _rates(named, "products, bfloat16")
    assert all(isinstance(finding.value, int | float) and finding.value > 0 for finding in found)
    # Fourteen products, without a tape for mu and logvar apart: twelve; an update; what lies between.
    assert 25 <= products.operators_of_a_step("cpu") <= 60


def test_listing() -> None:
    found = list(listing.findings(Part("listing", "torch", "", "cpu", 0), AMOUNTS_HERE))
    _rates([finding.what for finding in found], "fit")
    _rates([finding.what for finding in found], "first epoch")
