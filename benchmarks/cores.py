"""How near two of the machine's cores are to each other, and what brings them together.

A virtual machine's cores are moved about by its host: now two of them share a cache, now they do not. On one host 32
cache lines went to the other core and back in 0.7 microseconds or in 2, either for seconds to minutes on end, and
PyTorch, whose threads hand such lines to each other, trained 32,000 or 17,000 images/s meanwhile, whatever its code
did. More repetitions do not average out what lasts that long. So a run looks, brings the cores together, and marks the
turns for which it could not.

Two processes that wait for each other's messages are moved together by a host, as Linux wakes a task near its waker.
"""

import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self, cast

APART: Final = 2.25  # times the shortest round trip: where it was measured, together took up to 1.7, apart 2.9 or more

_LINES: Final = 32  # cache lines, every other one: the one between is often fetched along
_STRIDE: Final = 128  # bytes
_OURS: Final = slice(0, _LINES * _STRIDE, _STRIDE)
_THEIRS: Final = slice(_OURS.stop, 2 * _OURS.stop, _STRIDE)
_LAST: Final = (_OURS.stop - _STRIDE, _THEIRS.stop - _STRIDE)  # bytes that are written last
_CHUNKS: Final = 20  # whose median is taken: a core may be interrupted meanwhile
_TRIPS: Final = 50  # in a chunk
_PATIENCE: Final = 2_000_000  # looks at a byte that does not change: some 50 ms, then the other has gone
_TALKS: Final = 3  # before a turn, at most
_TALK_SECONDS: Final = 0.15


def apart(round_trip: float | None, nearest: float | None) -> bool:
    """Whether the cores were further from each other than they can be; false if it is not known. Both in ns."""
    return round_trip is not None and nearest is not None and round_trip > APART * nearest


class Cores:
    """Two cores of this machine; a context manager. Where there are not two, or it is not Linux, nothing is known."""

    def __init__(self) -> None:
        self.nearest: float | None = None  # shortest round trip so far, ns
        self._stack = ExitStack()
        self._helper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if sys.platform == "linux" and len(usable := sorted(os.sched_getaffinity(0))) > 1:
            self._mine, its = usable[:2]
            shared = self._stack.enter_context(tempfile.NamedTemporaryFile())
            shared.truncate(_THEIRS.stop)
            self._bytes = _mapped(Path(shared.name))
            self._helper = subprocess.Popen(
                [sys.executable, "-m", "vae_rosetta.benchmarks.cores", shared.name, str(its)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,  # Ctrl-C is for the parent, which ends it
            )
            self._stack.callback(_end, self._helper)
            try:
                self._talk()
            except PermissionError:  # a sandbox that lets nobody choose a core
                self._helper = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def together(self) -> float | None:
        """Brings the cores together if they are apart and can be; returns their `round_trip`."""
        for _ in range(_TALKS):
            if not apart(round_trip := self.round_trip(), self.nearest):
                return round_trip
            self._talk()
        return self.round_trip()

    def round_trip(self) -> float | None:
        """Nanoseconds of some cache lines from one core to the other and back, Python's own included; None: unknown."""
        if self._helper is None:
            return None
        with self._pinned():
            for last in _LAST:
                self._bytes[last] = 0
            self._send(b"t")
            seconds = _trips(self._bytes)
        if seconds is None:
            return None
        found = 1e9 * seconds / _TRIPS
        self.nearest = min(found, self.nearest or found)
        return found

    def _talk(self) -> None:
        until = time.perf_counter() + _TALK_SECONDS
        with self._pinned():
            while time.perf_counter() < until and self._helper is not None:
                self._send(b".")

    def _send(self, message: bytes) -> None:
        """Sends a byte to the helper, and waits for its echo."""
        assert self._helper is not None
        try:
            cast(BinaryIO, self._helper.stdin).write(message)
            answer = cast(BinaryIO, self._helper.stdout).read(1)
        except BrokenPipeError:
            answer = b""
        if not answer:
            self._helper = None  # it has gone, and nothing is known any more

    @contextmanager
    def _pinned(self) -> Iterator[None]:
        usable = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {self._mine})
        try:
            yield
        finally:
            os.sched_setaffinity(0, usable)


def _mapped(path: Path) -> mmap.mmap:
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), _THEIRS.stop)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with suppress(BrokenPipeError):
            cast(BinaryIO, pipe).close()


def _messages() -> list[bytes]:
    """What goes to and fro: one number on every line, never the same twice in a row."""
    return [bytes([1 + number % 255]) * _LINES for number in range(_CHUNKS * _TRIPS)]


def _arrived(shared: mmap.mmap, last: int, number: int) -> bool:
    """Waits for `number` in the byte `last`, for so long as there is hope."""
    for _ in repeat(None, _PATIENCE):  # noqa: SIM110 -- `any` would take twice as long as the message
        if shared[last] == number:
            return True
    return False


def _trips(shared: mmap.mmap) -> float | None:
    """Sends each message and waits for it to come back: median of the seconds of a chunk, None if one never came."""
    chunks = []
    messages = _messages()
    started = time.perf_counter()
    for count, message in enumerate(messages, start=1):
        shared[_OURS] = message
        if not _arrived(shared, _LAST[1], message[0]):
            return None
        shared[_THEIRS]  # to read is to fetch
        if count % _TRIPS == 0:
            now = time.perf_counter()
            chunks.append(now - started)
            started = now
    return statistics.median(chunks)


def _returns(shared: mmap.mmap) -> None:
    """The other side: sends back what comes."""
    for message in _messages():
        if not _arrived(shared, _LAST[0], message[0]):
            return
        shared[_OURS]  # to read is to fetch
        shared[_THEIRS] = message


def main() -> None:
    """The helper: echoes bytes on its core, and after a "t" takes part in the round trips."""
    path, core = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    shared = _mapped(Path(path))
    while message := os.read(0, 1):
        os.write(1, message)
        if message == b"t":
            _returns(shared)


if __name__ == "__main__":
    main()
