"""The process that one participant is measured in: `python -m vae_rosetta.benchmarks.worker MODULE`, `--peer MODULE` or
`--products LIBRARY`.

It reads requests from stdin and answers them on stdout, one JSON object a line: {"do": MEASURE, ...} is answered by
{"images": N, "seconds": S} and what else there is to say, or by {"error": TEXT}. It lives as long as the run, so that a
backend stays compiled between its turns. What a framework prints goes to stderr.

Making ready for a measure (a model, noise, the first call of a function, which may compile) is not timed.
"""

import gc
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol, TextIO, cast

import numpy as np
import numpy.typing as npt

from vae_rosetta.benchmarks import imports, machine, peers, products
from vae_rosetta.benchmarks.plan import FIRST_EPOCH, IMPORTS, INFERENCE, PRODUCTS, TARGET, TRAFFIC, TRAINING
from vae_rosetta.benchmarks.products.shapes import fastest
from vae_rosetta.shared import parameters, recipe, stream
from vae_rosetta.shared.contract import Array, Backend, FullModel, Trainable
from vae_rosetta.shared.recipe import Epoch
from vae_rosetta.shared.spec import Sizes
from vae_rosetta.shared.stream import Purpose

Json = dict[str, Any]

SEED: Final = 0
CHECKED_IMAGES: Final = 1024  # the first that are trained on; their objectives are compared with the oracle's

_ENDLESS: Final = 2**31  # epochs: a run is over when nobody asks for another


class Participant(Protocol):
    """What `serve` needs."""

    def open(self, request: Json) -> Json:
        """Makes ready for every measure; tells the participant's identity, and the measures on offer."""
        ...

    def turn(self, measure: str, batch: int | None) -> Json:
        """One turn."""
        ...


class BackendParticipant:
    """A backend module."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._batch: int | None = None
        self._ready: set[str] = set()  # inference that was called before

    def open(self, request: Json) -> Json:
        module = importlib.import_module(self._name)
        self._backend = cast(Backend, module)
        self._x = np.load(request["images"])  # (N, D)
        self._rows, self._turn_seconds = min(request["rows"], len(self._x)), request["turn_seconds"]
        self._dtype, self._device = request["dtype"], request.get("device", "auto")
        self._params = parameters.initial(SEED, Sizes(input_dim=self._x.shape[1]))
        self._model = self._load()
        sampler = callable(getattr(self._model, "generate", None))
        inference = [measure for measure in INFERENCE if measure != "generate" or sampler]
        statements = imports.of(module)
        return {
            "describe": {key: str(value) for key, value in self._backend.describe().items()},
            "packages": imports.versions(statements),
            "framework": "; ".join(statements),
            "offer": [*(IMPORTS if statements else IMPORTS[1:]), FIRST_EPOCH, *TRAINING, *inference, TARGET],
        }

    def turn(self, measure: str, batch: int | None) -> Json:
        if batch is None:
            return self._infer(measure)
        if measure == FIRST_EPOCH:
            self._start(batch)
        if batch != self._batch:
            raise ValueError(f"batch: got {batch}, but the run under way is at {self._batch}")
        return self._train() if measure == "train" else self._fit(batch)

    def _start(self, batch: int) -> None:
        """A new model, which has not trained yet, and a run of the recipe with it."""
        self._ready.clear()
        self._run: Iterator[Epoch] | None = None
        self._held: Any = None
        del self._model  # the former one goes, with its images, before the next is put beside it
        gc.collect()
        self._model, self._batch = self._load(), batch
        self._calls = train_calls(self._x, self._model, batch)

    def _load(self) -> FullModel:
        return self._backend.load(self._params, dtype=self._dtype, device=self._device)

    def _fit(self, batch: int) -> Json:
        """One epoch as a user's run makes it: order and noise from the stream, training; in the first, transfer too."""
        started = time.perf_counter()
        if self._run is None:
            self._held = recipe.held(self._model, self._x)
            self._run = recipe.fit(self._model, self._held, seed=SEED, epochs=_ENDLESS, batch_size=batch)
        epoch = next(self._run)
        seconds = time.perf_counter() - started
        return {
            "images": len(self._x),
            "seconds": seconds,
            "first_objectives": epoch.step_objectives[: checked_steps(self._calls)].tolist(),
        }

    def _train(self) -> Json:
        """The calls to `train` that an epoch consists of, and nothing else."""
        started = time.perf_counter()
        for order, noise in self._calls:
            self._model.train(self._held, order, noise)
        return {"images": len(self._x), "seconds": time.perf_counter() - started}

    def _infer(self, measure: str) -> Json:
        x = self._x[: self._rows]
        z = stream.normal(SEED, Purpose.LATENT, 0, (self._rows, Sizes().latent_dim))
        calls: dict[str, Callable[[int], object]] = {
            "encode": lambda _: self._model.encode(x),
            "decode": lambda _: self._model.decode(z),
            "generate": lambda seed: self._model.generate(self._rows, seed),
        }
        call = calls[measure]
        if measure not in self._ready:
            call(0)
            self._ready.add(measure)
        done, seconds, started = 0, 0.0, time.perf_counter()
        while not done or seconds < self._turn_seconds:
            done += 1
            call(done)
            seconds = time.perf_counter() - started
        return {"images": done * self._rows, "seconds": seconds}


class PeerParticipant:
    """One of `benchmarks.peers`."""

    def __init__(self, module: str) -> None:
        self._peer = peers.load(module)

    def open(self, request: Json) -> Json:
        self._x = np.load(request["images"])  # (N, D)
        return {
            "packages": dict(self._peer.versions),
            "differs": self._peer.differs,
            "offer": [FIRST_EPOCH, "fit", TARGET],
        }

    def turn(self, measure: str, batch: int | None) -> Json:
        if batch is None or measure not in (FIRST_EPOCH, "fit"):
            raise ValueError(f"measure: got {measure!r} at batch {batch}; expected fit at some batch")
        if measure == FIRST_EPOCH:
            self._peer.start(self._x, batch)
        started = time.perf_counter()
        objective = self._peer.epoch()
        return {"images": len(self._x), "seconds": time.perf_counter() - started, "objective": objective}


class ProductsParticipant:
    """The matrix products of a training step, and Adam's traffic, by one of `benchmarks.products`."""

    def __init__(self, library: str) -> None:
        self._library = library

    def open(self, request: Json) -> Json:
        self._sizes = Sizes(*request["sizes"])
        self._turn_seconds = request["turn_seconds"]
        self._steps: dict[int, products.Step] = {}
        self._traffic: products.Step | None = None
        offer = [PRODUCTS, TRAFFIC] if products.offers_traffic(self._library) else [PRODUCTS]
        return {"version": products.load(self._library).version(), "offer": offer}

    def turn(self, measure: str, batch: int | None) -> Json:
        if measure not in (PRODUCTS, TRAFFIC) or batch is None:
            raise ValueError(f"measure: got {measure!r} at batch {batch}; expected {PRODUCTS!r} at some batch")
        if measure == TRAFFIC:
            self._traffic = self._traffic or products.traffic(self._library, self._sizes)
            return {"images": batch, "seconds": fastest(self._traffic, self._turn_seconds)}
        if batch not in self._steps:
            self._steps = {batch: products.step(self._library, self._sizes, batch)}
        return {"images": batch, "seconds": fastest(self._steps[batch], self._turn_seconds)}


def train_calls(x: Array, model: Trainable, batch: int) -> list[tuple[npt.NDArray[np.int64], Array]]:
    """Order and noise of each call to `train` that the recipe's first epoch makes: asked from the recipe itself."""

    class Recorder:
        sizes = parameters.sizes_of_model(model)

        def train(self, x: Array, order: npt.NDArray[np.int64], noise: Array) -> Array:
            calls.append((order, noise))
            return np.zeros(len(order), dtype=np.float32)

    calls: list[tuple[npt.NDArray[np.int64], Array]] = []
    next(recipe.fit(cast(Trainable, Recorder()), x, seed=SEED, epochs=1, batch_size=batch))
    return calls


def checked_steps(calls: Sequence[tuple[npt.NDArray[np.int64], Array]]) -> int:
    """How many steps `CHECKED_IMAGES` are, all of them in the first call."""
    steps, batch = map(int, calls[0][0].shape)
    return min(steps, max(1, CHECKED_IMAGES // batch))


def serve(participant: Participant, requests: TextIO, answers: TextIO) -> None:
    """Answers requests until there are no more."""
    idle, worked_until = 0.0, time.process_time()
    for line in requests:
        idle += time.process_time() - worked_until
        request = json.loads(line)
        try:
            match request["do"]:
                case "open":
                    answer = participant.open(request)
                case "close":
                    answer = {"peak_memory_bytes": machine.peak_memory(), "idle_cpu_seconds": idle}
                case measure:
                    answer = participant.turn(measure, request["batch"])
        except Exception as error:  # whatever a stranger's module raises is its refusal, not the end of the run
            traceback.print_exc()
            first, *_ = [*str(error).strip().splitlines(), "no message"]
            answer = {"error": f"{type(error).__name__}: {first}"}
        print(json.dumps(answer), file=answers, flush=True)
        if (
            request["do"] == "close"
        ):  # and the end: programs that were started end with this process, and are waited for
            return
        worked_until = time.process_time()


def main() -> None:
    """The entry point."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # prints of a framework, also those of its C++ code
    serve(_participant(*sys.argv[1:]), sys.stdin, answers)


def _participant(kind: str, name: str = "") -> Participant:
    match kind:
        case "--products":
            return ProductsParticipant(name)
        case "--peer":
            return PeerParticipant(name)
        case module:
            return BackendParticipant(module)


if __name__ == "__main__":
    main()
