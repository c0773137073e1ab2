"""A port's training curve beside the oracle's, from the same seed: every step's objective."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from vae_rosetta.benchmarks.gpu import images
from vae_rosetta.benchmarks.gpu.finding import Finding
from vae_rosetta.benchmarks.gpu.plan import Amounts, Part
from vae_rosetta.implementations import ports
from vae_rosetta.shared import checks, oracle, parameters, recipe
from vae_rosetta.shared.contract import Array, Backend
from vae_rosetta.shared.spec import Sizes

SEED: Final = 0
FLOAT64_LIMIT: Final = 1e-9  # relative, for all steps: the same computation
FLOAT32_LIMIT: Final = 1e-4  # for the first steps; from some later step on, rounding turns a relu over
JUDGED_STEPS: Final = 32


def findings(part: Part, amounts: Amounts) -> Iterator[Finding]:
    """See `part.Work`."""
    x, source = images.choose(amounts.curve_images)
    truth = curve(oracle, x, amounts.curve_epochs, "float64", "cpu")
    for dtype in reversed(checks.DTYPES):
        found = curve(ports.backend(part.subject), x, amounts.curve_epochs, dtype, part.device)
        difference = np.abs(found - truth) / truth
        judged = difference if dtype == "float64" else difference[:JUDGED_STEPS]
        good = bool(judged.max() <= (FLOAT64_LIMIT if dtype == "float64" else FLOAT32_LIMIT))
        yield Finding(f"{dtype}: first {len(judged)} steps differ by", float(judged.max()), "", good, source)
        yield Finding(f"{dtype}: all {len(difference)} steps differ by", float(difference.max()))
    if "steps" in (about := ports.backend(part.subject).describe()):
        yield Finding("steps", about["steps"])


def curve(backend: Backend, x: Array, epochs: int, dtype: str, device: str) -> Array:
    """Each step's objective, float64."""
    model = backend.load(parameters.initial(SEED, Sizes(input_dim=x.shape[1])), dtype=dtype, device=device)
    run = recipe.fit(model, x, seed=SEED, epochs=epochs)
    return np.concatenate([epoch.step_objectives for epoch in run]).astype(np.float64)
