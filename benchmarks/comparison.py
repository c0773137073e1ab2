"""`python -m benchmarks compare A.json B.json`: which figures of two runs differ, and by how much.

Rates are compared as ratios, B to A. They are first divided by the roofline, training by that of the same round, all
else by the run's median, so that a machine that was slower for everybody in one of the runs cancels. The interval of a
ratio is that of the ratio of two medians, resampled (Efron 1979): 99 of 100 resamplings of the readings lie inside it.

Readings of one run vary less than runs do: a process gets other addresses, a machine other neighbours. A ratio within
`SMALLEST` of 1 is therefore no difference, whatever its interval; a difference is one whose whole interval lies beyond.
With fewer than `FEWEST` readings of a figure in a run, its spread is not known, and nothing is said.

What changes from one run to the next and lasts longer than a run, no resampling of its readings can know. On a shared
virtual machine the medians of 14 equal runs of the PyTorch backend differed by up to 1.9 times. There, both candidates
belong into one run, as two modules, which takes them in turn.
"""

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks import limits
from benchmarks.plan import FORMAT, IMPORTS, INFERENCE, TRAINING

Json = dict[str, Any]
Reals = npt.NDArray[np.float64]

SMALLEST: Final = 0.05  # relative; two runs of the same code may differ by so much
CONFIDENCE: Final = 0.99
FEWEST: Final = 5
_RESAMPLINGS: Final = 4000
_SEED: Final = 0  # equal files give equal answers


class Ratio(NamedTuple):
    """One figure of one participant in two runs: B to A; above 1 means that B is faster."""

    participant: str
    measure: str
    batch: int | None
    ratio: float
    low: float  # of the interval
    high: float
    readings: int  # in the run that has fewer

    @property
    def verdict(self) -> str:
        """`faster`, `slower` or `no difference`, of B; or `too few readings`."""
        if self.readings < FEWEST:
            return "too few readings"
        if self.low > 1.0 + SMALLEST:
            return "faster"
        return "slower" if self.high < 1.0 / (1.0 + SMALLEST) else "no difference"


def read(path: Path) -> Json:
    """A result file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a result file of this benchmark.
    """
    if not path.is_file():
        raise FileNotFoundError(f"got {path}; there is no such file")
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(report["format"], int) or not report["turns"]:
            raise TypeError("no format or no turns")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: got no results of this benchmark; expected a file that --out wrote") from error
    if report["format"] != FORMAT:
        raise ValueError(f"{path}: got results of format {report['format']}; expected format {FORMAT}")
    return dict(report)


def compare(a: Json, b: Json) -> list[Ratio]:
    """The ratio of every figure that both runs measured, in the order of B.

    Raises:
        ValueError: they have none in common, or were not of the same model.
    """
    if (sizes := a["protocol"]["sizes"]) != b["protocol"]["sizes"]:
        raise ValueError(f"sizes: got {sizes} and {b['protocol']['sizes']}; expected the same in both")
    before, after = _figures(a), _figures(b)
    ratios = [_ratio(figure, before[figure], after[figure]) for figure in after if figure in before]
    if not ratios:
        raise ValueError("the two runs have no figure in common; expected the same backend and batch size in both")
    return ratios


def drift(a: Json, b: Json) -> float | None:
    """How many times as fast the roofline was in B, over the batch sizes of both; None if they share none."""
    rates = [
        {limit["batch"]: limit["images_per_second"]["median"] for limit in report["roofline"]["batches"]}
        for report in (a, b)
    ]
    shared = rates[0].keys() & rates[1].keys()
    return float(np.median([rates[1][batch] / rates[0][batch] for batch in shared])) if shared else None


class _Figure(NamedTuple):
    participant: str
    measure: str
    batch: int | None


def _figures(report: Json) -> dict[_Figure, Reals]:
    """Every reading of each figure: images or imports a second, over those of the roofline."""
    turns = report["turns"]
    roofline = limits.of_turns(turns)
    typical = float(np.median([rate for limit in roofline.values() for rate in limit.rates.values()]))
    figures: dict[_Figure, list[float]] = {}
    for turn in turns:
        if turn["measure"] in (*TRAINING, *INFERENCE, *IMPORTS):
            rate = (turn["images"] or 1) / turn["seconds"]
            limit = roofline[turn["batch"]].rates[turn["round"]] if turn["measure"] in TRAINING else typical
            figure = _Figure(turn["participant"], turn["measure"], turn["batch"])
            figures.setdefault(figure, []).append(rate / limit)
    return {figure: np.array(values) for figure, values in figures.items()}


def _ratio(figure: _Figure, before: Reals, after: Reals) -> Ratio:
    random = np.random.default_rng(_SEED)
    low, high = np.quantile(
        _resampled_medians(after, random) / _resampled_medians(before, random),
        [(1.0 - CONFIDENCE) / 2.0, (1.0 + CONFIDENCE) / 2.0],
    )
    return Ratio(
        *figure, float(np.median(after) / np.median(before)), float(low), float(high), min(map(len, (before, after)))
    )


def _resampled_medians(values: Reals, random: np.random.Generator) -> Reals:
    """Medians of resamplings of `values` (n,), as many as there are resamplings."""
    chosen = random.integers(len(values), size=(_RESAMPLINGS, len(values)))
    medians: Reals = np.median(values[chosen], axis=1)
    return medians
