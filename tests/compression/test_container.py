"""The file format: read back by the description alone, stable over time, and never wrong pixels from a damaged file."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vae_rosetta.applications.compression import codec, container, work
from vae_rosetta.applications.compression.quantisation import IntegerNetwork, quantise
from vae_rosetta.applications.compression.work import Prepared, Restored
from vae_rosetta.shared import parameters, stream
from vae_rosetta.shared.spec import Sizes

CORRUPTIONS = 150
GOLDEN = Path(__file__).with_name("golden.vaez")


def restored(data: bytes, prepared: Prepared, *, salvage: bool = False) -> Restored:
    return work.decompress(container.unpack(data), prepared, salvage=salvage)


def resealed(data: bytes) -> bytes:
    """The file with the checksum of its header and table made right again."""
    end = 140 + 12 * int.from_bytes(data[12:16], "little")
    return data[:end] + struct.pack("<I", zlib.crc32(data[:end])) + data[end + 4 :]


def test_the_description_reads_a_file(data: bytes, network: IntegerNetwork, x: npt.NDArray[Any]) -> None:
    """Offsets and meanings as FORMAT.md has them, without this project's reader."""
    assert data[:8] == bytes.fromhex("89 56 41 45 5A 0D 0A 1A")
    assert struct.unpack_from("<HHI", data, 8) == (1, 2, 6)
    assert struct.unpack_from("<QIIIII", data, 16) == (57, 12, 0, 0, 10, codec.seed_words(3))
    assert data[44:52] == b"|u1".ljust(8, b"\0")
    assert data[52:76] == codec.coder().encode().ljust(24, b"\0")
    assert data[76:108] == network.sha256
    assert data[108:140] == bytes(32)
    position = 140 + 6 * 12 + 4
    assert struct.unpack_from("<I", data, position - 4)[0] == zlib.crc32(data[: position - 4])
    for number in range(6):
        words, crc, pixels = struct.unpack_from("<III", data, 140 + 12 * number)
        assert crc == zlib.crc32(data[position : position + 4 * words])
        assert pixels == zlib.crc32(np.packbits(x[10 * number : 10 * number + 10]).tobytes())
        position += 4 * words
    assert position == len(data)


def test_a_file_of_this_version_stays_readable_and_is_written_the_same() -> None:
    """golden.vaez: 100 images of the portable stream's bits, four blocks, weights `initial(3)` of 12-8-3."""
    prepared = work.prepare(quantise(parameters.initial(3, Sizes(12, 8, 3))))
    bits = stream.words(3, stream.Purpose.VECTORS, 0, 1200) >> np.uint64(63)
    x = bits.astype(np.float32).reshape(100, 4, 3)
    found = restored(GOLDEN.read_bytes(), prepared).images
    np.testing.assert_array_equal(found, x, strict=True)
    assert work.compress(x, prepared, block_size=30) == GOLDEN.read_bytes()


@pytest.mark.parametrize("dtype", ["?", "u1", "<i2", ">i8", "<f2", "<f4", ">f8"])
@pytest.mark.parametrize("shape", [(57, 12), (57, 3, 4)], ids=str)
def test_shape_and_number_type_come_back(
    dtype: str, shape: tuple[int, ...], prepared: Prepared, x: npt.NDArray[Any]
) -> None:
    array = x.astype(dtype).reshape(shape)
    found = restored(work.compress(array, prepared), prepared).images
    np.testing.assert_array_equal(found, array, strict=True)
    assert found.dtype == array.dtype


def test_no_corruption_gives_wrong_pixels(data: bytes, prepared: Prepared, x: npt.NDArray[Any]) -> None:
    """Single bytes changed anywhere: an error; and what is salvaged is right."""
    random = np.random.default_rng(0)
    for _ in range(CORRUPTIONS):
        changed = bytearray(data)
        changed[random.integers(len(data))] ^= random.integers(1, 256)
        check_refused(bytes(changed), prepared, x)


def test_no_truncation_gives_wrong_pixels(data: bytes, prepared: Prepared, x: npt.NDArray[Any]) -> None:
    for length in range(0, len(data), 7):
        check_refused(data[:length], prepared, x)


def check_refused(data: bytes, prepared: Prepared, x: npt.NDArray[Any]) -> None:
    with pytest.raises(ValueError, match=r"^(got|truncated|damaged|made with)") as caught:
        restored(data, prepared)
    assert "\n" not in str(caught.value)
    try:
        found = restored(data, prepared, salvage=True)
    except ValueError:
        return
    expected = [x[10 * number : 10 * number + 10] for number in range(6) if number not in found.lost]
    assert np.array_equal(found.images, np.concatenate([x[:0], *expected]))
    assert found.lost or found.trouble


def test_words_that_fit_their_checksum_still_cannot_give_wrong_pixels(
    data: bytes, prepared: Prepared, x: npt.NDArray[Any]
) -> None:
    """The words' own checksum made to fit again: the seed words and the pixels' checksum stand behind it."""
    random = np.random.default_rng(1)
    start = 140 + 6 * 12 + 4
    words = [block.words for block in container.unpack(data).blocks]
    for _ in range(CORRUPTIONS // 3):
        changed = bytearray(data)
        changed[random.integers(start, len(data))] ^= random.integers(1, 256)
        position = start
        for number, block in enumerate(words):
            assert block is not None
            crc = zlib.crc32(changed[position : position + 4 * len(block)])
            struct.pack_into("<I", changed, 140 + 12 * number + 4, crc)
            position += 4 * len(block)
        with pytest.raises(ValueError, match=r"^damaged: block \d \(images \d+ to \d+\); the other 5 of 6 blocks"):
            restored(resealed(bytes(changed)), prepared)


def test_a_damaged_block_is_named_and_the_others_are_salvaged(
    data: bytes, prepared: Prepared, x: npt.NDArray[Any]
) -> None:
    words = [block.words for block in container.unpack(data).blocks]
    last = len(data) - 1
    third = 140 + 6 * 12 + 4 + 4 * sum(len(block) for block in words[:2] if block is not None)
    changed = bytearray(data)
    changed[third] ^= 1
    changed[last] ^= 1
    lost = [block.words is None for block in container.unpack(bytes(changed)).blocks]
    assert lost == [False, False, True, False, False, True], "damage shows before anything is decoded"
    expected = r"block 2 \(images 20 to 29\), block 5 \(images 50 to 56\); the other 4 of 6 blocks are whole"
    with pytest.raises(ValueError, match=expected):
        restored(bytes(changed), prepared)
    found = restored(bytes(changed), prepared, salvage=True)
    assert found.lost == [2, 5]
    assert np.array_equal(found.images, np.delete(x[:50], np.s_[20:30], axis=0))


def test_nothing_whole_is_no_image(data: bytes, prepared: Prepared) -> None:
    found = restored(data[: 140 + 6 * 12 + 4], prepared, salvage=True)
    assert found.lost == [0, 1, 2, 3, 4, 5]
    assert found.images.shape == (0, 12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "got a file that starts with b''; expected a .vaez file"),
        (lambda data: b"\x93NUMPY" + data[6:], "got a file that starts with b'.x93NUMPY.*; expected a .vaez file"),
        (lambda data: data.replace(b"\r\n", b"\n", 1), "expected a .vaez file"),
        (lambda data: data[:5], "truncated: got 5 bytes"),
        (lambda data: data[:12], "truncated: got 12 bytes"),
        (lambda data: data[:150], "truncated, or damaged in its header: got 150 bytes; expected 216 or more"),
        (lambda data: data[:-1], "truncated: got .* bytes; expected"),
        (lambda data: data + b"\0", "got 1 bytes after its end"),
        (lambda data: data[:8] + b"\2" + data[9:], "got format version 2; expected 1, which this program reads"),
        (lambda data: data[:30] + b"\2" + data[31:], "damaged in its header or its table of blocks"),
        (lambda data: resealed(data[:16] + b"\7" + data[17:]), "damaged: got 6 blocks; expected 1"),
        (lambda data: resealed(data[:23] + b"\7" + data[24:]), "damaged: got 6 blocks; expected 50440315826549561"),
        (lambda data: resealed(data[:148] + b"\7\7" + data[150:]), r"damaged: block 0 \(images 0 to 9\); the other 5"),
        (lambda data: resealed(data[:44] + b"|O" + data[46:]), "damaged: its header says what cannot be"),
        (lambda data: resealed(data[:10] + b"\4" + data[11:]), "damaged: its header says what cannot be"),
        (lambda data: resealed(data[:36] + b"\0\0\0\0" + data[40:]), "damaged: its header says what cannot be"),
        (lambda data: resealed(data[:40] + b"\7" + data[41:]), "damaged: its header does not fit its weights"),
        (
            lambda data: resealed(data.replace(b"constriction 0.5", b"constriction 0.4")),
            "made with constriction 0.4; got constriction 0.5; try: pip install 'constriction==0.4.*'",
        ),
    ],
)
def test_what_cannot_be_read_is_told(change: Any, message: str, data: bytes, prepared: Prepared) -> None:
    with pytest.raises(ValueError, match=message):
        restored(change(data), prepared)


def test_other_weights_are_told(data: bytes, prepared: Prepared, x: npt.NDArray[Any]) -> None:
    other = work.prepare(quantise(parameters.initial(4, Sizes(12, 8, 3))))
    with pytest.raises(ValueError, match=r"^made with other weights: got weights of integer network .*; expected"):
        restored(data, other)
    named = work.compress(x, prepared, weights_sha256=bytes(range(32)))
    with pytest.raises(ValueError, match=r"other weights \(a weights file of SHA-256 0001020304050607\.\.\.\): got"):
        restored(named, other)
