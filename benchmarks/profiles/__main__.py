"""The profiled process."""

import importlib
import json
import sys
import time
from typing import cast

import numpy as np

from vae_rosetta.benchmarks import profiles
from vae_rosetta.benchmarks.worker import SEED, train_calls
from vae_rosetta.shared import parameters, recipe
from vae_rosetta.shared.contract import Backend
from vae_rosetta.shared.spec import Sizes


def main() -> None:
    """The entry point."""
    name, images, batch, dtype = sys.argv[1:]
    module = cast(Backend, importlib.import_module(name))
    profiler = profiles.profiler(module.describe()["framework"])
    x = np.load(images)
    model = module.load(parameters.initial(SEED, Sizes(input_dim=x.shape[1])), dtype=dtype, device="auto")
    calls = train_calls(x, model, int(batch))
    held = recipe.held(model, x)
    seconds = 0.0

    def epoch() -> None:
        nonlocal seconds
        started = time.perf_counter()
        for order, noise in calls:
            model.train(held, order, noise)
        seconds = time.perf_counter() - started

    epoch()  # compiles
    operations = profiler.operations(epoch)
    answer = {
        "seconds": seconds,
        "steps": sum(len(order) for order, _ in calls),
        "operations": [operation._asdict() for operation in sorted(operations, key=lambda one: -one.seconds)],
    }
    print(f"\n{json.dumps(answer)}")


if __name__ == "__main__":
    main()
