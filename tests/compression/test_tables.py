"""The tables, against arbitrary-precision arithmetic; and that a machine on which they differ is told."""

from collections.abc import Iterator
from decimal import Context

import mpmath
import numpy as np
import pytest

from vae_rosetta.applications.compression import tables


@pytest.fixture
def _fresh_tables() -> Iterator[None]:
    tables._checked.cache_clear()
    yield
    tables._checked.cache_clear()


def test_probabilities_are_sigmoids_to_24_bits() -> None:
    counts = tables.probabilities().astype(np.float64) * 2**24
    with mpmath.workdps(40):
        for index in (-1024, -1023, -700, -64, -1, 0, 1, 64, 700, 1024):
            exact = 2**24 / (1 + mpmath.exp(-mpmath.mpf(index) / 64))
            assert int(counts[index + 1024]) == int(mpmath.nint(exact))
    assert len(counts) == 2049
    assert np.array_equal(counts, np.rint(counts))
    assert counts.min() >= 1
    assert counts.max() <= 2**24 - 1
    assert np.array_equal(counts + counts[::-1], np.full(2049, 2**24)), "both colours are treated alike"


def test_deviations_are_rounded_exponentials_in_grid_steps() -> None:
    deviations = tables.deviations()
    assert len(deviations) == 641
    with mpmath.workdps(40):
        for index in (-512, -511, -33, -1, 0, 1, 100, 128):
            assert deviations[index + 512] == float(64 * mpmath.exp(mpmath.mpf(index) / 64))


@pytest.mark.usefixtures("_fresh_tables")
def test_other_tables_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_DECIMAL", Context(prec=8))
    with pytest.raises(ArithmeticError, match=f"tables: got SHA-256 .* on this machine; expected {tables.SHA256}"):
        tables._checked()


def test_nobody_can_change_them() -> None:
    for table in (tables.probabilities(), tables.deviations()):
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 1
