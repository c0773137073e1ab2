"""What a profile holds."""

from typing import NamedTuple


class Operation(NamedTuple):
    """All calls of one operation."""

    name: str
    seconds: float


class Profile(NamedTuple):
    """What an epoch's calls to `train` spent their time on."""

    seconds: float  # on the clock
    steps: int
    operations: list[Operation]  # longest first
