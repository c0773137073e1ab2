"""Bits-back coding: what goes in comes out, at the rate that it should, whatever the lanes."""

import math
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vae_rosetta.applications.compression import codec, tables
from vae_rosetta.applications.compression.codec import Codec
from vae_rosetta.applications.compression.exact import ExactModel
from vae_rosetta.applications.compression.quantisation import IntegerNetwork, quantise
from vae_rosetta.applications.compression.work import Prepared
from vae_rosetta.shared import oracle, parameters, recipe
from vae_rosetta.shared.spec import Sizes

Bits = npt.NDArray[np.uint8]


def made(network: IntegerNetwork, lanes: int = codec.LANES) -> Codec:
    return Codec(network, oracle.load(network.params(), dtype="float64"), lanes=lanes)


@pytest.mark.parametrize("block_size", [1, 7, 57, 1000])
def test_images_come_back(prepared: Prepared, x: Bits, block_size: int) -> None:
    coded = list(prepared.codec.compress(x, block_size))
    starts = range(0, 57, block_size)
    assert len(coded) == len(starts)
    counts = [len(x[start : start + block_size]) for start in starts]
    restored = list(prepared.codec.decompress([block.words for block in coded], counts))
    for start, block, found in zip(starts, coded, restored, strict=True):
        expected = x[start : start + block_size]
        assert np.array_equal(np.asarray(found), expected)
        assert block.pixels_crc == zlib.crc32(np.packbits(expected).tobytes())


@pytest.mark.parametrize("lanes", [1, 2, 5, 100])
def test_lanes_change_no_bit(network: IntegerNetwork, prepared: Prepared, x: Bits, lanes: int) -> None:
    expected = [block.words.tolist() for block in prepared.codec.compress(x, 10)]
    chosen = made(network, lanes)
    coded = list(chosen.compress(x, 10))
    assert [block.words.tolist() for block in coded] == expected
    restored = chosen.decompress([block.words for block in coded], [10] * 5 + [7])
    assert np.array_equal(np.concatenate([np.asarray(block) for block in restored]), x)


def test_blocks_are_independent(prepared: Prepared, x: Bits) -> None:
    whole = list(prepared.codec.compress(x, 10))
    changed = x.copy()
    changed[:10] ^= 1
    for number, (before, after) in enumerate(zip(whole, prepared.codec.compress(changed, 10), strict=True)):
        assert np.array_equal(before.words, after.words) == (number > 0)


def test_the_rate_is_the_negative_elbo() -> None:
    """Within 1 %, of a trained model: were its latents not spread as the prior is, bits back would not be random."""
    random = np.random.default_rng(1)
    x = (random.random((4000, 12)) < random.choice([0.05, 0.9], (5, 12))[random.integers(0, 5, 4000)]).astype(np.uint8)
    model = oracle.load(parameters.initial(0, Sizes(12, 8, 3)), dtype="float64")
    for _ in recipe.fit(model, x.astype(np.float64), seed=0, epochs=6, batch_size=32):
        pass
    network = quantise(model.params())
    exact = ExactModel(network, oracle.load(network.params(), dtype="float64"))
    words = sum(len(block.words) - codec.seed_words(3) for block in made(network).compress(x, 4000))
    centre, offset, deviation = exact.posterior(x, 4000)
    costs = []
    for _ in range(8):
        drawn = np.rint(offset + deviation * random.standard_normal(deviation.shape))
        white = exact.probabilities((centre + drawn).astype(np.int32), 4000).astype(float)
        likelihood = np.log2(np.where(x == 1, white, 1 - white)).sum(axis=1)
        prior = np.log2(_mass(centre + drawn, 64.0)).sum(axis=1)
        posterior = np.log2(_mass(drawn - offset, deviation)).sum(axis=1)
        costs.append(posterior - prior - likelihood)
    error = np.std(costs, axis=0).mean() * np.sqrt((1 + 1 / 8) / 4000)  # of one draw against eight, of the same images
    assert 32 * words / 4000 == pytest.approx(np.mean(costs), rel=0.01)
    assert 6 * error < 0.01 * np.mean(costs), "enough images to tell"


def _mass(step: npt.NDArray[Any], deviation: Any) -> npt.NDArray[np.float64]:
    """Of a normal distribution around 0, what lies within half a step of `step`."""
    below = np.vectorize(math.erfc)((np.abs(step) + 0.5) / (deviation * math.sqrt(2.0)))
    return np.asarray(np.vectorize(math.erfc)((np.abs(step) - 0.5) / (deviation * math.sqrt(2.0))) - below) / 2.0


@pytest.mark.parametrize("scale", [0.0, 30.0])
def test_any_model_codes_any_images(scale: float) -> None:
    """Also one whose posteriors end on the tables, or are as wide as the stack has no bits for."""
    params = {name: np.float32(scale) * value for name, value in parameters.initial(0, Sizes(12, 8, 3)).items()}
    params["encoder.fc2_logvar.bias"] += np.float32(5)
    x = np.random.default_rng(0).integers(0, 2, (40, 12), dtype=np.uint8)
    chosen = made(quantise(params))
    coded = [block.words for block in chosen.compress(x, 20)]
    assert np.array_equal(np.concatenate([np.asarray(b) for b in chosen.decompress(coded, [20, 20])]), x)


def test_words_of_something_else_are_no_block(prepared: Prepared, x: Bits) -> None:
    """Blocks in each other's places, cut off, empty, of other words: lost, while the others come back."""
    blocks = [block.words for block in prepared.codec.compress(x, 10)]
    wrong = [blocks[1], blocks[0][:-1], None, np.zeros(3, np.uint32), np.arange(1, 9, dtype=np.uint32), blocks[5]]
    *lost, last = prepared.codec.decompress(wrong, [10] * 5 + [7])
    assert lost == [None] * 5
    assert np.array_equal(np.asarray(last), x[50:])


def test_progress_counts_every_image_once(prepared: Prepared, x: Bits) -> None:
    for run in (
        lambda done: list(prepared.codec.compress(x, 10, done)),
        lambda done: list(prepared.codec.decompress([None] * 6, [10] * 5 + [7], done)),
    ):
        told: list[int] = []
        run(told.append)
        assert sum(told) == 57


def test_another_coder_is_refused(monkeypatch: pytest.MonkeyPatch, network: IntegerNetwork) -> None:
    codec.coder_check.cache_clear()
    monkeypatch.setattr(codec, "CODER_CRC32", 1)
    with pytest.raises(ArithmeticError, match=r"coder: constriction 0\.5 gives words of CRC-32 .* expected 00000001"):
        made(network)


def test_the_coder_check_sees_every_entry_of_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, index in (("probabilities", 3), ("probabilities", 2040), ("deviations", 200), ("deviations", 640)):
        table = getattr(tables, name)().copy()
        table[index] *= 1.01
        codec.coder_check.cache_clear()
        with monkeypatch.context() as patched:
            patched.setattr(tables, name, lambda table=table: table)
            with pytest.raises(ArithmeticError, match="coder"):
                codec.coder_check()
    codec.coder_check()


@pytest.mark.parametrize(("lanes", "error"), [(0, ValueError), (1.5, TypeError)])
def test_bad_lanes_are_told(network: IntegerNetwork, lanes: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="lanes: got"):
        made(network, lanes)
