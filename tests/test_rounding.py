"""The rounding model: what it disturbs, and by how much, beside real float32."""

import numpy as np
import pytest

from vae_rosetta.shared import rounding, spec
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.oracle import Arithmetic, adam_step
from vae_rosetta.shared.rounding import RoundedArithmetic

U = rounding.UNIT_ROUNDOFF["float32"]


def _walk(ar: Arithmetic, start: float, step: float, steps: int) -> dict[str, Array]:
    total = np.array([start])
    for _ in range(steps):
        total = ar.stored(total - step)
    return {"total": total}


@pytest.mark.parametrize(("start", "step"), [(-20.7, 9.09e-5), (-16.1, 1e-3), (3.3, 1e-3)])
def test_equal_steps_err_alike(start: float, step: float) -> None:
    """The errors of equal steps add up in float32, and in the model; a tolerance of twenty of them covers that twice,
    and would be passed by five times as many."""
    tolerance = rounding.tolerances(lambda ar: _walk(ar, start, step, 20), "float32")["total"].item()
    walked = np.float32(start)
    for _ in range(20):
        walked -= np.float32(step)
    assert abs(float(walked) - (float(np.float32(start)) - 20 * step)) < tolerance / 2
    longer = rounding.tolerances(lambda ar: _walk(ar, start, step, 100), "float32")["total"].item()
    assert 3.0 < longer / tolerance < 8.0, "in proportion to the steps, not to their root"


@pytest.mark.parametrize("profile", ["float32", "float64"])
def test_what_is_stored_has_the_precision_asked_for(profile: str) -> None:
    u = rounding.UNIT_ROUNDOFF[profile]
    values = np.random.default_rng(0).standard_normal(1000) * 10.0 ** np.arange(-5, 5).repeat(100)
    errors = RoundedArithmetic(u, 1).stored(values) - values
    assert 0.5 * u < np.abs(errors / values).max() <= u
    again = RoundedArithmetic(u, 1).stored(values + errors)
    np.testing.assert_array_equal(again, values + errors, err_msg="stored twice is stored once")


def test_constants_are_those_of_the_precision() -> None:
    for repetition in (1, 2):
        single, double = (RoundedArithmetic(rounding.UNIT_ROUNDOFF[d], repetition) for d in ("float32", "float64"))
        assert single.constant(spec.BETA2) == float(np.float32(spec.BETA2))
        assert double.constant(spec.BETA2) == spec.BETA2


def test_bias_counts_once_and_spread_ten_times() -> None:
    def off(ar: Arithmetic) -> dict[str, Array]:
        return {"constant": np.array([ar.constant(0.999)]), "rounded": ar.rounded(np.ones(2000))}

    found = rounding.tolerances(off, "float32")
    assert found["constant"].item() == pytest.approx(abs(float(np.float32(0.999)) - 0.999), rel=1e-6)
    assert np.median(found["rounded"]) == pytest.approx(10 * U / np.sqrt(3), rel=0.05)


def test_second_moment_is_not_off_by_a_rounded_beta() -> None:
    """1 - 0.999f is off by 1.3e-5: thirteen times what is left to a first v."""
    gradient = np.array([0.7])

    def first(ar: Arithmetic) -> dict[str, Array]:
        return {"v": adam_step(np.ones(1), np.zeros(1), np.zeros(1), gradient, 1, ar)[2]}

    allowed = rounding.tolerances(first, "float32")["v"].item() / (1e-3 * 0.49)
    wrong = abs((1.0 - float(np.float32(spec.BETA2))) / (1.0 - spec.BETA2) - 1.0)
    assert wrong == pytest.approx(1.3e-5, rel=0.02)
    assert allowed < wrong / 10
