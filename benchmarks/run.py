"""A run: grades the backends, starts their workers, gives each its turns, and gathers what they measured."""

import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from vae_rosetta.benchmarks import data, gate, imports, machine, peers, products, target
from vae_rosetta.benchmarks.cores import Cores, apart
from vae_rosetta.benchmarks.data import Images
from vae_rosetta.benchmarks.gate import Verdict
from vae_rosetta.benchmarks.plan import FIRST_EPOCH, IMPORTS, REPEATABLE, TARGET, Plan, Turn, schedule
from vae_rosetta.benchmarks.processes import Worker, WorkerError
from vae_rosetta.benchmarks.target import Reached
from vae_rosetta.benchmarks.worker import SEED, checked_steps, train_calls
from vae_rosetta.shared import oracle, parameters
from vae_rosetta.shared.command_line import Interrupted
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.datasets import Dataset
from vae_rosetta.shared.spec import Sizes

Json = dict[str, Any]

ROOFLINE: Final = "roofline:"  # before the name of a library that makes products

_ATTEMPTS: Final = 3  # at a turn during which the cores were parted


class Watcher(Protocol):
    """Who is told how a run goes on."""

    def turn(self, number: int, total: int, text: str) -> None:
        """Step `number` of `total` begins."""
        ...

    def refused(self, module: str, reason: str) -> None:
        """A backend is out of the run."""
        ...


class Reading(NamedTuple):
    """What one turn measured. `images` is None where seconds are all there is."""

    turn: Turn
    images: int | None
    seconds: float
    round_trip: float | None  # between two cores, ns: the longer of before and after; see `benchmarks.cores`


@dataclass
class Entry:
    """A backend in the run."""

    module: str
    verdict: Verdict
    identity: Json = field(default_factory=dict)  # what its worker's "open" answered
    difference: dict[int, float] = field(default_factory=dict)  # from the oracle, by batch; see `Plan.agreement`
    closing: Json = field(default_factory=dict)  # what its worker's "close" answered


@dataclass
class PeerEntry:
    """A peer in the run."""

    name: str
    identity: Json  # what its worker's "open" answered
    objective: dict[int, float] = field(default_factory=dict)  # per image in its first epoch, by batch
    closing: Json = field(default_factory=dict)


@dataclass
class Measured:
    """A whole run."""

    plan: Plan
    images: Images
    libraries: dict[str, Json] = field(default_factory=dict)  # that make products: what the workers' "open" answered
    entries: dict[str, Entry] = field(default_factory=dict)  # by module, in the order of their turns
    peers: dict[str, PeerEntry] = field(default_factory=dict)  # by name
    refused: dict[str, str] = field(default_factory=dict)  # reason by module
    reached: dict[str, list[Reached]] = field(default_factory=dict)  # by participant, turn by turn
    readings: list[Reading] = field(default_factory=list)  # in the order in which they were made
    others_percent: float | None = None  # of the machine's CPU time, used meanwhile by processes not of this run
    nearest: float | None = None  # shortest round trip between two cores, ns

    @property
    def sizes(self) -> Sizes:
        """Of the model that was measured."""
        return Sizes(input_dim=self.images.input_dim)


def measure(
    modules: Sequence[str], plan: Plan, dataset: Dataset, watcher: Watcher, *, peer_names: Sequence[str] = ()
) -> Measured:
    """Runs `plan` with the backends that pass the gate, and with the peers. No worker outlives the call.

    Raises:
        OSError: no room for the images, no process can be started, or no library makes products (`WorkerError`).
        Interrupted: Ctrl-C.
    """
    run: _Run | None = None
    meter = machine.CpuMeter()
    try:
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="vae-benchmark-"))
            run = _Run(plan, data.write(dataset, plan.images, Path(folder)), watcher, stack)
            if plan.target is not None:
                data.write_halves(dataset, Path(folder))
            measured = run.all(modules, peer_names)
    except KeyboardInterrupt:
        raise Interrupted(f"Interrupted {run.where if run else 'at the start'}. Nothing was written.") from None
    measured.others_percent = meter.others_percent()  # now that the workers have ended, their time is known
    return measured


class _Run:
    def __init__(self, plan: Plan, images: Images, watcher: Watcher, stack: ExitStack) -> None:
        self.where = "at the start"
        self._measured, self._watcher, self._stack = Measured(plan, images), watcher, stack
        self._cores = stack.enter_context(Cores())
        self._workers: dict[str, Worker] = {}
        self._expected: dict[int, Array] = {}  # objectives of the first steps, by batch

    def all(self, modules: Sequence[str], peer_names: Sequence[str]) -> Measured:
        measured = self._measured
        for number, module in enumerate(modules, start=1):
            self._begin(number, len(modules), f"grading {module}")
            self._admit(module)
        if not measured.entries:
            return measured
        for library in products.installed(measured.entries):
            self._admit_library(library)
        for name in peer_names:
            self._admit_peer(name)
        entries = (measured.entries | measured.peers).items()
        offers = {name: entry.identity["offer"] for name, entry in entries}
        offers |= {name: identity["offer"] for name, identity in measured.libraries.items()}
        turns = schedule(measured.plan, offers)
        for number, turn in enumerate(turns, start=1):
            if turn.participant in self._workers and measured.entries:
                self._begin(number, len(turns), str(turn))
                self._take(turn)
        measured.nearest = self._cores.nearest
        for name, entry in list((measured.entries | measured.peers).items()):
            try:
                entry.closing = self._workers[name].ask("close")
            except WorkerError as error:
                self._refuse(name, str(error))
        for library in measured.libraries:
            with suppress(WorkerError):
                self._workers[library].ask("close")
        return measured

    def _begin(self, number: int, total: int, text: str) -> None:
        self.where = f"at {number} of {total}: {text}"
        self._watcher.turn(number, total, text)

    def _admit(self, module: str) -> None:
        verdict = gate.grade(module, self._measured.plan.dtype)
        if verdict.refusal:
            self._refuse(module, verdict.refusal)
            return
        try:
            self._measured.entries[module] = Entry(module, verdict, self._start(module, module))
        except WorkerError as error:
            self._refuse(module, str(error))

    def _admit_library(self, library: str) -> None:
        name = ROOFLINE + library
        try:
            self._measured.libraries[name] = self._start(name, "--products", library)
        except WorkerError as error:
            self._refuse(name, str(error))

    def _admit_peer(self, name: str) -> None:
        try:
            known = peers.KNOWN[name]
            identity = self._start(name, "--peer", known.module, environment=known.environment)
            self._measured.peers[name] = PeerEntry(name, identity)
        except WorkerError as error:
            self._refuse(name, str(error))

    def _start(self, name: str, *arguments: str, environment: Iterable[tuple[str, str]] = ()) -> Json:
        plan, images = self._measured.plan, self._measured.images
        # What a worker leaves behind when it is ended goes with the run's folder.
        environment = [*environment, ("TMPDIR", str(images.path.parent))]
        self._workers[name] = self._stack.enter_context(Worker(*arguments, environment=environment))
        return self._workers[name].ask(
            "open",
            images=str(images.path),
            sizes=self._measured.sizes,
            rows=plan.rows,
            turn_seconds=plan.turn_seconds,
            dtype=plan.dtype,
        )

    def _take(self, turn: Turn) -> None:
        name = turn.participant
        try:
            answer, round_trip = self._measure(turn)
            if turn.measure == FIRST_EPOCH and turn.batch is not None:
                if name in self._measured.peers:
                    self._measured.peers[name].objective[turn.batch] = answer["objective"]
                else:
                    self._compare(name, turn.batch, answer["first_objectives"])
        except (RuntimeError, WorkerError) as error:
            self._refuse(name, str(error))
            if name.startswith(ROOFLINE) and not self._measured.libraries:
                raise
        else:
            self._measured.readings.append(Reading(turn, answer.get("images"), answer["seconds"], round_trip))

    def _measure(self, turn: Turn) -> tuple[Json, float | None]:
        """The answer to a turn, and the round trip between two cores; once more, if they were parted meanwhile."""
        if turn.measure not in REPEATABLE:
            return self._ask(turn), None
        for _ in range(_ATTEMPTS):
            before = self._cores.together()
            answer = self._ask(turn)
            after = self._cores.round_trip()
            round_trip = None if before is None or after is None else max(before, after)
            if not apart(round_trip, self._cores.nearest):
                break
        return answer, round_trip

    def _ask(self, turn: Turn) -> Json:
        name = turn.participant
        if turn.measure == TARGET:
            return self._reach(name)
        if turn.measure in IMPORTS:
            framework = self._measured.entries[name].identity["framework"]
            return {"seconds": imports.seconds(f"import {name}" if turn.measure == "import" else framework)}
        return self._workers[name].ask(turn.measure, batch=turn.batch)

    def _reach(self, name: str) -> Json:
        measured = self._measured
        plan, folder = measured.plan, measured.images.path.parent
        assert plan.target is not None
        known = peers.KNOWN.get(name)
        arguments = ["--peer", known.module] if known else [name]
        environment = known.environment if known else ()
        reached = target.measure(arguments, folder, plan.target, plan.dtype, environment=environment)
        measured.reached.setdefault(name, []).append(reached)
        return {"seconds": reached.seconds}

    def _compare(self, name: str, batch: int, objectives: list[float]) -> None:
        """The proof that what was timed is the specified model.

        Raises:
            WorkerError: it is not.
        """
        if batch not in self._expected:
            x: Array = np.load(self._measured.images.path, mmap_mode="r")
            self._expected[batch] = first_objectives(x, batch)
        expected = self._expected[batch]
        found = np.asarray(objectives, dtype=np.float64)
        difference = float(np.max(np.abs(found - expected) / expected)) if found.shape == expected.shape else np.inf
        if not difference <= (most := self._measured.plan.agreement):  # NaN fails too
            raise WorkerError(
                f"computes something else when timed: its first steps at batch {batch} differ from the oracle by "
                f"{difference:.1e}; expected at most {most:.0e}"
            )
        self._measured.entries[name].difference[batch] = difference

    def _refuse(self, name: str, reason: str) -> None:
        """Takes a backend, a peer or a library out of the run, with all that it measured."""
        measured = self._measured
        if name in self._workers:
            self._workers.pop(name).end()
        measured.entries.pop(name, None)
        measured.peers.pop(name, None)
        measured.libraries.pop(name, None)
        measured.readings = [reading for reading in measured.readings if reading.turn.participant != name]
        measured.refused[name] = reason
        self._watcher.refused(name, reason)


def first_objectives(x: Array, batch: int) -> Array:
    """The oracle's objectives of the recipe's first steps on images x (N, D)."""
    model = oracle.load(parameters.initial(SEED, Sizes(input_dim=x.shape[1])))
    calls = train_calls(x, model, batch)
    order, noise = (part[: checked_steps(calls)] for part in calls[0])
    return model.train(x, order, noise)
