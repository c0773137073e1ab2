"""The integer network: near the weights, exact in float64 in any order, and refused where it cannot be."""

import numpy as np
import pytest

from vae_rosetta.applications.compression import quantisation, tables
from vae_rosetta.applications.compression.quantisation import IntegerNetwork, largest_sum, quantise
from vae_rosetta.shared import oracle, parameters
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes

Params = dict[str, Array]


def test_integers_are_the_weights_rounded(params: Params, network: IntegerNetwork) -> None:
    input_shift = {
        "encoder.fc1": 0,
        "encoder.fc2_mu": network.shifts["encoder.fc1"],
        "encoder.fc2_logvar": network.shifts["encoder.fc1"],
        "decoder.fc3": tables.GRID_BITS,
        "decoder.fc4": network.shifts["decoder.fc3"],
    }
    for name, tensor in network.tensors.items():
        layer, _, kind = name.rpartition(".")
        shift = network.shifts[layer] - (input_shift[layer] if kind == "weight" else 0)
        assert np.abs(tensor / 2.0**shift - params[name]).max() <= 2.0 ** -(shift + 1)
        if kind == "weight":
            assert 2**10 <= np.abs(tensor).max() < 2**11  # 12 bits with the sign, all of them used


def test_its_outputs_are_the_models(params: Params, network: IntegerNetwork) -> None:
    random = np.random.default_rng(0)
    x, z = random.integers(0, 2, (50, 12)).astype(float), random.integers(-128, 129, (50, 3)).astype(float)
    model, integer = oracle.load(params, dtype="float64"), oracle.load(network.params(), dtype="float64")
    pairs = zip(
        ("encoder.fc2_mu", "encoder.fc2_logvar", "decoder.fc4"),
        (*integer.encode(x), integer.decode(z)),
        (*model.encode(x), model.decode(z / 2**tables.GRID_BITS)),
        strict=True,
    )
    for layer, found, expected in pairs:
        assert np.array_equal(found, np.rint(found))
        np.testing.assert_allclose(found / 2.0 ** network.shifts[layer], expected, atol=0.02)


@pytest.mark.parametrize("sizes", [Sizes(12, 8, 3), Sizes(30, 40, 5)])
def test_bound_holds_for_the_worst_inputs(sizes: Sizes) -> None:
    """Of each layer's rows, inputs with the signs that make its sum largest stay within the bound, and near it."""
    tensors = quantise(parameters.initial(1, sizes)).tensors
    worst = np.sign(tensors["decoder.fc3.weight"]) * tables.GRID_LIMIT
    layer = (tensors["decoder.fc3.weight"] * worst).sum(axis=1) + np.abs(tensors["decoder.fc3.bias"])
    logits = np.abs(tensors["decoder.fc4.weight"]) @ layer + np.abs(tensors["decoder.fc4.bias"])
    assert largest_sum(tensors) == logits.max()
    assert largest_sum({**tensors, "encoder.fc1.bias": np.full(sizes.hidden_dim, 2**60)}) > 2**60, "in all layers"


def test_partial_sums_do_not_depend_on_the_order() -> None:
    network = quantise(parameters.initial(0))
    assert largest_sum(network.tensors) < 2**53
    random = np.random.default_rng(0)
    z = random.integers(-tables.GRID_LIMIT, tables.GRID_LIMIT + 1, 20)
    hidden = np.maximum(network.tensors["decoder.fc3.weight"] @ z + network.tensors["decoder.fc3.bias"], 0)
    exact = network.tensors["decoder.fc4.weight"] @ hidden
    terms = network.tensors["decoder.fc4.weight"].astype(np.float64) * hidden
    for _ in range(5):
        order = random.permutation(terms.shape[1])
        assert np.array_equal(np.cumsum(terms[:, order], axis=1)[:, -1], exact)


def test_weights_too_wide_for_12_bits_get_fewer() -> None:
    sizes = Sizes(12, 8, 3)
    params = parameters.initial(0, sizes)
    params["decoder.fc4.bias"] = params["decoder.fc4.bias"] + np.float32(2**25)  # 2^25 2^29 > 2^53
    network = quantise(params)
    assert quantisation.LEAST_WEIGHT_BITS <= network.weight_bits < quantisation.WEIGHT_BITS
    assert largest_sum(network.tensors) < 2**53


@pytest.mark.parametrize("bias", [1e12, 1e38])
def test_weights_that_cannot_be_exact_are_refused(bias: float) -> None:
    params = parameters.initial(0, Sizes(12, 8, 3))
    params["decoder.fc4.bias"] = np.full(12, bias, dtype=np.float32)
    with pytest.raises(ValueError, match="weights: got layers whose sums need more than 53 bits at 8 bits a weight"):
        quantise(params)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e3])
def test_unusual_weights_have_a_network(scale: float) -> None:
    params = {name: np.float32(scale) * value for name, value in parameters.initial(0, Sizes(12, 8, 3)).items()}
    assert largest_sum(quantise(params).tensors) < 2**53


def test_the_digest_covers_every_number(params: Params, network: IntegerNetwork) -> None:
    digests = {network.sha256}
    for name, value in params.items():
        changed = value.copy()
        changed.flat[-1] *= 0.75
        digests.add(quantise({**params, name: changed}).sha256)
    assert len(digests) == 11
    assert quantise(dict(reversed(params.items()))).sha256 == network.sha256
    assert quantise({name: value.astype(np.float64) for name, value in params.items()}).sha256 == network.sha256


def test_the_digest_is_the_same_on_every_machine() -> None:
    digest = quantise(parameters.initial(0)).sha256.hex()
    assert digest == "100ae859de32a7e95432e8c7a88e51e23bff73b42778b96128ea31d1df6f685b"


def test_params_that_are_none_are_told() -> None:
    with pytest.raises(ValueError, match="params: missing"):
        quantise({})
