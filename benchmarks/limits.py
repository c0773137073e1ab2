"""The rooflines of a run, batch by batch: the products alone, and the products and Adam's bytes.

Each is that of the fastest library. The second takes the time of both, one after the other, by the fastest at each: a
step that makes its products as fast as any library does, and then reads and writes what Adam must as fast as any. It is
the limit that can be reached; the first is what a step without an optimizer would be held to.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple


class Turn(NamedTuple):
    """One turn of a library, at the products or at Adam's traffic."""

    round: int
    participant: str
    batch: int
    rate: float  # images a second


class Limit(NamedTuple):
    """A roofline at one batch size."""

    participant: str  # the library that was fastest, by its median
    rates: dict[int, float]  # images a second, by round


def limits(turns: Iterable[Turn]) -> dict[int, Limit]:
    """The roofline at every batch size."""
    rates: dict[int, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for number, participant, batch, rate in turns:
        rates[batch][participant][number] = rate
    return {batch: _fastest(libraries) for batch, libraries in rates.items()}


def one_after_the_other(products: Limit, traffic: Limit) -> dict[int, float]:
    """Images a second, by round, of what does both."""
    return {
        number: 1.0 / (1.0 / rate + 1.0 / traffic.rates[number])
        for number, rate in products.rates.items()
        if number in traffic.rates
    }


def _fastest(libraries: dict[str, dict[int, float]]) -> Limit:
    best = max(libraries, key=lambda name: statistics.median(libraries[name].values()))
    return Limit(best, libraries[best])
