"""What a run measures and in which order: a list of turns, made before the first one starts.

Participants take turns, A B C A B C, so that whatever slows the machine down for a while slows all of them down alike.
`fit` and `train` of a backend, which are compared with each other, come one right after the other.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from vae_rosetta.shared import checks, spec

FORMAT: Final = 4  # of the results; schema.json describes them

PRODUCTS: Final = "products"  # the measure of those who multiply matrices and do nothing else: the roofline
TRAFFIC: Final = "traffic"  # and of those who read and write what Adam does, and do nothing else

FIRST_EPOCH: Final = "first_epoch"
TRAINING: Final = ("fit", "train")
INFERENCE: Final = ("encode", "decode", "generate")
TARGET: Final = "target"  # seconds from the start of a process to the wanted test loss
IMPORTS: Final = ("import_framework", "import")  # seconds; all other measures count images as well
REPEATABLE: Final = (
    PRODUCTS,
    TRAFFIC,
    *TRAINING,
    *INFERENCE,
)  # of a fraction of a second, and the same if taken once more


class Turn(NamedTuple):
    """One participant measured once."""

    round: int  # from 1; 0: a first epoch, which there is only one of
    participant: str
    measure: str
    batch: int | None  # None: the measure knows no batch size

    def __str__(self) -> str:
        what = self.measure.replace("_", " ") + ("" if self.batch is None else f" at batch {self.batch}")
        return f"{self.participant}, {what}" + (f", round {self.round}" if self.round else "")


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    batches: tuple[int, ...]  # images a training step
    images: int  # in the data set, so in an epoch
    repetitions: int
    import_repetitions: int  # fewer: an import of seconds is steady
    rows: int = 1000  # images a call of encode, decode and generate
    target: float | None = None  # test loss in nats per image; None: not measured
    target_repetitions: int = 3
    turn_seconds: float = 0.25  # shortest turn of those and of the roofline: long enough for a steady rate
    dtype: str = "float32"  # or checks.MIXED: what backends are loaded with

    @property
    def agreement(self) -> float:
        """Greatest relative difference from the oracle that the objectives of the first timed steps may have.

        The gate has derived tolerances; this one notices a backend that computes something else when it is timed.
        Rounding makes some 1e-6 in float32, some 1e-3 where layers are in bfloat16.
        """
        return 1e-2 if self.dtype == checks.MIXED else 1e-4

    def __post_init__(self) -> None:
        """Checks the plan.

        Raises:
            ValueError: an epoch has fewer images than a step.
        """
        if max(self.batches) > self.images:
            raise ValueError(f"batch size: got {max(self.batches)}; expected at most an epoch's {self.images:,} images")


QUICK: Final = Plan(batches=(spec.BATCH_SIZE,), images=12_800, repetitions=7, import_repetitions=1)
FULL: Final = Plan(batches=(spec.BATCH_SIZE, 512, 2048), images=60_000, repetitions=9, import_repetitions=5)


def schedule(plan: Plan, offers: Mapping[str, Collection[str]]) -> list[Turn]:
    """The turns of a run, in order. `offers` holds the measures that each participant can do."""
    return list(_turns(plan, offers))


def _turns(plan: Plan, offers: Mapping[str, Collection[str]]) -> Iterator[Turn]:
    def each(number: int, measure: str, batch: int | None = None) -> Iterator[Turn]:
        yield from (Turn(number, name, measure, batch) for name, offer in offers.items() if measure in offer)

    for number in range(1, plan.import_repetitions + 1):
        for measure in IMPORTS:
            yield from each(number, measure)
    for batch in plan.batches:
        yield from each(0, FIRST_EPOCH, batch)
        for number in range(1, plan.repetitions + 1):
            yield from each(number, PRODUCTS, batch)
            yield from each(number, TRAFFIC, batch)
            # In either order by turns: what comes first finds the caches as the one before left them.
            kinds = TRAINING if number % 2 else TRAINING[::-1]
            for name, offer in offers.items():
                yield from (Turn(number, name, kind, batch) for kind in kinds if kind in offer)
            if batch == plan.batches[0]:  # so that they, too, have the roofline of the same round
                for measure in INFERENCE:
                    yield from each(number, measure)
    if plan.target is not None:
        for number in range(1, plan.target_repetitions + 1):
            yield from each(number, TARGET)
