"""The integer network in a backend: exact look-ups, whatever the length of a call, and backends that are not exact."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vae_rosetta.applications.compression import tables
from vae_rosetta.applications.compression.exact import ExactModel
from vae_rosetta.applications.compression.quantisation import IntegerNetwork
from vae_rosetta.shared import oracle
from vae_rosetta.shared.contract import Array


@pytest.fixture
def exact(network: IntegerNetwork) -> ExactModel:
    return ExactModel(network, oracle.load(network.params(), dtype="float64"))


def test_posteriors_are_the_models(exact: ExactModel, params: dict[str, Array], x: npt.NDArray[Any]) -> None:
    mu, logvar = oracle.load(params, dtype="float64").encode(x.astype(float))
    centre, offset, deviation = exact.posterior(x, 10)
    assert centre.dtype == np.int32
    assert np.abs(offset).max() <= 0.5
    np.testing.assert_allclose((centre + offset) / 64, mu, atol=0.02)
    np.testing.assert_allclose(2 * np.log(deviation / 64), logvar, atol=0.02 + 1 / 64)


def test_probabilities_are_the_models(exact: ExactModel, params: dict[str, Array]) -> None:
    z = np.random.default_rng(0).integers(-128, 129, (40, 3)).astype(np.int32)
    logits = oracle.load(params, dtype="float64").decode(z / 64)
    np.testing.assert_allclose(exact.logits(z, 7) / 64, np.clip(logits, -16, 16), atol=0.02 + 1 / 128)
    assert np.array_equal(exact.probabilities(z, 7), tables.probabilities()[exact.logits(z, 7) + 1024])


@pytest.mark.parametrize("length", [1, 10, 57, 100])
def test_the_length_of_a_call_changes_nothing(exact: ExactModel, x: npt.NDArray[Any], length: int) -> None:
    found, expected = exact.posterior(x, length), exact.posterior(x, 19)
    assert np.array_equal(np.array(found), np.array(expected))


def test_extremes_stay_on_the_tables(network: IntegerNetwork, x: npt.NDArray[Any]) -> None:
    """Biases as large as they may be: means, deviations and logits end at the tables' ends."""
    for sign in (-1, 1):
        tensors = dict(network.tensors)
        for name in ("encoder.fc2_mu.bias", "encoder.fc2_logvar.bias", "decoder.fc4.bias"):
            tensors[name] = np.full_like(tensors[name], sign * 2**50)
        extreme = network._replace(tensors=tensors)
        model = ExactModel(extreme, oracle.load(extreme.params(), dtype="float64"))
        centre, offset, deviation = model.posterior(x, 57)
        assert set(centre.flat) == {sign * tables.MEAN_LIMIT}
        assert not offset.any()
        assert set(deviation.flat) == {tables.deviations()[-1 if sign > 0 else 0]}
        assert set(model.logits(np.zeros((1, 3), np.int32), 1).flat) == {sign * tables.LOGIT_LIMIT}


@pytest.mark.parametrize("layer", ["encoder.fc2_mu", "encoder.fc2_logvar", "decoder.fc4"])
def test_a_backend_that_rounds_is_refused(network: IntegerNetwork, layer: str) -> None:
    """One that answers in whole numbers, but loses the last bit of some."""

    class Coarse(oracle.Oracle):
        def encode(self, x: Array) -> tuple[Array, Array]:
            mu, logvar = super().encode(x)
            return _coarse(mu, "encoder.fc2_mu"), _coarse(logvar, "encoder.fc2_logvar")

        def decode(self, z: Array) -> Array:
            return _coarse(super().decode(z), "decoder.fc4")

    def _coarse(value: Array, name: str) -> Array:
        return 2 * np.floor(value / 2) if name == layer else value

    with pytest.raises(ArithmeticError, match=f"backend: .* not exact \\({layer}\\)"):
        ExactModel(network, Coarse(network.params(), "float64"))
