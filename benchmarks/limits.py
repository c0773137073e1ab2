"""The roofline of a run: of the libraries that made the products alone, the one that was fastest, batch by batch."""

import statistics
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple


class Product(NamedTuple):
    """One turn of a library."""

    round: int
    participant: str
    batch: int
    rate: float  # images a second


class Limit(NamedTuple):
    """The roofline at one batch size."""

    participant: str  # the library that was fastest, by its median
    rates: dict[int, float]  # images a second, by round


def limits(products: Iterable[Product]) -> dict[int, Limit]:
    """The roofline at every batch size."""
    rates: dict[int, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for number, participant, batch, rate in products:
        rates[batch][participant][number] = rate
    return {batch: _fastest(libraries) for batch, libraries in rates.items()}


def _fastest(libraries: dict[str, dict[int, float]]) -> Limit:
    best = max(libraries, key=lambda name: statistics.median(libraries[name].values()))
    return Limit(best, libraries[best])
