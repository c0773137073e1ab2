"""How long a user waits for a trained model: a process that starts, trains and ends at a wanted test loss.

`python -m vae_rosetta.benchmarks.target MODULE|--peer MODULE TRAIN.npy TEST.npy NATS DTYPE` prints {"epochs": N,
"test": NATS}; the run takes the time from the start of the process to its end. After every epoch the loss of the
held-out images is taken, z drawn once per image; training ends with the first that is no more than wanted, or after
`MOST_EPOCHS`.
"""

import importlib
import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import numpy as np

from vae_rosetta.benchmarks import peers, processes
from vae_rosetta.benchmarks.worker import SEED
from vae_rosetta.shared import parameters, recipe, spec
from vae_rosetta.shared.contract import Array, Backend
from vae_rosetta.shared.spec import Sizes

MOST_EPOCHS: Final = 30


class Reached(NamedTuple):
    """One process."""

    seconds: float  # from its start to its end
    epochs: int
    test: float  # loss at the end, nats per image


def measure(
    arguments: Iterable[str], folder: Path, target: float, dtype: str, *, environment: Iterable[tuple[str, str]] = ()
) -> Reached:
    """Runs the process for one participant on `train.npy` and `test.npy` in `folder`.

    Raises:
        RuntimeError: it failed, or the loss was never reached; the message is in one line.
    """
    words = [*arguments, str(folder / "train.npy"), str(folder / "test.npy"), str(target), dtype]
    started = time.perf_counter()
    line = processes.output(["-m", "vae_rosetta.benchmarks.target", *words], [*environment, ("TMPDIR", str(folder))])
    seconds = time.perf_counter() - started
    answer = json.loads(line)
    if not answer["test"] <= target:
        raise RuntimeError(f"test loss {answer['test']:.2f} after {answer['epochs']} epochs; expected {target:g} nats")
    return Reached(seconds, answer["epochs"], answer["test"])


def _backend_losses(name: str, x: Array, test: Array, dtype: str) -> Iterator[float]:
    module = cast(Backend, importlib.import_module(name))
    model = module.load(parameters.initial(SEED, Sizes(input_dim=x.shape[1])), dtype=dtype)
    for epoch in recipe.fit(model, x, seed=SEED, epochs=MOST_EPOCHS, test=test):
        assert epoch.test is not None
        yield epoch.test.objective


def _peer_losses(module: str, x: Array, test: Array, _dtype: str) -> Iterator[float]:
    peer = peers.load(module)
    peer.start(x, spec.BATCH_SIZE)
    for _ in range(MOST_EPOCHS):
        peer.epoch()
        yield peer.test(test)


def main() -> None:
    """The entry point."""
    *kind, name, train, test, target, dtype = sys.argv[1:]
    losses = _peer_losses if kind else _backend_losses
    found: dict[str, Any] = {}
    for epochs, loss in enumerate(losses(name, np.load(train), np.load(test), dtype), start=1):
        found = {"epochs": epochs, "test": loss}
        if loss <= float(target):
            break
    print(f"\n{json.dumps(found)}")


if __name__ == "__main__":
    main()
