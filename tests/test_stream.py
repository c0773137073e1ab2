"""The portable stream, against published numbers, a second implementation, and the laws its draws must obey."""

import math

import numpy as np
import pytest

from vae_rosetta.shared import parameters, spec, stream
from vae_rosetta.shared.spec import Sizes
from vae_rosetta.shared.stream import Purpose

MASK = 2**64 - 1


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Philox4x64-10 in whole numbers, from its description in Salmon et al. (SC11): ten rounds and a Weyl key."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * c0, 2**64)
        high1, low1 = divmod(0xCA5A826395121157 * c2, 2**64)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return c0, c1, c2, c3


def test_philox_known_answers() -> None:
    """The known-answer file that Random123 ships for philox4x64, 10 rounds: all zeros and all ones."""
    assert philox((0, 0, 0, 0), (0, 0)) == (
        0x16554D9ECA36314C,
        0xDB20FE9D672D0FDC,
        0xD7E772CEE186176B,
        0x7E68B68AEC7BA23B,
    )
    assert philox((MASK,) * 4, (MASK,) * 2) == (
        0x87B092C3013FE90B,
        0x438C3C67BE8D0224,
        0x9CC7D7C69CD777B6,
        0xA09CAEBF594F0BA0,
    )


@pytest.mark.parametrize("seed", [0, 1, 2**63 + 5, MASK])
@pytest.mark.parametrize("index", [0, 1, 2**40])
@pytest.mark.parametrize("start", [0, 3, 8191, 2**34 + 1])
def test_words_are_philox_blocks(seed: int, index: int, start: int) -> None:
    expected = [philox((n // 4, 0, index, 0), (seed, Purpose.NOISE))[n % 4] for n in range(start, start + 9)]
    assert stream.words(seed, Purpose.NOISE, index, 9, start=start).tolist() == expected


def test_long_draw_is_its_parts() -> None:
    whole = stream.words(7, Purpose.ORDER, 2, 20_000)
    parts = [stream.words(7, Purpose.ORDER, 2, count, start=start) for start, count in ((0, 8193), (8193, 11_807))]
    np.testing.assert_array_equal(whole, np.concatenate(parts), strict=True)


@pytest.mark.parametrize("start", [0, 1, 2, 8191, 8192, 12_345])
def test_draws_from_any_place_are_parts_of_the_whole(start: int) -> None:
    uniforms, normals = stream.uniform(7, Purpose.EVALUATION, 2, 20_000), stream.normal(7, Purpose.NOISE, 2, (20_000,))
    part = stream.uniform(7, Purpose.EVALUATION, 2, 999, start=start)
    np.testing.assert_array_equal(part, uniforms[start : start + 999], strict=True)
    rows = stream.normal(7, Purpose.NOISE, 2, (333, 3), start=start)
    np.testing.assert_array_equal(rows, normals[start : start + 999].reshape(333, 3), strict=True)


def test_uniform_is_the_top_53_bits() -> None:
    raw = stream.words(3, Purpose.WEIGHTS, 1, 1000)
    drawn = stream.uniform(3, Purpose.WEIGHTS, 1, 1000)
    assert drawn.tolist() == [(int(word) >> 11) / 2**53 for word in raw]


@pytest.mark.parametrize("count", [1, 2, 65, 8191, 8193])
def test_normal_is_box_muller(count: int) -> None:
    unit = stream.uniform(3, Purpose.NOISE, 4, count + count % 2)
    expected = [
        math.sqrt(-2 * math.log(1 - u)) * wave(2 * math.pi * v)
        for u, v in zip(unit[::2].tolist(), unit[1::2].tolist(), strict=True)
        for wave in (math.cos, math.sin)
    ]
    drawn = stream.normal(3, Purpose.NOISE, 4, (count,))
    assert drawn.dtype == np.float32
    # float64 functions of two libraries may tip a rounding to float32 either way, and no more
    np.testing.assert_array_max_ulp(drawn, np.array(expected[:count]).astype(np.float32), maxulp=1)


def test_normal_survives_the_edges_of_the_uniforms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uniform 0 is the normal 0, the largest uniform the largest normal, and the tangent's pole does no harm."""
    top = 1 - 2.0**-53
    monkeypatch.setattr(stream, "_unit", lambda raw: np.array([0.0, 0.3, top, 0.0, top, 0.5, top, 0.25])[: len(raw)])
    drawn = stream.normal(0, Purpose.NOISE, 0, (8,))
    largest = math.sqrt(106 * math.log(2))
    np.testing.assert_allclose(drawn, [0, 0, largest, 0, -largest, 0, 0, largest], atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 100, 60_000])
def test_permutation_loses_and_repeats_nothing(count: int) -> None:
    order = stream.permutation(0, Purpose.ORDER, 5, count)
    assert sorted(order.tolist()) == list(range(count))


def test_purposes_indices_and_seeds_do_not_overlap() -> None:
    drawn = [stream.words(s, p, i, 100) for s in (0, 1) for p in Purpose for i in (0, 1)]
    assert len(np.unique(np.concatenate(drawn))) == 100 * len(drawn)


def test_empty_draws() -> None:
    assert stream.words(0, Purpose.NOISE, 0, 0).shape == (0,)
    assert stream.normal(0, Purpose.NOISE, 0, (0, 20)).shape == (0, 20)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, "1", True, None], ids=repr)
def test_bad_seed_is_named(seed: int) -> None:
    with pytest.raises((TypeError, ValueError), match=r"seed: got .*; expected a whole number from 0 to 2\*\*64 - 1"):
        stream.words(seed, Purpose.NOISE, 0, 1)


def test_initial_weights_fill_their_range_evenly() -> None:
    """Uniform in +-1/sqrt(fan_in), biases too; mean and variance within 5.2 standard errors (2e-7) for each tensor."""
    sizes = Sizes()
    drawn = parameters.initial(0, sizes)
    assert {name: value.shape for name, value in drawn.items()} == spec.parameter_shapes(sizes)
    for name, tensor in drawn.items():
        fan_in = drawn[name.replace("bias", "weight")].shape[1]
        unit = tensor.ravel().astype(np.float64) * math.sqrt(fan_in)
        assert tensor.dtype == np.float32
        assert np.abs(unit).max() <= 1 + 1e-7
        assert abs(unit.mean()) < 5.2 * math.sqrt(1 / 3 / unit.size), name
        assert abs((unit**2).mean() - 1 / 3) < 5.2 * math.sqrt(4 / 45 / unit.size), name


@pytest.mark.parametrize("count", [0, 5, 8192, 20_001])
def test_uniforms_in_chunks_are_the_same_uniforms(count: int) -> None:
    chunks = list(stream.uniform_chunks(2, Purpose.BINARISATION, 7, count))
    np.testing.assert_array_equal(np.concatenate(chunks), stream.uniform(2, Purpose.BINARISATION, 7, count))
    assert max(map(len, chunks)) <= 8192
