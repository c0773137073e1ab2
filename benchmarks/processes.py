"""The run's side of a worker: starts the process, asks it, and ends it whatever happens."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

_GRACE: Final = 5.0  # seconds that a worker has to end, and the programs that it has started

Json = dict[str, Any]


def output(arguments: Sequence[str], environment: Iterable[tuple[str, str]] = ()) -> str:
    """The last line that Python prints with these arguments, in a process of its own.

    Raises:
        RuntimeError: it failed; the message is the last line that it said.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **dict(environment)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        last = ([line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"])[-1]
        raise RuntimeError(last.removeprefix("Error: "))
    return done.stdout.splitlines()[-1]  # whatever a framework printed stands before


class WorkerError(ChildProcessError):
    """A participant failed; the message says at what, in one line."""


class Worker:
    """A process of `benchmarks.worker`. As a context manager, ends with its block."""

    def __init__(self, *arguments: str, environment: Iterable[tuple[str, str]] = ()) -> None:
        self._closed = False  # it has answered its last request, and ends by itself
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 -- closed in `end`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "vae_rosetta.benchmarks.worker", *arguments],
            env={**os.environ, **dict(environment)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for the parent, which ends its workers
        )

    def ask(self, do: str, **request: Any) -> Json:
        """The worker's answer.

        Raises:
            WorkerError: it answered by an error, or its process died.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps({"do": do, **request}), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"its process ended with exit code {self._process.wait()} at {do!r}{self._last_words()}")
        answer: Json = json.loads(line)
        self._closed = do == "close"
        if "error" in answer:
            raise WorkerError(f"failed at {do!r}: {answer['error']}")
        return answer

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = [line.strip() for line in self._said.read().decode(errors="replace").splitlines() if line.strip()]
        return f": {lines[-1]}" if lines else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Ends the process; once more does nothing."""
        if self._closed:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
        self._process.kill()  # it keeps nothing that could be lost
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # a request that nobody reads any more
                    pipe.close()
        self._said.close()
