"""The codec in this framework: the bytes that every other one gives, of a stored file and of a model of full size."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vae_rosetta.shared import oracle, parameters, stream
from vae_rosetta.shared.spec import Sizes

GOLDEN = Path(__file__).parents[1] / "compression" / "golden.vaez"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("constriction") is None, reason="the codec needs the package constriction"
)


@pytest.mark.parametrize("lanes", [1, 100])
def test_the_golden_file_is_written_and_read(framework: Any, lanes: int) -> None:
    """The file that `tests/compression` holds the oracle to, so that any two frameworks read each other's files."""
    from vae_rosetta.applications.compression import container, work
    from vae_rosetta.applications.compression.quantisation import quantise

    prepared = work.prepare(quantise(parameters.initial(3, Sizes(12, 8, 3))), framework.name, lanes=lanes)
    bits = stream.words(3, stream.Purpose.VECTORS, 0, 1200) >> np.uint64(63)
    x = bits.astype(np.float32).reshape(100, 4, 3)
    assert work.compress(x, prepared, block_size=30) == GOLDEN.read_bytes()
    restored = work.decompress(container.unpack(GOLDEN.read_bytes()), prepared)
    np.testing.assert_array_equal(restored.images, x, strict=True)


@pytest.mark.parametrize("lanes", [1, 100])
def test_a_model_of_full_size_computes_the_oracles_integers(framework: Any, lanes: int) -> None:
    """Wide weights, so that sums are as long as they get; calls of two lengths, which BLAS splits differently."""
    from vae_rosetta.applications.compression.exact import ExactModel
    from vae_rosetta.applications.compression.quantisation import quantise

    network = quantise({name: 3 * value for name, value in parameters.initial(5).items()})
    random = np.random.default_rng(0)
    x = random.integers(0, 2, (200, 784), dtype=np.uint8)
    z = random.integers(-1280, 1281, (200, 20)).astype(np.int32)
    mine, reference = (
        ExactModel(network, module.load(network.params(), dtype="float64")) for module in (framework.module, oracle)
    )
    assert np.array_equal(np.array(mine.posterior(x, lanes)), np.array(reference.posterior(x, 200)))
    assert np.array_equal(mine.logits(z, lanes), reference.logits(z, 200))
