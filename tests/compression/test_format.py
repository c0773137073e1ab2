"""FORMAT.md is enough to write a reader from: this is one, and it uses nothing of applications/compression."""

import hashlib
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import constriction
import mpmath
import numpy as np
import numpy.typing as npt

from vae_rosetta.shared import parameters, spec, stream
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes

GOLDEN = Path(__file__).with_name("golden.vaez")
LAYERS = ("encoder.fc1", "encoder.fc2_mu", "encoder.fc2_logvar", "decoder.fc3", "decoder.fc4")
Integers = npt.NDArray[np.int64]


class Network:
    """The integer network at 12 bits a weight."""

    def __init__(self, params: dict[str, Array]) -> None:
        self.fraction: dict[str, int] = {}
        self.tensors: dict[str, Integers] = {}
        for layer in LAYERS:
            before = {"encoder.fc1": 0, "decoder.fc3": 6, "decoder.fc4": self.fraction.get("decoder.fc3", 0)}
            weight = params[f"{layer}.weight"].astype(np.float64)
            a = next(a for a in range(24, -99, -1) if np.abs(np.rint(weight * 2.0**a)).max() < 2**11)
            self.fraction[layer] = before.get(layer, self.fraction.get("encoder.fc1", 0)) + a
            self.tensors[f"{layer}.weight"] = np.rint(weight * 2.0**a).astype(np.int64)
            bias = params[f"{layer}.bias"].astype(np.float64) * 2.0 ** self.fraction[layer]
            self.tensors[f"{layer}.bias"] = np.rint(bias).astype(np.int64)

    def layer(self, name: str, inputs: Integers) -> list[int]:
        return [int(v) for v in self.tensors[f"{name}.weight"] @ inputs + self.tensors[f"{name}.bias"]]

    def index(self, layer: str, value: int, bits: int, low: int, high: int) -> int:
        """v 2^(bits-F), rounded half up, limited."""
        return min(max(math.floor(value / 2.0 ** (self.fraction[layer] - bits) + 0.5), low), high)

    def posterior(self, x: Integers) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        hidden = np.maximum(np.array(self.layer("encoder.fc1", x)), 0)
        mean = [v * 2.0 ** (6 - self.fraction["encoder.fc2_mu"]) for v in self.layer("encoder.fc2_mu", hidden)]
        logvar = self.layer("encoder.fc2_logvar", hidden)
        deviation = [deviations(self.index("encoder.fc2_logvar", v, 5, -512, 128)) for v in logvar]
        return np.clip(mean, -1024, 1024), np.array(deviation)

    def probabilities(self, k: Integers) -> npt.NDArray[np.float32]:
        hidden = np.maximum(np.array(self.layer("decoder.fc3", k)), 0)
        indices = [self.index("decoder.fc4", v, 6, -1024, 1024) for v in self.layer("decoder.fc4", hidden)]
        return np.array([white(index) / 2**24 for index in indices], dtype=np.float32)

    def sha256(self, tables: str, sizes: Sizes) -> bytes:
        text = f"tables {tables}\nsizes {' '.join(map(str, sizes))}\n".encode()
        for name in spec.PARAMETER_NAMES:
            text += f"{name} {self.fraction[name.rpartition('.')[0]]}\n".encode()
            text += b"".join(struct.pack("<q", v) for v in self.tensors[name].flat)
        return hashlib.sha256(text).digest()


def deviations(index: int) -> float:
    with mpmath.workdps(40):
        return float(64 * mpmath.exp(mpmath.mpf(index) / 64))


def white(index: int) -> int:
    with mpmath.workdps(40):
        return min(max(int(mpmath.nint(2**24 / (1 + mpmath.exp(-mpmath.mpf(index) / 64)))), 1), 2**24 - 1)


def test_a_reader_written_from_the_description_reads_the_golden_file() -> None:
    data = GOLDEN.read_bytes()
    sizes = Sizes(12, 8, 3)
    network = Network(parameters.initial(3, sizes))
    counts = b"".join(struct.pack("<I", white(index)) for index in range(-1024, 1025))
    scales = b"".join(struct.pack("<d", deviations(index)) for index in range(-512, 129))
    assert data[76:108] == network.sha256(hashlib.sha256(counts + scales).hexdigest(), sizes)
    (blocks,), (images,) = struct.unpack_from("<I", data, 12), struct.unpack_from("<Q", data, 16)
    size, seeds = struct.unpack_from("<II", data, 36)
    assert (blocks, images, size, seeds) == (4, 100, 30, 2 + math.ceil(9 * 3 / 32))
    position = 144 + 12 * blocks
    found = []
    for block in range(blocks):
        words, _, pixels_crc = struct.unpack_from("<III", data, 140 + 12 * block)
        stack = np.frombuffer(data, "<u4", words, position).astype(np.uint32)
        x = block_of(network, stack, min(size, images - size * block), block, seeds)
        assert zlib.crc32(np.packbits(x).tobytes()) == pixels_crc
        found.append(x)
        position += 4 * words
    expected = stream.words(3, stream.Purpose.VECTORS, 0, 1200) >> np.uint64(63)
    assert np.array_equal(np.concatenate(found).ravel(), expected)


def block_of(network: Network, words: npt.NDArray[np.uint32], count: int, number: int, seeds: int) -> Integers:
    models: Any = constriction.stream.model
    stack: Any = constriction.stream.stack.AnsCoder(words)
    x = np.zeros((count, 12), dtype=np.int64)
    for image in range(count):
        k = stack.decode(models.QuantizedGaussian(-1280, 1280, 0.0, 64.0), 3)
        x[image] = stack.decode(models.Bernoulli(perfect=False), network.probabilities(k.astype(np.int64)))
        mean, deviation = network.posterior(x[image])
        steps = (k - np.rint(mean)).astype(np.int32)
        stack.encode_reverse(steps, models.QuantizedGaussian(-256, 256), mean - np.rint(mean), deviation)
    left = [int(word) % 2**32 for word in stream.words(0, stream.Purpose(9), number, seeds)]
    left[-1] |= 1
    assert stack.get_compressed().tolist() == left
    return x
