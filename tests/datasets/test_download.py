"""`mnist` from the mirrors: which are asked for what, what is kept, and what is said where none answers."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vae_rosetta.shared import datasets

if TYPE_CHECKING:  # when the tests run, none of their modules can import another
    from tests.datasets.conftest import Tiny

Serve = Callable[[Path], tuple[str, list[str]]]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
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
