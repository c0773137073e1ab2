"""Programs: the ports in other languages, each built into the user's cache folder, once for the same sources."""

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import platformdirs
from filelock import FileLock
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

from vae_rosetta.implementations.ports import PORTS, Port

_UNUSED_DAYS: Final = 30  # after which a build of older sources is deleted
_NO_SOURCES: Final = ("__pycache__", "target", "test")


def command(port: Port) -> list[str]:
    """The words that run the program of `port`, which is built if need be.

    Raises:
        ModuleNotFoundError: it cannot be used here; the message says what helps.
        OSError: it cannot be built; the message quotes the build's log.
    """
    assert port.program is not None
    return _filled(port.program.run, {"build": str(built(port)), "sep": os.pathsep})


def command_of_java(main: str) -> list[str]:
    """The words that run another main class of the port in Java.

    Raises:
        ModuleNotFoundError, OSError: see `command`.
    """
    return [*command(PORTS["java"])[:-1], main]  # the last word is the port's own


def built(port: Port) -> Path:
    """The folder in which the program of `port` has been built: now, if it was not before. Progress goes to stderr.

    Raises:
        ModuleNotFoundError: it cannot be used here; the message says what helps.
        OSError: it cannot be built; the message quotes the build's log.
    """
    if lacks := port.lacks():
        raise ModuleNotFoundError(f"backend: {port.word!r} {lacks}")
    cache = platformdirs.user_cache_path("vae-rosetta", appauthor=False) / "programs"
    folder = cache / f"{port.word}-{_digest(port)}"
    finished = folder / "finished"  # also the time of its last use
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{port.word}.lock"):  # two processes may start at once
        if not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)  # what an interrupted build left
            folder.mkdir()
            _build(port, folder)
            _delete_unused(cache, port.word)
        finished.touch()
    return folder


def _build(port: Port, folder: Path) -> None:
    assert port.program is not None
    words = _filled(port.program.build, {"build": str(folder), "python": sys.executable})
    log, started = folder / "build.log", time.monotonic()
    task = f"{port.word}: building the port with {Path(words[0]).name}, once for these sources"
    console = Console(stderr=True, highlight=False)
    console.print(task, soft_wrap=True)
    columns = (SpinnerColumn(), TimeElapsedColumn())
    moving = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with log.open("wb") as out, moving:
        moving.add_task("")
        code = subprocess.run(words, cwd=port.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out).returncode
    if code:
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()]
        named = [line for line in errors if re.search(r"\.(c|clj|java|scala|xml)\b", line)]
        why = [*named, *errors, *lines[-1:], "its log is empty"][0]
        raise OSError(f"{port.word}: {words[0]} ended with exit code {code}: {why.strip()} (all of it: {log})")
    console.print(f"{port.word}: built in {time.monotonic() - started:.0f} s: {folder}", soft_wrap=True)


def _filled(words: tuple[str, ...], values: Mapping[str, str]) -> list[str]:
    for name, value in values.items():
        words = tuple(word.replace(f"{{{name}}}", value) for word in words)
    return list(words)


def _digest(port: Port) -> str:
    """Of all that a build depends on: the sources' names and bytes, the command, the packages that it builds with."""
    assert port.program is not None
    digest = hashlib.sha256(repr((port.program, [_installed(package) for package in port.packages])).encode())
    for folder in (port.folder, *(port.folder.with_name(name) for name in port.program.shares)):
        for path in _sources(folder):
            digest.update(f"\0{path.relative_to(folder.parent).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _sources(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not set(path.relative_to(folder).parts) & set(_NO_SOURCES) and path.suffix != ".md":
            yield path


def _installed(package: str) -> tuple[str | None, str]:
    """Where `package` is, since a build may hold its path, and its version."""
    found = importlib.util.find_spec(package)
    return found.origin if found else None, importlib.metadata.version(package)


def _delete_unused(cache: Path, word: str) -> None:
    oldest = time.time() - _UNUSED_DAYS * 86400
    for finished in cache.glob(f"{word}-*/finished"):
        if finished.stat().st_mtime < oldest:
            shutil.rmtree(finished.parent, ignore_errors=True)
