"""True backends on fresh seeds: random networks, pictures and noise, with tolerances derived on the spot.

A case is made from its seed alone: a tiny (12-8-3) and a square (5-5-5) network of random width, a batch of five, and
every answer of the contract that a golden vector could ask for: mu, logvar, z, logits, both losses, the gradients, and
three steps of training with the state they leave. Its tolerances come from `shared.rounding` with REPETITIONS instead
of 64 disturbed runs, one run for all answers: the root mean square of so few is right to a fifth, against a safety of
ten.

Two models answer. Every case is loaded anew: the state of that model must be the case's to the last bit, with nothing
in Adam, and its losses right. All else is asked of one model per size and precision, the first that was loaded, into
which `load_state` puts each later case: what earlier cases trained must leave no trace, and a framework that compiles
for every model (TensorFlow does: 1.5 s for the training loop alone) compiles but once.

Where an input of a relu comes within rounding of its kink, two correct ports may differ; such noise is drawn again.
"""

import itertools
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Final, NamedTuple

import click
import numpy as np

from vae_rosetta.conformance import comparator
from vae_rosetta.conformance.backend import BackendError, find
from vae_rosetta.conformance.grader import ABILITIES, Grader
from vae_rosetta.implementations import ports
from vae_rosetta.shared import checks, oracle, parameters, rounding
from vae_rosetta.shared.command_line import DONE, NO, SEED, WHOLE, Command, import_from_current_folder
from vae_rosetta.shared.contract import Array, FullModel, Tensors
from vae_rosetta.shared.oracle import Arithmetic, Oracle
from vae_rosetta.shared.spec import Sizes

REPETITIONS: Final = 12
SIZES: Final = (Sizes(12, 8, 3), Sizes(5, 5, 5))
ROWS, STEPS, BATCH = 5, 3, 4
_KINK: Final = 1e-4  # nearest that an input of a relu may come to 0: what rounding and three steps leave far behind


class Fresh(NamedTuple):
    """A random case."""

    params: dict[str, Array]
    x: Array  # (ROWS, D)
    noise: Array  # (ROWS, L)
    order: Array  # (STEPS, BATCH)
    step_noise: Array  # (STEPS, BATCH, L)


def cases(seed: int) -> Iterator[tuple[str, Fresh]]:
    """The cases of a seed, named."""
    for sizes in SIZES:
        yield "-".join(map(str, sizes)), _away_from_kinks(seed, sizes)


class Subject:
    """A backend in one precision, with the models that all cases share."""

    def __init__(self, backend: Any, dtype: str, device: str = "auto") -> None:
        self.dtype = dtype
        self._grader = Grader(backend, dtype, device)
        self._shared: dict[Sizes, FullModel] = {}

    def answers(self, case: Fresh) -> dict[str, Array]:
        """What the backend answers to a case: a model that was loaded for it, and the one that has seen others."""
        loaded = self._grader.load(case.params)
        found = _asked_of_loaded(loaded, case)
        sizes = parameters.sizes_of(case.params)
        if sizes in self._shared:
            self._shared[sizes].load_state(_untrained(case.params))
        return found | _asked_of_shared(self._shared.setdefault(sizes, loaded), case)


def grade(subject: Subject, case: Fresh) -> comparator.Headroom:
    """The largest error of each answer in units of its tolerance.

    Raises:
        comparator.Mismatch: an answer is out.
    """
    true = partial(_true_answers, case)
    expected = true(oracle.EXACT)
    tolerance = rounding.tolerances(true, subject.dtype, repetitions=REPETITIONS)
    return comparator.compare(subject.answers(case), expected, tolerance, subject.dtype)


@click.command(cls=Command, no_args_is_help=True)
@click.argument("module")
@click.option("--seeds", type=WHOLE, default=20, show_default=True, help="Try N seeds.")
@click.option("--first", type=SEED, default=0, show_default=True, help="Begin with this seed.")
@click.option(
    "--device",
    type=click.Choice(checks.DEVICES),
    default="auto",
    show_default=True,
    help="Run the port on this device.",
)
def main(module: str, seeds: int, first: int, device: str) -> int:
    """Grade a right port on random networks, images and noise.

    MODULE is named as for vae conformance. The answer is yes if there is no alarm.
    """
    import_from_current_folder()
    name = ports.module_of(module)
    try:
        backend = find(name, None)
    except BackendError as error:
        raise ValueError(str(error).replace("--vae-backend", "MODULE")) from error
    if missing := _missing(backend, device):
        raise ValueError(f"MODULE: {name!r} has no {', '.join(missing)}; expected a port with every ability")
    started = time.perf_counter()
    alarms, headroom = run(backend, range(first, first + seeds), device)
    seconds = time.perf_counter() - started
    for (dtype, kind), ratio in sorted(headroom.items()):
        print(f"{dtype} {kind:<16} largest error {ratio:5.3f} of its tolerance")
    print("\n".join(alarms), end="\n" if alarms else "")
    print(
        f"{name}: {seeds} seeds, {len(alarms)} alarms, largest error "
        f"{max(headroom.values(), default=0.0):.3f} of its tolerance, {seconds:.1f} s, "
        f"{seconds / seeds:.2f} s a seed"
    )
    return NO if alarms else DONE


def _missing(backend: Any, device: str) -> list[str]:
    """What a case asks for and the backend does not offer."""
    if missing := [name for name in ("describe", "load") if not callable(getattr(backend, name, None))]:
        return missing
    model = backend.load(parameters.initial(0, SIZES[0]), device=device)
    wanted = ("encode", "reparameterize", "decode", "losses", *ABILITIES["train"])
    return [name for name in wanted if not callable(getattr(model, name, None))]


def run(backend: Any, seeds: range, device: str = "auto") -> tuple[list[str], dict[tuple[str, str], float]]:
    """All seeds in both precisions: the alarms, and the largest headroom used for each (precision, kind of answer)."""
    alarms: list[str] = []
    headroom: dict[tuple[str, str], float] = {}
    subjects = [Subject(backend, dtype, device) for dtype in checks.DTYPES]
    for seed, subject in itertools.product(seeds, subjects):
        for name, case in cases(seed):
            try:
                found = grade(subject, case)
            except comparator.Mismatch as mismatch:
                alarms.append(f"ALARM: seed {seed}, {name}, {subject.dtype}: {mismatch}")
                continue
            for quantity, ratio in found.items():
                key = (subject.dtype, quantity.split(".")[0])
                headroom[key] = max(ratio, headroom.get(key, 0.0))
    return alarms, headroom


def _asked_of_loaded(model: FullModel, case: Fresh) -> dict[str, Array]:
    """What `load` must have done: the state, with a tolerance of zero, and losses, where all parameters take part."""
    found = {f"loaded.{name}": value for name, value in model.state().items()}
    return found | model.losses(case.x, case.noise)._asdict()


def _asked_of_shared(model: FullModel, case: Fresh) -> dict[str, Array]:
    mu, logvar = model.encode(case.x)
    z = model.reparameterize(mu, logvar, case.noise)
    found = {"mu": mu, "logvar": logvar, "z": z, "logits": model.decode(z)}
    found |= {f"gradient.{name}": value for name, value in model.gradients(case.x, case.noise).items()}
    found["objective"] = model.train(case.x, case.order, case.step_noise)
    return found | {f"state.{name}": value for name, value in model.state().items()}


def _true_answers(case: Fresh, arithmetic: Arithmetic) -> dict[str, Array]:
    model = Oracle(case.params, "float64", arithmetic)
    return _asked_of_loaded(model, case) | _asked_of_shared(model, case)


def _untrained(params: Tensors) -> dict[str, Array]:
    """The state of a model that has just been loaded with `params`."""
    moments = {f"adam.{moment}.{name}": np.zeros_like(value) for moment in "mv" for name, value in params.items()}
    return {**params, **moments, "adam.step": np.array(0, dtype=np.int64)}


def _away_from_kinks(seed: int, sizes: Sizes) -> Fresh:
    for attempt in itertools.count():
        case = _drawn(seed, sizes, attempt)
        if _nearest_kink(case) > _KINK:
            return case
    raise AssertionError("unreachable")


def _drawn(seed: int, sizes: Sizes, attempt: int) -> Fresh:
    """All from NumPy's generator: a case is made where it is used, and need not be the same elsewhere."""
    random = np.random.default_rng([seed, *sizes, attempt])
    width = np.float32(random.uniform(1.0, 3.0))
    params = {name: width * value for name, value in parameters.initial(seed + 1000 * attempt, sizes).items()}
    shape = (ROWS, sizes.input_dim)
    x = np.where(random.random(shape) < 0.2, np.round(random.random(shape)), random.random(shape))
    return Fresh(
        params,
        x.astype(np.float32),
        random.standard_normal((ROWS, sizes.latent_dim)).astype(np.float32),
        random.integers(0, ROWS, (STEPS, BATCH)),
        random.standard_normal((STEPS, BATCH, sizes.latent_dim)).astype(np.float32),
    )


def _nearest_kink(case: Fresh) -> float:
    """The least distance of any relu's input from 0, over the batch and the steps of training."""
    model = Oracle(case.params, "float64")
    nearest = [_distance(model.params(), case.x, case.noise)]
    for rows, noise in zip(case.order, case.step_noise, strict=True):
        nearest.append(_distance(model.params(), case.x[rows], noise))
        model.train(case.x, rows[None], noise[None])
    return min(nearest)


def _distance(params: Tensors, x: Array, noise: Array) -> float:
    step = oracle.forward(params, x.astype(np.float64), noise.astype(np.float64))
    inputs = (oracle.linear(params, "encoder.fc1", x), oracle.linear(params, "decoder.fc3", step.z))
    return min(float(np.abs(value).min()) for value in inputs)
