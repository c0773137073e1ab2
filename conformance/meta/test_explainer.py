"""The explainer names the right cause for wrong answers, and none for rounding or for answers that are right."""

import copy
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import pytest

from vae_rosetta.conformance import comparator, explainer, failure
from vae_rosetta.conformance.explainer.loss_hypotheses import loss_hypotheses
from vae_rosetta.conformance.explainer.model_hypotheses import Hypothesis, model_hypotheses
from vae_rosetta.conformance.explainer.rules import Adam, Rules
from vae_rosetta.conformance.explainer.suspect import Suspect
from vae_rosetta.conformance.explainer.training_hypotheses import training_hypotheses
from vae_rosetta.shared import oracle, rounding, spec, vectors
from vae_rosetta.shared.contract import Array, FullModel, Tensors
from vae_rosetta.shared.oracle import Real
from vae_rosetta.shared.spec import Sizes
from vae_rosetta.shared.vectors import Vector, operations

Answer = dict[str, Array]

ASKING: Final = {name: vector for name, vector in vectors.load().items() if not explainer.beyond(vector)}
SMALL: Final = {name: vector for name, vector in ASKING.items() if "weights_seed" not in vector.arguments}

NAMED: Final = 0.9  # share of the wrong answers whose cause must be named first
ROUNDOFF: Final = {"float32": 2.0**-24, "float64": 2.0**-53}


class Disturbed(rounding.RoundedArithmetic):
    """Random rounding that leaves infinities as they are."""

    def rounded(self, value: Real, magnitude: Real | None = None, *, roundings: float = 1.0) -> Real:
        found = super().rounded(value, magnitude, roundings=roundings)
        return np.where(np.isfinite(value), found, value)


def answer(vector: Vector, load: Callable[[Tensors], FullModel]) -> Answer:
    """What a model answers."""
    with np.errstate(all="ignore"):
        return operations.OPERATIONS[vector.operation](load, vector.inputs, vector.arguments)


def true_answer(vector: Vector, dtype: str, roundoff: float = 0.0, repetition: int = 1) -> Answer:
    """The oracle's answer, disturbed as arithmetic with this unit roundoff disturbs it."""
    arithmetic = Disturbed(roundoff, repetition)
    return answer(vector, lambda params: oracle.Oracle(params, dtype, arithmetic))


def suspect_answer(vector: Vector, dtype: str, rules: Rules) -> Answer:
    """What a model with these rules answers in a precision, rounding included."""
    disturbed = replace(rules, arithmetic=Disturbed(ROUNDOFF[dtype], 5))
    return answer(vector, lambda params: Suspect(params, dtype, disturbed))


def causes(vector: Vector, actual: Answer, dtype: str = "float32") -> list[str]:
    return [finding.cause for finding in explainer.diagnosis(vector, actual, dtype).findings]


def said(vector: Vector, actual: Answer, dtype: str = "float32") -> str:
    """What a reader is told."""
    return explainer.said(vector, explainer.diagnosis(vector, actual, dtype).explanation)


def is_wrong(vector: Vector, actual: Answer, dtype: str) -> bool:
    with np.errstate(all="ignore"):
        try:
            comparator.compare(actual, vector.expected, vector.tolerance(dtype), dtype)
        except comparator.Mismatch:
            return True
    return False


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SMALL)
def test_every_hypothesis_is_recovered_through_rounding(name: str, dtype: str) -> None:
    """Each cause, put into a model that rounds, is among those named, or another that nothing here tells apart from
    it is."""
    vector = SMALL[name]
    shapes = {key.removeprefix("param."): value.shape for key, value in vector.inputs.items()}
    hidden, pixels = shapes["encoder.fc1.weight"]
    sizes = Sizes(pixels, hidden, *shapes["encoder.fc2_mu.bias"])
    first: dict[str, Hypothesis] = {}
    for hypothesis in [*model_hypotheses(sizes), *training_hypotheses(), *loss_hypotheses(dtype)]:
        if hypothesis.detail != "to +-88":  # vectors have logits of just 88, which rounding puts on either side of it
            first.setdefault(hypothesis.cause, hypothesis)
    missed, asked = [], 0
    for hypothesis in first.values():
        actual = suspect_answer(vector, dtype, hypothesis.rules)
        if not is_wrong(vector, actual, dtype):
            continue
        found = causes(vector, actual, dtype)
        asked += 1
        alike = [first[cause] for cause in found if cause in first]
        same = any(_agree(vector, hypothesis.rules, other.rules, dtype) for other in alike)
        if hypothesis.cause not in found and not same:
            missed.append((hypothesis.cause, hypothesis.detail, found))
    assert asked
    assert len(missed) <= (1 - NAMED) * asked, missed


def _agree(vector: Vector, one: Rules, other: Rules, dtype: str) -> bool:
    """Whether two bugs have the same answer to this vector."""

    def under(rules: Rules) -> Answer:
        return answer(vector, lambda params: Suspect(params, "float64", rules))

    answers = under(one), under(other)
    return all(np.allclose(answers[0][name], answers[1][name], rtol=1e-6, equal_nan=True) for name in answers[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SMALL)
def test_rounding_has_no_cause(name: str, dtype: str) -> None:
    """Rounding 3, 10 and 30 times as large as the precision's own is wrong, and nobody's bug."""
    vector, wrong = SMALL[name], 0
    for repetition in range(9):
        actual = true_answer(vector, dtype, ROUNDOFF[dtype] * (3, 10, 30)[repetition % 3], 100 + repetition)
        wrong += is_wrong(vector, actual, dtype)
        assert said(vector, actual, dtype) == explainer.NOTHING
    # Where nothing is rounded (zeros, one flat bias) there is nothing to disturb.
    assert wrong or name in ("gradients/relu-at-zero", "training/short-last-batch", "training/tiny-gradients"), wrong


@pytest.mark.parametrize("name", ["forward/full", "loss/full", "gradients/full", "training/full", "training/whole-run"])
def test_large_rounding_has_no_cause(name: str) -> None:
    vector = ASKING[name]
    actual = true_answer(vector, "float32", 30 * ROUNDOFF["float32"], 7)
    assert said(vector, actual) == explainer.NOTHING


@pytest.mark.parametrize("name", SMALL)
def test_right_answers_have_no_cause(name: str) -> None:
    vector = SMALL[name]
    assert not causes(vector, true_answer(vector, "float32", ROUNDOFF["float32"], 3))
    assert not causes(vector, true_answer(vector, "float32"))


@pytest.mark.parametrize("name", SMALL)
def test_garbage_has_no_cause(name: str) -> None:
    vector, random = SMALL[name], np.random.default_rng(0)
    for _ in range(5):
        actual = {
            key: random.standard_normal(value.shape).astype(np.float32) if value.dtype.kind == "f" else value
            for key, value in vector.expected.items()
        }
        assert said(vector, actual) == explainer.NOTHING


@pytest.mark.parametrize("name", SMALL)
def test_suspect_without_a_bug_is_the_oracle(name: str) -> None:
    vector = SMALL[name]
    actual = answer(vector, lambda params: Suspect(params, "float64", Rules()))
    for key, value in true_answer(vector, "float64").items():
        np.testing.assert_allclose(actual[key], value, rtol=1e-13, atol=1e-300, err_msg=key)


def test_order_of_tensors_does_not_matter() -> None:
    """A file of two calls may list the second one's objective first."""
    vector = SMALL["training/short-last-batch"]
    actual = suspect_answer(vector, "float32", Rules(short="padded"))
    for names in (sorted(vector.tensors), sorted(vector.tensors, reverse=True)):
        listed = {name: vector.tensors[name] for name in names}
        copy = replace(vector)
        vars(copy)["tensors"] = listed  # where the cached property keeps them
        assert causes(copy, actual) == ["short-batch-padded"]


def test_kl_weight_is_estimated() -> None:
    for name in ("loss/tiny", "gradients/tiny", "gradients/kl-wired"):
        vector = SMALL[name]
        found = explainer.diagnosis(
            vector, suspect_answer(vector, "float32", Rules(kl_weight=0.37)), "float32"
        ).findings
        assert [tuple(finding) for finding in found] == [("kl-weight", "its weight is 0.37")]


@pytest.mark.parametrize(
    ("name", "weights", "cause"),
    [
        ("loss/tiny", (1 / 12, 1.0), "pixel-mean"),
        ("loss/full", (1 / 784, 1.0), "pixel-mean"),
        ("loss/tiny", (1 / 60, 1.0), "whole-mean"),
        ("gradients/tiny", (1 / 12, 1 / 3), "pixel-mean"),
        ("gradients/tiny", (-1.0, -1.0), "sign"),
        ("gradients/full", (1.0, 1 / 20), "kl-latent-mean"),
        ("loss/tiny", (1.0, 2.0), "kl-half"),
        ("training/tiny", (1 / 12, 1.0), "pixel-mean"),
        ("training/tiny", (1.0, 1 / 3), "kl-latent-mean"),
        ("training/full", (1.0, 1 / 784), "kl-pixel-mean"),
    ],
)
def test_weights_of_terms_are_named(name: str, weights: tuple[float, float], cause: str) -> None:
    rules = Rules(reconstruction_weight=weights[0], kl_weight=weights[1])
    assert causes(ASKING[name], suspect_answer(ASKING[name], "float32", rules))[:1] == [cause]


STOCK_KERAS: Final = replace(
    next(h for h in loss_hypotheses("float32") if (h.cause, h.detail) == ("probabilities-clipped", "at 1e-07")).rules,
    adam=Adam(place="before", epsilon=1e-7),
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("loss/saturated-logits", {"probabilities-clipped"}),
        ("gradients/saturated-logits", {"probabilities-clipped"}),
        ("training/tiny", {"epsilon-hat"}),
        ("training/full", {"epsilon-hat"}),
        ("training/tiny-gradients", {"probabilities-clipped", "epsilon-hat"}),
    ],
)
def test_stock_keras_has_two_causes(name: str, expected: set[str]) -> None:
    """Keras' loss on probabilities with Keras' Adam: each vector names what it sees."""
    vector = ASKING[name]
    # Not disturbed: a logit of tiny-gradients lies on the clip's edge, and would cross it at random.
    actual = answer(vector, lambda params: Suspect(params, "float32", STOCK_KERAS))
    if is_wrong(vector, actual, "float32"):
        assert set(causes(vector, actual)) == expected
    else:
        assert name == "training/tiny"  # its gradients are too large for epsilon to show


def test_layout_is_named() -> None:
    forward, gradients = SMALL["forward/tiny"], SMALL["gradients/tiny"]
    right = true_answer(forward, "float32")
    swapped = {**right, "mu": right["logvar"], "logvar": right["mu"]}
    assert causes(forward, swapped) == ["names-swapped"]
    turned = {**right, **{name: right[name][:, [1, 2, 0]] for name in ("mu", "logvar", "z")}}
    assert causes(forward, turned) == ["columns-permuted"]
    reversed_rows = {name: value[::-1].copy() for name, value in right.items()}
    assert causes(forward, reversed_rows) == ["rows-permuted"]
    right = true_answer(gradients, "float32")
    transposed = {name: np.ascontiguousarray(value.T) for name, value in right.items()}
    assert causes(gradients, transposed) == ["transposed-weights"]
    square = SMALL["gradients/square-layers"]
    right = true_answer(square, "float32")
    transposed = {name: np.ascontiguousarray(value.T) for name, value in right.items()}
    assert causes(square, transposed) == ["transposed-weights"]


def test_counts_and_totals_are_named() -> None:
    loss, training = SMALL["loss/tiny"], SMALL["training/tiny"]
    right = true_answer(loss, "float32")
    mean = {name: np.full_like(value, value.mean()) for name, value in right.items()}
    assert causes(loss, mean) == ["batch-total"]
    assert causes(loss, {name: np.asarray(value.sum()) for name, value in right.items()}) == ["batch-total"]
    assert causes(loss, {name: value[:2] for name, value in right.items()}) == ["wrong-shape"]
    right = true_answer(training, "float32")
    assert causes(training, {**right, "adam.step": np.array(9, np.int64)}) == ["step-count"]
    initial = {name: training.inputs[f"param.{name}"] for name in spec.PARAMETER_NAMES}
    assert causes(training, {**right, **initial}) == ["not-trained"]


def test_float64_that_is_float32_is_named() -> None:
    for name in ("forward/tiny", "loss/tiny", "gradients/tiny", "training/tiny"):
        narrow = true_answer(SMALL[name], "float32", ROUNDOFF["float32"])
        assert causes(SMALL[name], narrow, "float64") == ["float64-off"]
        widened = {key: value.astype(np.float64) for key, value in narrow.items() if value.dtype.kind == "f"}
        assert causes(SMALL[name], {**narrow, **widened}, "float64") == ["float64-off"]
        hidden = true_answer(SMALL[name], "float64", ROUNDOFF["float32"])
        assert causes(SMALL[name], hidden, "float64") == ["float64-off"]


def test_mean_taken_in_float32_is_named() -> None:
    """As Keras takes it of float64: the KL term is right, and so is all that comes before the mean."""
    for name in ("loss/tiny", "loss/full"):
        right = true_answer(ASKING[name], "float64")
        mean = (right["reconstruction"] / 12).astype(np.float32).astype(np.float64) * 12
        (found,) = explainer.diagnosis(ASKING[name], {**right, "reconstruction": mean}, "float64").findings
        assert tuple(found) == ("float64-off", "errors of float32's size in reconstruction alone")
        one_sided = right["reconstruction"] * (1.0 + 6e-8)
        assert causes(ASKING[name], {**right, "reconstruction": one_sided}, "float64") != ["float64-off"]


def test_explanation_is_a_paragraph_with_clause_pitfall_report_and_fix() -> None:
    vector = SMALL["loss/tiny"]
    actual = suspect_answer(vector, "float32", Rules(kl_weight=1 / 3))
    text = said(vector, actual)
    assert "\n" not in text
    for part in ("averaged over the latents", "clause loss.kl", "pitfall P04", "keras-team/keras-io#270", "Fix: sum"):
        assert part in text
    for wrong in (asked := failure.WrongAnswer("kl: off", vector, "float32", actual), copy.copy(asked)):
        told = failure.text(wrong, wrong.diagnosis.explanation)
        assert f"kl: off cause: {text} clause" in " ".join(told.split())


def test_whole_runs_on_real_data_are_not_computed_again() -> None:
    vector = vectors.load()["training/mnist-5k"]
    started = time.perf_counter()
    assert "a smaller vector tells more" in said(vector, {"objective": np.zeros(3, np.float32)})
    assert time.perf_counter() - started < 1.0


def test_misnamed_answers_are_left_to_the_comparator() -> None:
    vector = SMALL["loss/tiny"]
    right = true_answer(vector, "float32")
    for actual in (
        {"kl": right["kl"]},
        {**right, "extra": right["kl"]},
        {name: v.tolist() for name, v in right.items()},
    ):
        assert said(vector, actual) == explainer.NOTHING


def test_wrong_answers_of_every_kind_raise_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("forward/tiny", "loss/extreme-logvar", "gradients/saturated-logits", "training/short-last-batch"):
            for value in (np.nan, np.inf, 0.0, 3e38):
                actual = {
                    key: np.full(e.shape, value, np.float32) if e.dtype.kind == "f" else e
                    for key, e in SMALL[name].expected.items()
                }
                assert said(SMALL[name], actual)
