"""What the golden cases claim of themselves, checked with the oracle."""

import math
from typing import Any

import numpy as np
import pytest

from vae_rosetta.shared import oracle, spec, vectors
from vae_rosetta.shared.oracle import Oracle
from vae_rosetta.shared.vectors import __main__ as generator
from vae_rosetta.shared.vectors import cases, operations

VECTORS = vectors.load()


@pytest.mark.parametrize("name", ["training/full", "training/whole-run", "training/tiny-recipe"])
def test_long_runs_stay_away_from_the_kink_of_relu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No input of a relu comes nearer to 0 than 5e-6: rounding, at 1e-7, cannot take another side."""
    nearest = [math.inf]
    true = oracle.linear

    def watched(params: Any, layer: str, x: Any, ar: Any = oracle.EXACT) -> Any:
        output = true(params, layer, x, ar)
        if layer in ("encoder.fc1", "decoder.fc3"):
            nearest.append(float(np.abs(output).min()))
        return output

    monkeypatch.setattr(oracle, "linear", watched)
    vector = VECTORS[name]
    operations.OPERATIONS[vector.operation](lambda params: Oracle(params, "float64"), vector.inputs, vector.arguments)
    assert min(nearest) > 5e-6


def test_log_variance_of_2_ln_3_gives_3() -> None:
    np.testing.assert_allclose(VECTORS["forward/log-variance"].expected["z"], 3.0, rtol=1e-7)


def test_extreme_scales_overflow_where_float32_does() -> None:
    vector = VECTORS["forward/extreme-logvar"]
    z = np.abs(vector.expected["z"])
    np.testing.assert_allclose(z, np.exp(vector.inputs["logvar"].astype(np.float64) / 2), rtol=1e-14)
    with np.errstate(over="ignore"):
        assert np.isinf(z.astype(np.float32)).sum() == 2, "logvar 178 alone, with noise 1 and -1"


def test_precision_probe_loses_its_tail_in_half_precision() -> None:
    vector = VECTORS["forward/precision-probe"]
    assert vector.expected["mu"].item() == 1.0 + 2.0**-13
    weights = vector.inputs["param.encoder.fc1.weight"]
    assert {*weights.astype(np.float16).ravel()} == {1.0}
    one_by_one = np.add.accumulate(weights.ravel(), dtype=np.float32)
    assert one_by_one[-1] == 1024.125, "float32 adds them up exactly"


def test_small_recipe_has_a_short_last_batch() -> None:
    vector = VECTORS["training/tiny-recipe"]
    assert len(vector.inputs["x"]) % vector.arguments["batch_size"] == 2
    assert vector.expected["objective"].shape == (9,)


def test_soft_targets_cost_what_the_description_says() -> None:
    assert VECTORS["loss/soft-targets"].expected["reconstruction"].item() == pytest.approx(1.51427, abs=1e-5)


def test_zero_weights_cost_d_ln_2_and_no_kl() -> None:
    expected = VECTORS["loss/standard-normal-posterior"].expected
    np.testing.assert_allclose(expected["reconstruction"], 12 * math.log(2), rtol=1e-14)
    assert not expected["kl"].any()
    assert not VECTORS["loss/standard-normal-posterior"].tolerance("float32")["kl"].any(), "0 must be exactly 0"


def test_saturated_logits_cost_and_pull_what_they_should() -> None:
    vector = VECTORS["loss/saturated-logits"]
    logit, x = vector.inputs["noise"].ravel().astype(np.float64), vector.inputs["x"].ravel().astype(np.float64)
    assert {*logit} == {*cases.SATURATED.astype(np.float64)}
    far = np.abs(logit) > 100
    exact = np.where(logit > 0, (1 - x) * logit, -x * logit)[far]  # softplus is its argument, or nothing, out there
    np.testing.assert_allclose(vector.expected["reconstruction"][far], exact, rtol=1e-14, atol=1e-40)


def test_black_image_moves_nothing_below_the_relus() -> None:
    expected = VECTORS["gradients/relu-at-zero"].expected
    for layer in ("encoder.fc1", "decoder.fc3"):
        assert not expected[f"{layer}.bias"].any()
        assert not VECTORS["gradients/relu-at-zero"].tolerance("float32")[f"{layer}.bias"].any()


def test_kl_alone_pulls_mu_to_0_and_logvar_to_0() -> None:
    expected = VECTORS["gradients/kl-wired"].expected
    np.testing.assert_allclose(expected["encoder.fc2_mu.bias"], 2 * np.array([1.5, -2.0, 0.25]), rtol=1e-14)
    np.testing.assert_allclose(expected["encoder.fc2_logvar.bias"], math.expm1(np.float32(0.7)), rtol=1e-14)


def test_short_last_batch_averages_8() -> None:
    expected = VECTORS["training/short-last-batch"].expected
    per_image = (expected["objective.0"].sum() + expected["objective.1"].sum()) / 5
    assert per_image == pytest.approx(8.0, abs=0.01)


def test_tiny_gradients_are_tiny_and_zero_is_zero() -> None:
    vector = VECTORS["training/tiny-gradients"]
    first = np.exp(vector.inputs["param.decoder.fc4.bias"][:10].astype(np.float64))
    assert first.max() > 1e-4
    assert first.min() < 1e-11
    moved = {name for name in spec.PARAMETER_NAMES if vector.expected[name].any()}
    assert moved == {"decoder.fc4.bias"}, "every other gradient is exactly zero, and moves nothing"


@pytest.mark.parametrize("name", ["forward/tiny", "gradients/tiny", "training/tiny"])
def test_drift_is_noticed_where_it_would_matter(name: str) -> None:
    """Twice the tolerance of a float64 port, in the stored expectations: the generator's check says so."""
    (case,) = [case for case in cases.all_cases() if case.id == name]
    stored = dict(VECTORS[name].tensors)
    assert not generator.drift(case, stored, with_tolerances=False)
    for tensor in [key for key in stored if key.startswith("expected.") and stored[key].dtype.kind == "f"]:
        room = stored[tensor.replace("expected.", "tolerance.float64.")]
        if room.any():
            drifted = {**stored, tensor: stored[tensor] + 2 * room}
            assert generator.drift(case, drifted, with_tolerances=False) == [f"{name}: {tensor} has drifted"]
