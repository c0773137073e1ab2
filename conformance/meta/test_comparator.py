"""The comparator rejects every kind of wrong answer, and accepts what is right to the last allowed bit."""

import numpy as np
import pytest

from vae_rosetta.conformance import comparator
from vae_rosetta.conformance.comparator import Mismatch
from vae_rosetta.shared.contract import Array

EXPECTED = {"mu": np.array([[1.0, -2.0], [0.5, 0.0]]), "kl": np.array([3.0, 4.0])}
TOLERANCE = {"mu": np.array([[1e-3, 1e-3], [1e-3, 0.0]]), "kl": np.array([1e-2, 1e-2])}


def _answer(**changes: object) -> dict[str, Array]:
    answer = {name: value.astype(np.float32) for name, value in EXPECTED.items()}
    return {**answer, **changes}  # type: ignore[dict-item]  # wrong answers of wrong types are the point


def _changed(name: str, index: tuple[int, ...], value: float) -> dict[str, Array]:
    answer = _answer()
    answer[name][index] = value
    return answer


def test_right_answer_passes_with_headroom() -> None:
    headroom = comparator.compare(_changed("mu", (0, 0), 1.0005), EXPECTED, TOLERANCE, "float32")
    assert headroom["mu"] == pytest.approx(0.5, abs=1e-3)
    assert headroom["kl"] == 0.0


def test_edge_of_the_tolerance() -> None:
    """Binary fractions, so that nothing rounds: the tolerance itself passes, a thousandth more does not."""
    expected, tolerance = {"kl": np.array([4.0])}, {"kl": np.array([2.0**-10])}
    for sign in (1, -1):
        at = {"kl": np.array([4.0 + sign * 2.0**-10], np.float32)}
        assert comparator.compare(at, expected, tolerance, "float32")["kl"] == pytest.approx(1.0)
        beyond = {"kl": np.array([4.0 + sign * (2.0**-10 + 2.0**-20)], np.float32)}
        with pytest.raises(Mismatch, match="off by"):
            comparator.compare(beyond, expected, tolerance, "float32")


WRONG = {
    "missing": ({"mu": _answer()["mu"]}, "missing: kl"),
    "extra": (_answer(z=np.zeros(2, np.float32)), "unexpected: z"),
    "shape": (_answer(kl=np.zeros((2, 1), np.float32)), r"kl: got shape \(2, 1\)"),
    "scalar that would broadcast": (_answer(kl=np.array(3.0, np.float32)), r"kl: got shape \(\)"),
    "empty": (_answer(kl=np.zeros(0, np.float32)), r"kl: got shape \(0,\)"),
    "too wide": (_answer(kl=np.array([3.0, 4.0])), "kl: got dtype float64"),
    "too narrow": (_answer(kl=np.array([3.0, 4.0], np.float16)), "kl: got dtype float16"),
    "a list": (_answer(kl=[3.0, 4.0]), "kl: got list"),
    "NaN": (_changed("kl", (1,), np.nan), r"kl\[1\]: got nan"),
    "infinity": (_changed("kl", (0,), np.inf), r"kl\[0\]: got inf"),
    "just out": (_changed("mu", (0, 1), -2.0011), r"mu\[0, 1\].*1 of 4 elements"),
    "not exactly zero": (_changed("mu", (1, 1), 1e-30), r"mu\[1, 1\]"),
    "sign": (_answer(kl=-EXPECTED["kl"].astype(np.float32)), "kl"),
    "swapped": (_answer(kl=EXPECTED["kl"][::-1].astype(np.float32)), "kl"),
}


@pytest.mark.parametrize(("answer", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_answer_is_named(answer: dict[str, Array], message: str) -> None:
    with pytest.raises(Mismatch, match=message):
        comparator.compare(answer, EXPECTED, TOLERANCE, "float32")


def test_worst_element_is_the_one_shown() -> None:
    answer = _changed("mu", (0, 0), 1.01)
    answer["mu"][0, 1] = -3.0
    with pytest.raises(Mismatch, match=r"mu\[0, 1\]: got -3; expected -2: off by 1, 1e\+03 times .* 2 of 4"):
        comparator.compare(answer, EXPECTED, TOLERANCE, "float32")


def test_nan_does_not_equal_nan() -> None:
    nothing = {"kl": np.array([np.nan])}
    with pytest.raises(Mismatch, match="nan"):
        comparator.compare({"kl": np.array([np.nan], np.float32)}, nothing, {"kl": np.array([1.0])}, "float32")


def test_missing_tolerance_is_an_error() -> None:
    with pytest.raises(Mismatch, match="no tolerance"):
        comparator.compare(_answer(), EXPECTED, {"mu": TOLERANCE["mu"]}, "float32")
    with pytest.raises(Mismatch, match="no tolerance"):
        comparator.compare(_answer(), EXPECTED, {**TOLERANCE, "kl": np.array(1e-2)}, "float32")


def test_nan_tolerance_lets_nothing_pass() -> None:
    with pytest.raises(Mismatch, match="no tolerance"):
        comparator.compare(_answer(), EXPECTED, {**TOLERANCE, "kl": np.array([np.nan, 1e-2])}, "float32")


@pytest.mark.parametrize("answer", [np.inf, -np.inf, 3.4e38, np.nan])
def test_overflow_must_be_the_same_infinity(answer: float) -> None:
    expected, tolerance = {"kl": np.array([4e38])}, {"kl": np.array([1e31])}
    got = {"kl": np.array([answer], np.float32)}
    if answer == np.inf:
        comparator.compare(got, expected, tolerance, "float32")
    else:
        with pytest.raises(Mismatch):
            comparator.compare(got, expected, tolerance, "float32")


def test_finite_number_near_one_that_overflows_is_out() -> None:
    expected, tolerance = {"kl": np.array([3.41e38])}, {"kl": np.array([1e37])}
    comparator.compare({"kl": np.array([np.inf], np.float32)}, expected, tolerance, "float32")
    with pytest.raises(Mismatch, match="overflows float32"):
        comparator.compare({"kl": np.array([3.4e38], np.float32)}, expected, tolerance, "float32")


def test_subnormal_numbers_may_be_flushed_and_no_others() -> None:
    expected, tolerance = {"kl": np.array([1e-40])}, {"kl": np.array([0.0])}
    comparator.compare({"kl": np.array([0.0], np.float32)}, expected, tolerance, "float32")
    with pytest.raises(Mismatch, match="off by"):
        comparator.compare({"kl": np.array([3e-38], np.float32)}, expected, tolerance, "float32")
    with pytest.raises(Mismatch, match="off by"):
        comparator.compare({"kl": np.array([0.0])}, expected, tolerance, "float64")


def test_integers_are_compared_exactly() -> None:
    expected = {"adam.step": np.array(20)}
    comparator.compare({"adam.step": np.array(20)}, expected, {}, "float32")
    with pytest.raises(Mismatch, match="exactly"):
        comparator.compare({"adam.step": np.array(21)}, expected, {}, "float32")
    with pytest.raises(Mismatch, match="dtype"):
        comparator.compare({"adam.step": np.array(20.0)}, expected, {}, "float32")


def test_exp_of_onednn_may_flush() -> None:
    """Its exp(-87) is 0 (TensorFlow, AVX-512); exp(-86) is not."""
    expected, tolerance = {"p": np.array([1.645811e-38])}, {"p": np.array([0.0])}
    comparator.compare({"p": np.array([0.0], np.float32)}, expected, tolerance, "float32")
    with pytest.raises(Mismatch, match="off by"):
        comparator.compare({"p": np.array([0.0], np.float32)}, {"p": np.array([4.47e-38])}, tolerance, "float32")


def test_a_number_flushed_to_zero_uses_no_headroom() -> None:
    """Below twice the smallest normal number ports may flush: that is allowed, and says nothing of the tolerance.
    Beyond it the error counts, and so does one at an answer that is not so small."""
    tiny = comparator.flushed_below("float32")
    tolerance = {"p": np.array([1e-42, 1e-42])}

    def used(answer: list[float], expected: list[float]) -> float:
        given = {"p": np.array(answer, np.float32)}
        return comparator.compare(given, {"p": np.array(expected)}, tolerance, "float32")["p"]

    assert used([0.0, 1.0], [0.6 * tiny, 1.0]) == 0.0
    assert used([1.5 * tiny, 1.0], [1.2 * tiny, 1.0]) == pytest.approx(0.3, rel=1e-3)
    with pytest.raises(Mismatch, match=r"p\[0\]"):
        used([0.0, 1.0], [1.1 * tiny, 1.0])
