"""What a failed vector says to its reader: the case, the difference, the clauses it stands on, the bugs it catches."""

import textwrap

from vae_rosetta.conformance.explainer import MARK, NOTHING
from vae_rosetta.shared import spec
from vae_rosetta.shared.vectors import Vector
from vae_rosetta.shared.vectors.flags import FLAGS

_WIDTH = 100


def text(vector: Vector, dtype: str, difference: str) -> str:
    """A few lines instead of a traceback through the suite, which says nothing about the port.

    Where the explainer names a cause, the other bugs that the vector was made for are left out.
    """
    seen, _, cause = difference.partition(MARK)
    lines = [f"{vector.id} in {dtype}: {vector.description}", "", seen]
    lines += [_wrapped(f"{MARK.lstrip()}{cause}")] if cause else []
    lines += ["", *(_wrapped(f"clause {clause}: {spec.CLAUSES[clause]}") for clause in vector.clauses)]
    for flag in () if cause and not cause.startswith(NOTHING) else vector.flags:
        lines.append(_wrapped(f"caught here, {flag}: {FLAGS[flag].bug} {FLAGS[flag].effect}"))
        lines.append(f"  {FLAGS[flag].source}")
    return "\n".join(lines)


def _wrapped(line: str) -> str:
    return textwrap.fill(line, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
