"""`vae bench compare`: which figures of two runs, or of two backends in one run, differ, and by how much.

Rates are compared as ratios, B to A. Of two runs, each rate is first divided by the machine's speed in the same round:
the geometric mean of what the libraries that both runs have made of the products alone. So a machine that was slower
for everybody in one of the runs cancels. Of two backends in one run, the rates of a round are divided by one another;
more of what the machine does meanwhile cancels so. The interval of a ratio is that of a median, or of a ratio of two,
resampled (Efron 1979): 95 of 100 resamplings of the readings lie inside it.

Readings of one run vary less than runs do: a process gets other addresses, a machine other neighbours, who want its
caches, of which the products say little. Training of the same code was 5 to 11 % slower four hours later, when the
products were as fast as before. A ratio within `BETWEEN_RUNS` of 1, or `WITHIN_RUN`, is therefore no difference,
whatever its interval; a difference is one whose whole interval lies beyond.
With fewer than `FEWEST` readings of a figure in a run, its spread is not known, and nothing is said. A reading taken
while the machine's cores were apart does not count (`benchmarks.cores`).
"""

import json
import statistics
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vae_rosetta.benchmarks import cores
from vae_rosetta.benchmarks.plan import FORMAT, IMPORTS, INFERENCE, PRODUCTS, TRAINING

Json = dict[str, Any]
Reals = npt.NDArray[np.float64]

WITHIN_RUN: Final = 0.05  # relative: two backends that do the same may differ by so much in one run
BETWEEN_RUNS: Final = 0.10  # and one backend in two runs
CONFIDENCE: Final = 0.95
FEWEST: Final = 5
_READABLE: Final = (2, 3, FORMAT)  # 2 does not tell how near the cores were, 3 not what Adam's bytes take
_PREFIX: Final = "vae_rosetta."  # under which modules are installed since format 4; their names are compared without
_RESAMPLINGS: Final = 4000
_SEED: Final = 0  # equal files give equal answers


class Ratio(NamedTuple):
    """One figure, B to A; above 1 means that B is faster."""

    participant: str  # of B
    measure: str
    batch: int | None
    ratio: float
    low: float  # of the interval
    high: float
    readings: int  # in the run that has fewer
    least: float  # relative difference that counts

    @property
    def verdict(self) -> str:
        """`faster`, `slower` or `no difference`, of B; or `too few readings`."""
        if self.readings < FEWEST:
            return "too few readings"
        if self.low > 1.0 + self.least:
            return "faster"
        return "slower" if self.high < 1.0 / (1.0 + self.least) else "no difference"


def read(path: Path) -> Json:
    """A result file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a result file of this benchmark.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; expected results that vae bench --out wrote")
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(report["format"], int) or not report["turns"]:
            raise TypeError("no format or no turns")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: got no results of this benchmark; expected a file that vae bench --out wrote"
        ) from error
    if report["format"] not in _READABLE:
        raise ValueError(
            f"{path}: got results of format {report['format']}; expected {' or '.join(map(str, _READABLE))}"
        )
    return dict(report)


def compare(a: Json, b: Json) -> list[Ratio]:
    """The ratio of every figure that both runs measured, in the order of B.

    Raises:
        ValueError: they have none in common, or were not of the same model.
    """
    if (sizes := a["protocol"]["sizes"]) != b["protocol"]["sizes"]:
        raise ValueError(f"sizes: got {sizes} and {b['protocol']['sizes']}; expected the same in both")
    before, after = _rates(a), _rates(b)
    common = [figure for figure in after if figure in before]
    libraries = _libraries(a) & _libraries(b)
    batches = [batch for batch in b["protocol"]["batches"] if batch in a["protocol"]["batches"]]
    if not (common and libraries and batches):
        raise ValueError("the two runs have no figure in common; expected the same backend and batch size in both")
    speeds = [_Speeds(report, libraries, batches) for report in (a, b)]
    random = np.random.default_rng(_SEED)
    ratios = []
    for figure in common:
        found = [
            np.array([rate / speed.of(figure, number) for number, rate in rates[figure].items()])
            for rates, speed in zip((before, after), speeds)
        ]
        resampled = [_resampled_medians(values, random) for values in found]
        middle = [float(np.median(values)) for values in found]
        ratio, readings = middle[1] / middle[0], min(map(len, found))
        ratios.append(_ratio(figure, ratio, resampled[1] / resampled[0], readings, BETWEEN_RUNS))
    return ratios


def within(report: Json) -> list[Ratio]:
    """The ratio of every figure of each backend to the first one's, taken in the same rounds of one run.

    Raises:
        ValueError: the run has one backend only.
    """
    first, *others = [backend["module"].removeprefix(_PREFIX) for backend in report["backends"]]
    if not others:
        raise ValueError(f"got one run of one backend, {first}; expected a second run or a second backend")
    rates = _rates(report)
    random = np.random.default_rng(_SEED)
    ratios = []
    for figure in (figure for module in others for figure in rates if figure.participant == module):
        found, base = rates[figure], rates.get(figure._replace(participant=first), {})
        if rounds := found.keys() & base.keys():
            paired = np.array([found[number] / base[number] for number in sorted(rounds)])
            middle = float(np.median(paired))
            ratios.append(_ratio(figure, middle, _resampled_medians(paired, random), len(paired), WITHIN_RUN))
    return ratios


def drift(a: Json, b: Json) -> float | None:
    """How many times as fast the machine was in B, by the products alone; None if they have none in common."""
    libraries = _libraries(a) & _libraries(b)
    batches = [batch for batch in b["protocol"]["batches"] if batch in a["protocol"]["batches"]]
    if not (libraries and batches):
        return None
    before, after = (_Speeds(report, libraries, batches).typical for report in (a, b))
    return after / before


class _Figure(NamedTuple):
    participant: str
    measure: str
    batch: int | None


class _Speeds:
    """The machine's speed in every round of a run: geometric mean of the rates of `libraries` at the products alone."""

    def __init__(self, report: Json, libraries: Collection[str], batches: list[int]) -> None:
        rates: dict[tuple[int, int], list[float]] = defaultdict(list)
        for turn in report["turns"]:
            if turn["measure"] == PRODUCTS and turn["participant"] in libraries and turn["batch"] in batches:
                rates[turn["batch"], turn["round"]].append(turn["images"] / turn["seconds"])
        self._of = {key: statistics.geometric_mean(values) for key, values in rates.items()}
        # Inference is measured in the rounds of the first batch size.
        self._batch = batches[0]
        self.typical = statistics.median(self._of.values())

    def of(self, figure: _Figure, number: int) -> float:
        """Images a second when a figure was measured in round `number`."""
        if figure.measure in IMPORTS:  # before all rounds
            return self.typical
        return self._of[figure.batch or self._batch, number]


def _libraries(report: Json) -> set[str]:
    return {turn["participant"] for turn in report["turns"] if turn["measure"] == PRODUCTS}


def _rates(report: Json) -> Mapping[_Figure, dict[int, float]]:
    """Every reading that counts of each figure, by its round: images or imports a second."""
    nearest = report["machine"].get("nearest_round_trip_ns")
    rates: dict[_Figure, dict[int, float]] = defaultdict(dict)
    for turn in report["turns"]:
        if turn["measure"] in (*TRAINING, *INFERENCE, *IMPORTS):
            found = rates[_Figure(turn["participant"].removeprefix(_PREFIX), turn["measure"], turn["batch"])]
            if not cores.apart(turn.get("round_trip_ns"), nearest):
                found[turn["round"]] = (turn["images"] or 1) / turn["seconds"]
    return {figure: found for figure, found in rates.items() if found}


def _ratio(figure: _Figure, ratio: float, resampled: Reals, readings: int, least: float) -> Ratio:
    low, high = np.quantile(resampled, [(1.0 - CONFIDENCE) / 2.0, (1.0 + CONFIDENCE) / 2.0])
    return Ratio(*figure, ratio, float(low), float(high), readings, least)


def _resampled_medians(values: Reals, random: np.random.Generator) -> Reals:
    """Medians of resamplings of `values` (n,), as many as there are resamplings."""
    chosen = random.integers(len(values), size=(_RESAMPLINGS, len(values)))
    medians: Reals = np.median(values[chosen], axis=1)
    return medians
