"""A run: each part in a process of its own, ended at its limit or the run's; what it found until then is kept."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Final, NamedTuple

from vae_rosetta.benchmarks.gpu import plan
from vae_rosetta.benchmarks.gpu.plan import Part

DONE, FAILED, LATE, MISSING = "done", "failed", "out of time", "not run"

_ENVIRONMENT: Final[Mapping[str, Mapping[str, str]]] = {
    # Parts run side by side, and JAX would take three quarters of the GPU's memory for each.
    "cuda": {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "OMP_NUM_THREADS": "2"},
    "cpu": {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"},
}
_COMMON: Final[Mapping[str, str]] = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}


class Outcome(NamedTuple):
    """What became of a part."""

    part: Part
    state: str  # DONE, FAILED, LATE or MISSING
    why: str  # in one line; empty if it is done
    seconds: float
    findings: list[dict[str, Any]]  # of `Finding.json`

    @property
    def good(self) -> bool:
        """Whether it speaks for the port: nothing is wrong, and it came to its end if it could begin."""
        return self.state in (DONE, MISSING) and all(finding["good"] is not False for finding in self.findings)

    def json(self) -> dict[str, Any]:
        """For the results."""
        return {"name": self.part.name, **self.part._asdict(), "limit_seconds": self.part.seconds} | {
            key: value for key, value in self._asdict().items() if key != "part"
        }


class Run:
    """All parts, in order; `then` is told of each that is over."""

    def __init__(self, seconds: float, then: Callable[[Outcome], None]) -> None:
        """`seconds` may all parts take together."""
        self._ends, self._then = time.monotonic() + seconds, then
        self._alive: set[subprocess.Popen[bytes]] = set()
        self._lock = Lock()
        self._stopped = False

    def all(self, parts: Sequence[Part], *, together: int) -> None:
        """First the parts that may run side by side, `together` at a time; then each of the others by itself."""
        with tempfile.TemporaryDirectory(prefix="vae-gpu-") as folder:
            for alone in (False, True):
                chosen = [part for part in parts if part.alone is alone]
                pool = ThreadPoolExecutor(1 if alone else together)
                try:
                    for outcome in pool.map(lambda part: self._one(part, Path(folder)), chosen):
                        self._then(outcome)
                finally:
                    self._stopped = True  # for what waits, if this is the end
                    self._end_all()
                    pool.shutdown(cancel_futures=True)
                    self._stopped = False

    def _one(self, part: Part, folder: Path) -> Outcome:
        started = time.monotonic()
        if missing := part.missing():
            return Outcome(part, MISSING, f"not installed: {', '.join(missing)}", 0.0, [])
        limit = min(part.seconds, self._ends - started)
        if limit <= 0 or self._stopped:
            return Outcome(part, LATE, "the run's time was over before it began", 0.0, [])
        fragment, log = (folder / f"{part.name.replace(' ', '-')}.{ending}" for ending in ("json", "log"))
        words = [str(fragment), part.kind, part.subject, part.variant, part.device, part.amounts]
        with log.open("wb") as written:
            process = subprocess.Popen(
                [sys.executable, "-m", f"{plan.HERE}.part", *words],
                env={**os.environ, **_COMMON, **_ENVIRONMENT[part.device], "TMPDIR": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # it is ended with all that it has started
            )
        with self._lock:
            self._alive.add(process)
        state, why = DONE, ""
        try:
            if code := process.wait(timeout=limit):
                state, why = FAILED, f"exit code {code}{_last_line(log)}"
        except subprocess.TimeoutExpired:
            state, why = LATE, f"ended after {limit:.0f} s"
        finally:
            self._end(process)
        findings = json.loads(fragment.read_text(encoding="utf-8")) if fragment.exists() else []
        return Outcome(part, state, why, time.monotonic() - started, findings)

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        with suppress(ProcessLookupError, PermissionError):  # all of it has ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        with self._lock:
            self._alive.discard(process)

    def _end_all(self) -> None:
        for process in list(self._alive):
            self._end(process)


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f": {lines[-1]}" if lines else ""
