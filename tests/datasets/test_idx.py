"""The format of MNIST's files: what `idx.read` returns, and what it says about every kind of bad file."""

import gzip
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vae_rosetta.shared import idx

Array = npt.NDArray[Any]

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
CONTENT = struct.pack(">4I", 0x803, *IMAGES.shape) + IMAGES.tobytes()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx(tmp_path: Path, zipped: bool, ending: str, idx_bytes: Callable[[Array], bytes]) -> None:
    images, labels = tmp_path / f"images{ending}", tmp_path / f"labels{ending}"
    for path, array in ((images, IMAGES), (labels, np.array([3, 250], dtype=np.uint8))):
        path.write_bytes(gzip.compress(idx_bytes(array)) if zipped else idx_bytes(array))
    np.testing.assert_array_equal(idx.read(images, idx.IMAGES), IMAGES)
    assert idx.read(labels, idx.LABELS).tolist() == [3, 250]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "got a file that starts with nothing; expected 00000803", id="empty"),
        pytest.param(
            b"\x89PNG\r\n\x1a\n" + bytes(90), "starts with 89504e47; expected 00000803, as idx images", id="png"
        ),
        pytest.param(b"<!DOCTYPE html>", "starts with 3c21444f; expected 00000803, as idx images do", id="html"),
        pytest.param(
            struct.pack(">2I", 0x801, 9) + bytes(range(9)),
            "starts with 00000801; expected 00000803, as idx images do",
            id="labels",
        ),
        pytest.param(b"\0\0\x0d\x03" + CONTENT[4:], "starts with 00000d03; expected 00000803", id="idx of float32"),
        pytest.param(CONTENT[:15], "got 15 bytes; expected an idx header of 16", id="header cut"),
        pytest.param(CONTENT[:-1], "got 39 bytes; expected 40, a header and 2 x 3 x 4 as it says", id="cut"),
        pytest.param(CONTENT + b"\0", "got 41 bytes; expected 40, a header and 2 x 3 x 4 as it says", id="overlong"),
        pytest.param(
            struct.pack(">4I", 0x803, *[0xFFFFFFFF] * 3), f"got 16 bytes; expected {16 + 0xFFFFFFFF**3}", id="enormous"
        ),
        pytest.param(gzip.compress(CONTENT)[:-9], "got a damaged gzip file .*; expected a whole one", id="gzip cut"),
        pytest.param(gzip.compress(CONTENT)[:5], "got a damaged gzip file .*; expected a whole one", id="gzip start"),
        pytest.param(gzip.compress(CONTENT) + b"more", "got a damaged gzip file", id="gzip overlong"),
        pytest.param(gzip.compress(CONTENT)[:-8] + bytes(8), "got a damaged gzip file", id="gzip checksum"),
        pytest.param(gzip.compress(CONTENT)[:10] + b"\xff" * 60, "got a damaged gzip file", id="gzip body"),
        pytest.param(gzip.compress(b"<html>"), "starts with 3c68746d; expected 00000803", id="gzipped html"),
    ],
)
def test_idx_bad(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: .*{message}"):
        idx.read(path, idx.IMAGES)


def test_idx_labels_from_images(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_bytes(CONTENT)
    with pytest.raises(ValueError, match="starts with 00000803; expected 00000801, as idx labels do"):
        idx.read(path, idx.LABELS)
