"""`python -m conformance headroom CERTIFICATE.json ...`: whether the tolerances are neither too tight nor too loose.

Headroom is the largest error of a quantity in units of its tolerance. It is judged by families: a family is one kind of
quantity (the gradients, Adam's v, the objectives ...) of one vector in one precision, and its headroom with a backend
is the greatest over its tensors.

Too tight: a backend that conforms uses more than MOST of a tolerance somewhere. Every certificate is judged by itself.

Too loose: the greatest headroom of a family, over all backends, is below LEAST: the rounding model (shared/rounding.py)
lets pass what no port does, and a wrong port might hide there. One small error proves nothing, since handmade numbers
are often exact in any precision and a random error is small now and then. So a family is judged only

* with backends of FRAMEWORKS frameworks or more, the oracle not counted: it rounds nothing but what it stores;
* if it has ENOUGH different elements with a tolerance above 0: where it is 0, nothing but the exact answer passes, and
  equal elements of a tensor (those of a thousand handmade weights, all alike) err alike, or not at all. A tolerance is
  ten standard deviations of the error in the model. Independent errors of a port five times as exact as that, which
  have a standard deviation of 0.02, all stay below 0.01 with a probability of 0.38^16 = 2e-7. So a family below 0.01
  means that the model is wrong by more than five, and a port that only rounds well does not raise the alarm.

Families are not merged over vectors: a tolerance that is right in one vector would hide one that is a thousand times
too loose in another.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from vae_rosetta.conformance import certificate, matrix, report
from vae_rosetta.conformance.outcome import Verdict
from vae_rosetta.shared import spec, vectors
from vae_rosetta.shared.vectors import operations

USAGE: Final = """\
usage: python -m conformance headroom [--all] CERTIFICATE.json ...

Prints how much of the tolerances each backend uses, from the certificates that --report wrote. Exit code 0: no backend
uses more than half of one, and where three frameworks were graded, none is a hundred times too wide for all of them;
1: not so; 4: a file is not a certificate, or was graded with other vectors than those installed. --all: every family of
quantities by itself, instead of the greatest of its kind.
"""

MOST: Final = 0.5  # of a tolerance that a backend may use
LEAST: Final = 0.01  # that some backend uses at least
ENOUGH: Final = 16  # different elements that a family needs to be judged too loose
FRAMEWORKS: Final = 3  # that must have been graded
_ORACLE: Final = "vae_rosetta.shared.oracle"
_LEAST_WIDTH: Final = 6


class Family(NamedTuple):
    """One kind of quantity of one vector in one precision."""

    vector: str
    kind: str
    dtype: str

    def __str__(self) -> str:
        return f"{self.vector}: {self.kind}, {self.dtype}"


class Graded(NamedTuple):
    """What one backend uses."""

    name: str
    framework: str  # empty for the oracle
    conforms: bool
    used: Mapping[Family, tuple[float, str]]  # the greatest headroom and its tensor


def main(arguments: list[str]) -> int:
    """The sub-command; returns its exit code."""
    options = [argument for argument in arguments if argument.startswith("-")]
    if {"-h", "--help"} & {*options}:
        print(USAGE, end="")
        return 0
    paths = [Path(argument) for argument in arguments if argument not in options]
    if not paths or {*options} - {"--all"}:
        print(USAGE, end="", file=sys.stderr)
        return 4
    try:
        graded = read(paths)
    except certificate.CertificateError as error:
        print(f"headroom: {error}", file=sys.stderr)
        return 4
    elements = families()
    wrong = faults(graded, elements)
    lines = [*table(graded, elements, every=bool(options)), "", *wrong, *verdict(graded, elements, wrong)]
    print("\n".join(lines))
    return int(bool(wrong))


def read(paths: Sequence[Path]) -> list[Graded]:
    """What the backends of these certificates use.

    Raises:
        certificate.CertificateError: one cannot be read, or its vectors are not those of this installation.
    """
    found = [certificate.read(path) for path in paths]
    for path, one in zip(paths, found, strict=True):
        if one["run"]["vectors_sha256"] != report.vectors_sha256():
            raise certificate.CertificateError(f"{path}: graded with other vectors than this installation's")
    return [_graded(one) for one in found]


def families() -> dict[Family, int]:
    """Every family of the vectors that asks for more than exact answers, with the number of its different elements that
    may err at all."""
    found: Counter[Family] = Counter()
    for vector in vectors.load().values():
        for dtype in vectors.graded_in(vector.arguments) if vector.operation in operations.OPERATIONS else ():
            for quantity, tolerance in vector.tolerance(dtype).items():
                inexact = vector.expected[quantity][tolerance > 0.0]
                found[Family(vector.id, kind(vector.chapter, quantity), dtype)] += np.unique(inexact).size
    return {family: elements for family, elements in found.items() if elements}


def kind(chapter: str, quantity: str) -> str:
    """What sort of quantity a tensor is: adam.m, adam.v, objective, params, gradient, or what it is called."""
    if quantity.startswith(("adam.", "objective")):
        return ".".join(quantity.split(".")[: 2 if quantity.startswith("adam.") else 1])
    if quantity.startswith(spec.PARAMETER_NAMES):
        return "gradient" if chapter == "gradients" else "params"
    return quantity


def faults(graded: Sequence[Graded], elements: Mapping[Family, int]) -> list[str]:
    """Everything that is too tight or too loose, a line each."""
    listed = [f"{one.name}: does not conform, so that its headroom says nothing" for one in graded if not one.conforms]
    for one in graded:
        listed += [
            f"TOO TIGHT: {one.name} uses {used:.3f} of the tolerance of {family} ({tensor}); expected at most {MOST}"
            for family, (used, tensor) in one.used.items()
            if used > MOST and family in elements
        ]
    for family, greatest in judged(graded, elements).items():
        if greatest < LEAST:
            listed.append(f"TOO LOOSE: no backend uses more than {greatest:.4f} of the tolerance of {family}")
    return listed


def judged(graded: Sequence[Graded], elements: Mapping[Family, int]) -> dict[Family, float]:
    """The families that may be found too loose, each with its greatest headroom over the backends."""
    found = {}
    for family in (family for family, count in elements.items() if count >= ENOUGH):
        true = [one for one in graded if one.framework and family in one.used]
        if len({one.framework for one in true}) >= FRAMEWORKS:
            found[family] = max(one.used[family][0] for one in true)
    return found


def table(graded: Sequence[Graded], elements: Mapping[Family, int], *, every: bool = False) -> Iterator[str]:
    """The greatest headroom of each kind and backend, and the least that a judged family of the kind has; or of every
    family by itself."""
    groups: dict[str, list[Family]] = {}
    for family in elements:
        chapter = family.vector.split("/")[0]
        groups.setdefault(str(family if every else family._replace(vector=chapter)), []).append(family)
    greatest = judged(graded, elements)
    first = max(map(len, groups)) + 2
    heads = matrix.heads([one.name for one in graded], max(matrix.WIDTH - first - _LEAST_WIDTH, 0))
    widths = [*matrix.widths(heads), _LEAST_WIDTH]
    yield matrix.row("error / tolerance", [*heads, "least"], first, widths)
    for name, members in sorted(groups.items()):
        cells = [_greatest(one, members) for one in graded]
        least = min((greatest[family] for family in members if family in greatest), default=None)
        yield matrix.row(name, [*cells, "-" if least is None else f"{least:.4f}"], first, widths)
    yield from (f"{head}: {one.name}" for head, one in zip(heads, graded, strict=True) if head != one.name)


def verdict(graded: Sequence[Graded], elements: Mapping[Family, int], wrong: Sequence[str]) -> Iterator[str]:
    """The last lines."""
    count = len(judged(graded, elements))
    scope = (
        f"of {len(elements)} families {count} were large enough" if count else f"which takes {FRAMEWORKS} frameworks"
    )
    yield f"looked for what is too loose: {'yes' if count else 'no'}, {scope}"
    yield f"faults: {len(wrong)}" if wrong else "no tolerance is too tight or too loose"


def _graded(one: certificate.Certificate) -> Graded:
    used: dict[Family, tuple[float, str]] = {}
    for entry in one["headroom"]:
        name = kind(entry["vector"].split("/")[0], entry["quantity"])
        family = Family(entry["vector"], name, entry["dtype"])
        used[family] = max(used.get(family, (0.0, "")), (entry["ratio"], entry["quantity"]))
    run: dict[str, Any] = one["run"]
    framework = "" if run["module"] == _ORACLE else run["describe"].get("framework", certificate.subject(run))
    return Graded(matrix.short(run), framework, one["verdict"] != Verdict.FAILS, used)


def _greatest(one: Graded, members: Sequence[Family]) -> str:
    found = [one.used[family][0] for family in members if family in one.used]
    return f"{max(found):.4f}" if found else "-"
