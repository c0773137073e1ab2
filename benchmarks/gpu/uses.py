"""What a person does with a port on a device, by the commands that do it, and what has to be the same everywhere."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import vae_rosetta
from vae_rosetta.benchmarks.gpu import images
from vae_rosetta.benchmarks.gpu.finding import Finding
from vae_rosetta.benchmarks.gpu.plan import Amounts, Part
from vae_rosetta.implementations import ports
from vae_rosetta.shared import oracle, parameters
from vae_rosetta.shared.contract import Backend

_COMPRESSED = 1000  # images at most: each costs an oracle's pass on a CPU, too


def findings(part: Part, amounts: Amounts) -> Iterator[Finding]:
    """See `part.Work`."""
    exact = whole_numbers_are_exact(part.subject, part.device)
    # What a .vaez rests on: every port must make the same network's answers to the bit.
    yield Finding("float64 sums of whole numbers", "exact" if exact else "not exact", "", exact)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        x, _ = images.choose(amounts.used_images)
        np.save(folder / "grey.npy", x)
        np.save(folder / "few.npy", x[:_COMPRESSED])
        on_device = ("--backend", part.subject, "--device", part.device)
        on_cpu = ("--backend", "oracle", "--device", "cpu")
        weights = ("--weights", "run")
        yield _timed(
            "train", 9 * len(x) // 10, folder, "--data", "grey.npy", "--epochs", "1", "--out", "run", *on_device
        )
        drawn = ("--n", str(len(x)), "--out", "made.npy")
        yield _timed("generate", len(x), folder, *weights, *drawn, *on_device)
        scored = ("grey.npy", "--no-threshold", "--out", "scores.csv")
        yield _timed("score", len(x), folder, *scored, *weights, *on_device)
        count = min(len(x), _COMPRESSED)
        coded = ("--binarise", "rounded", *weights)
        yield _timed("compress", count, folder, "few.npy", "device.vaez", *coded, *on_device)
        if (folder / "device.vaez").exists():
            yield _timed("compress", count, folder, "few.npy", "cpu.vaez", *coded, *on_cpu, by=" by the oracle")
            yield _timed("decompress", count, folder, "device.vaez", "read.npy", *weights, *on_cpu, by=" by the oracle")
            yield _same(folder)


def whole_numbers_are_exact(word: str, device: str) -> bool:
    """Whether a network of whole numbers answers to the bit what the oracle does, in float64: what a .vaez rests on."""
    random = np.random.default_rng(0)
    params = {k: random.integers(-2047, 2048, v.shape).astype(np.float64) for k, v in parameters.initial(0).items()}
    x, z = random.integers(0, 2, (64, 784)).astype(np.float64), random.integers(-512, 513, (64, 20)).astype(np.float64)
    models = [backend.load(params, dtype="float64", device=at) for backend, at in _both(word, device)]
    (mu, logvar, logits), expected = ([*model.encode(x), model.decode(z)] for model in models)
    return all(np.array_equal(*pair) for pair in zip((mu, logvar, logits), expected, strict=True))


def _both(word: str, device: str) -> Iterator[tuple[Backend, str]]:
    yield ports.backend(word), device
    yield oracle, "cpu"


def _timed(command: str, count: int, folder: Path, *words: str, by: str = "") -> Finding:
    """A command of `vae`: its seconds, the start of its process included; or its last words."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "vae_rosetta.applications", command, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (_root(), os.environ.get("PYTHONPATH"))))},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode == 0:
        return Finding(f"vae {command}{by}", seconds, "s", None, f"{count:,} images")
    last = ([line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"])[-1]
    missing = "No module named" in last or "not installed" in last
    return Finding(f"vae {command}{by}", "not run" if missing else "failed", "", None if missing else False, last)


def _root() -> str:
    """The folder that holds the packages."""
    return str(Path(vae_rosetta.__file__).resolve().parents[1])


def _same(folder: Path) -> Finding:
    written, expected = ((folder / name).read_bytes() for name in ("device.vaez", "cpu.vaez"))
    wanted = np.load(folder / "few.npy") >= 0.5  # as --binarise rounded has it
    same = (
        written == expected and (folder / "read.npy").exists() and np.array_equal(np.load(folder / "read.npy"), wanted)
    )
    return Finding("a .vaez from the device", "the CPU's, to the bit" if same else "not the CPU's", "", bool(same))
