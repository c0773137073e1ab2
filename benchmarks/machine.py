"""Where a run took place: machine, system, versions. A figure without them cannot be compared with another."""

import contextlib
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from vae_rosetta.shared.version import project_version

# Settings that change how many threads a library takes.
_THREAD_VARIABLES: Final = (
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "XLA_FLAGS",
)

_BFLOAT16: Final = {"avx512_bf16", "amx_bf16", "bf16"}  # as Linux calls them, on x86 and on ARM


def machine() -> dict[str, Any]:
    """CPU, cores and memory; None for what the system does not tell."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "memory_bytes": _memory(),
    }


def software() -> dict[str, Any]:
    """Operating system, Python, this project, and the settings of threads that were made."""
    return {
        "os": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "vae_rosetta": project_version(),
        "commit": _commit(),
        "thread_settings": {name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ},
    }


def lacks_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether Linux lists the CPU's instructions and none of them multiplies bfloat16; false if nothing is known."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        words = next(line.split() for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return False
    return not _BFLOAT16 & set(words)


class CpuMeter:
    """Tells how much of the machine other people's work takes, from when it is made."""

    def __init__(self) -> None:
        self._before = _cpu_seconds()

    def others_percent(self) -> float | None:
        """Of all CPU time since then, what neither this process nor its ended children used. None if not on Linux."""
        after = _cpu_seconds()
        if self._before is None or after is None:
            return None
        total, busy, ours = (late - early for late, early in zip(after, self._before, strict=True))
        return 100.0 * max(0.0, busy - ours) / total if total else None


def peak_memory() -> int | None:
    """The most memory that this process and the programs that it runs ever had resident, each of them, in bytes."""
    if sys.platform == "win32":
        return None
    try:
        # Linux hands the peak that getrusage tells down to child processes, this one not.
        return sum(map(_high_water, _family(os.getpid())))
    except (OSError, StopIteration):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _family(process: int) -> list[int]:
    """A process of Linux and all that it has started, directly or not, as far as they live."""
    parents = {}
    for about in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parents[int(about.parent.name)] = int(about.read_text(errors="replace").rpartition(")")[2].split()[1])
    family = [process]
    for member in family:  # which grows
        family += [child for child, parent in parents.items() if parent == member]
    return family


def _high_water(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def _cpu_seconds() -> tuple[float, float, float] | None:
    """CPU seconds since the machine started: all there were, those at work, those at work for this process."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
        ticks = [int(field) / os.sysconf("SC_CLK_TCK") for field in fields]
    except (AttributeError, OSError, ValueError):
        return None
    idle, waiting = ticks[3:5]
    return sum(ticks), sum(ticks) - idle - waiting, sum(os.times()[:4])


def _cpu() -> str | None:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or None


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _commit() -> str | None:
    """The commit of the checkout that this file is in, with "-dirty" if files were changed since."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():  # installed, maybe inside another project's checkout
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() or None
    except (OSError, subprocess.CalledProcessError):
        return None
