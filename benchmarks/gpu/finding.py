"""What a part finds: a line of the table."""

import math
from typing import NamedTuple

Json = dict[str, "str | float | bool | None"]


class Finding(NamedTuple):
    """A line."""

    what: str
    value: float | str
    unit: str = ""
    good: bool | None = None  # None: a figure, which is neither right nor wrong
    note: str = ""

    def json(self) -> Json:
        """For JSON, which has no infinity and no NaN."""
        value = self.value
        if isinstance(value, float) and not math.isfinite(value):
            value = str(value)
        return {**self._asdict(), "value": value}
