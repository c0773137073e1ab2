"""How fast a port trains on a device: the turns of `benchmarks.worker`, which are those of `vae bench`."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vae_rosetta.benchmarks.gpu import images
from vae_rosetta.benchmarks.gpu.finding import Finding
from vae_rosetta.benchmarks.gpu.plan import Amounts, Part
from vae_rosetta.benchmarks.plan import FIRST_EPOCH, INFERENCE, TRAINING, Plan
from vae_rosetta.benchmarks.run import first_objectives
from vae_rosetta.benchmarks.worker import SEED, BackendParticipant
from vae_rosetta.implementations import ports
from vae_rosetta.shared import recipe, spec


def findings(part: Part, amounts: Amounts) -> Iterator[Finding]:
    """See `part.Work`."""
    x, _ = images.choose(amounts.images)
    started = time.perf_counter()
    recipe.epoch_order(SEED, 0, len(x))
    recipe.epoch_noise(SEED, 0, len(x), spec.LATENT_DIM)
    yield Finding("order and noise of an epoch, on the host", time.perf_counter() - started, "s", None, "in fit")
    participant = BackendParticipant(ports.PORTS[part.subject].module)
    agreement = Plan(amounts.batches, amounts.images, 1, 0, dtype=part.variant).agreement
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "images.npy")
        np.save(path, x)
        request: dict[str, Any] = {"images": str(path), "rows": 1000, "turn_seconds": amounts.turn_seconds}
        participant.open({**request, "dtype": part.variant, "device": part.device})
        for batch in amounts.batches:
            first = participant.turn(FIRST_EPOCH, batch)
            expected = first_objectives(x, batch)
            difference = float(np.max(np.abs(np.array(first["first_objectives"]) - expected) / expected))
            yield Finding(f"batch {batch}: first steps differ by", difference, "", difference <= agreement)
            yield Finding(f"batch {batch}: first epoch", first["seconds"], "s")
            for measure in TRAINING:
                rates = [_rate(participant.turn(measure, batch)) for _ in range(amounts.repetitions)]
                yield Finding(f"batch {batch}: {measure}", statistics.median(rates), "images/s")
        for measure in INFERENCE:
            yield Finding(f"{measure}, 1,000 a call", _rate(participant.turn(measure, None)), "images/s")
    if "steps" in (about := ports.backend(part.subject).describe()):
        yield Finding("steps", about["steps"])


def _rate(answer: dict[str, Any]) -> float:
    return float(answer["images"] / answer["seconds"])
