"""Running a command that answers requests: once for each, or once for all. See `conformance/PROTOCOL.md`."""

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final

_TAIL: Final = 4096  # bytes of stderr that its last line is looked for in
_GRACE: Final = 1.0  # seconds that a process has to end by itself


class CommandError(OSError):
    """The command cannot be run, or does not keep to the protocol."""


class LateError(CommandError):
    """No response in time."""


class Runner:
    """Runs a command; its stderr goes to a file, of which the last line is quoted when it fails."""

    def __init__(self, words: Sequence[str], timeout: float | None, stderr: Path) -> None:
        """`words` are the program and its arguments; `timeout` is that of one request, in seconds; None: no limit."""
        self._words, self._timeout, self._stderr = list(words), timeout, stderr
        self._server: subprocess.Popen[bytes] | None = None
        self._lines: queue.Queue[bytes | None] = queue.Queue()

    def once(self, operation: str, request: Path, response: Path) -> None:
        """One process for one request.

        Raises:
            CommandError: it cannot be started, takes too long, or ends with another exit code than 0.
        """
        process = self._start([str(request), str(response)], subprocess.DEVNULL)
        try:
            code = process.wait(self._timeout)
        except subprocess.TimeoutExpired:
            raise self._late(operation) from None
        finally:
            _kill(process)
        if code:
            raise self._ended(operation, code)

    def serve(self, operation: str, request: Path, response: Path) -> None:
        """One request to a process that stays for the next one, and is started anew where it did not.

        Raises:
            CommandError: see `once`.
        """
        if self._server is None:
            self._server = self._start([], subprocess.PIPE)
            self._lines = queue.Queue()  # of the new process alone
            threading.Thread(target=_forward, args=(self._server.stdout, self._lines), daemon=True).start()
        try:
            self._await(operation, self._server, f"{request}\t{response}\n".encode())
        except BaseException:  # an interrupted process may yet answer, which the next request must not hear
            self.end()
            raise

    def end(self) -> None:
        """Ends the process that serves, if there is one: by the end of its stdin, or else by force."""
        server, self._server = self._server, None
        if server is not None:
            _close(server.stdin)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(_GRACE)
            _kill(server)
            _close(server.stdout)

    def _await(self, operation: str, server: subprocess.Popen[bytes], line: bytes) -> None:
        assert server.stdin is not None
        with contextlib.suppress(OSError):  # it is gone; the queue says so below
            server.stdin.write(line)
            server.stdin.flush()
        until = None if self._timeout is None else time.monotonic() + self._timeout
        while True:
            try:
                said = self._lines.get(timeout=None if until is None else max(until - time.monotonic(), 0.0))
            except queue.Empty:
                hint = "; a command that serves prints the line 'done' after each response, and flushes"
                raise self._late(operation, hint) from None
            if said is None:
                raise self._ended(operation, server.wait(self._timeout))
            if said.strip() == b"done":
                return

    def _start(self, arguments: list[str], pipe: int) -> subprocess.Popen[bytes]:
        try:
            with self._stderr.open("wb") as stderr:
                # A session of its own: what the command starts itself can be ended with it.
                return subprocess.Popen(
                    [*self._words, *arguments], stdin=pipe, stdout=pipe, stderr=stderr, start_new_session=True
                )
        except OSError as error:
            raise CommandError(f"cannot run {self._words[0]!r}: {error.strerror or error}") from None

    def _late(self, operation: str, hint: str = "") -> LateError:
        return LateError(f"{operation}: no response within {self.limit}{hint}")

    @property
    def limit(self) -> str:
        """The time that a request may take, for messages."""
        return f"{self._timeout:g} s (--timeout SECONDS allows more)"

    def _ended(self, operation: str, code: int) -> CommandError:
        how = f"exit code {code}" if code >= 0 else f"signal {_signal_name(-code)}"
        return CommandError(f"{operation}: the command ended with {how}; {self._last_line()}")

    def _last_line(self) -> str:
        with self._stderr.open("rb") as stderr:
            stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - _TAIL))
            lines = stderr.read().decode(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return f"last line of its stderr: {said[-1]}" if said else "its stderr is empty"


def _forward(stdout: IO[bytes], lines: "queue.Queue[bytes | None]") -> None:
    """Hands over each line, and None at the end: a pipe itself knows no timeout that works everywhere."""
    try:
        for line in stdout:
            lines.put(line)
    except (OSError, ValueError):  # closed by `end`
        pass
    lines.put(None)


def _kill(process: "subprocess.Popen[Any]") -> None:
    if process.poll() is None:
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        with contextlib.suppress(OSError):  # what was not yet written has no reader any more
            pipe.close()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
