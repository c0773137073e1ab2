"""Whether the tolerances are neither too tight nor too loose: `vae conformance headroom CERTIFICATE.json ...`.

Headroom is the largest error of a quantity in units of its tolerance. It is judged by families: a family is one kind of
quantity (the gradients, Adam's v, the objectives ...) of one vector in one precision, and its headroom with a backend
is the greatest over its tensors.

Too tight: a backend that conforms uses more than MOST of a tolerance somewhere, or one of the legitimate ways to
evaluate the specification (`ensemble.WAYS`) is rejected. Every certificate is judged by itself. A way may use more than
MOST: the error of a constant held in float32 is the same in every port, and gets no safety (shared/rounding.py).

Too loose: no legitimate way uses more than LEAST of a family. The rounding model then lets pass what no correct port
does, and a wrong port might hide there. Backends have no say in this: three that choose the same form of an expression
show what that form needs, and not what a fourth may need. One small error proves nothing, since handmade numbers are
often exact in any precision and a random error is small now and then. So a family is judged only if it has ENOUGH
different elements with a tolerance above 0. Where it is 0, nothing but the exact answer passes, and equal elements of a
tensor (those of a thousand handmade weights, all alike) err alike, or not at all. A tolerance is ten standard
deviations of the error in the model. Independent errors five times as small as the model's, which have a standard
deviation of 0.02, all stay below 0.01 with a probability of 0.38^16 = 2e-7, in one way alone. So a family below 0.01
means that the model is wrong by more than five.

Families are not merged over vectors: a tolerance that is right in one vector would hide one that is a thousand times
too loose in another.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from vae_rosetta.conformance import certificate, comparator, ensemble, matrix, report
from vae_rosetta.conformance.outcome import Verdict
from vae_rosetta.shared import spec, vectors
from vae_rosetta.shared.vectors import Vector, operations

MOST: Final = 0.5  # of a tolerance that a backend may use
LEAST: Final = 0.01  # that some legitimate way uses at least
ENOUGH: Final = 16  # different elements that a family needs to be judged too loose
_NEEDED_WIDTH: Final = 6


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
    conforms: bool
    used: Mapping[Family, tuple[float, str]]  # the greatest headroom and its tensor


class Needs(NamedTuple):
    """What legitimate arithmetic needs."""

    families: dict[Family, float]  # those that are judged: the greatest headroom found
    rejected: list[str]  # faults: ways that do not pass
    skipped: list[str]  # what could not be evaluated, and why


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


def needs(chosen: Iterable[Vector] | None = None) -> Needs:
    """What legitimate arithmetic needs of the tolerances of `chosen`, or all, vectors: a minute of work for all.

    More ways are tried until every family of a vector is above LEAST: what is found is what is needed at least.
    """
    elements, found = families(), Needs({}, [], [])
    for vector in vectors.load().values() if chosen is None else chosen:
        for dtype in vectors.graded_in(vector.arguments):
            wanted = {family for family in elements if (family.vector, family.dtype) == (vector.id, dtype)}
            if wanted:
                _need(vector, dtype, {family for family in wanted if elements[family] >= ENOUGH}, found)
    return found


def _need(vector: Vector, dtype: str, judged: Set[Family], found: Needs) -> None:
    """Adds what one vector needs in one precision."""
    greatest = dict.fromkeys(judged, 0.0)
    try:
        for used in ensemble.used(vector, dtype):
            for quantity, ratio in used.items():
                family = Family(vector.id, kind(vector.chapter, quantity), dtype)
                if family in greatest:
                    greatest[family] = max(ratio, greatest[family])
            if all(need >= LEAST for need in greatest.values()):
                break
    except ModuleNotFoundError as error:  # its data set is not installed
        found.skipped.append(f"{vector.id}, {dtype}: {error}")
        return
    except comparator.Mismatch as mismatch:
        found.rejected.append(f"TOO TIGHT: legitimate arithmetic fails {vector.id} in {dtype}: {mismatch}")
    found.families.update(greatest)


def faults(graded: Sequence[Graded], elements: Mapping[Family, int], needed: Needs) -> list[str]:
    """Everything that is too tight or too loose, a line each."""
    listed = [f"{one.name}: does not conform, so that its headroom says nothing" for one in graded if not one.conforms]
    for one in graded:
        listed += [
            f"TOO TIGHT: {one.name} uses {used:.3f} of the tolerance of {family} ({tensor}); expected at most {MOST}"
            for family, (used, tensor) in one.used.items()
            if used > MOST and family in elements
        ]
    listed += needed.rejected
    listed += [
        f"TOO LOOSE: legitimate arithmetic uses no more than {greatest:.4f} of the tolerance of {family}"
        for family, greatest in needed.families.items()
        if greatest < LEAST
    ]
    return listed


def table(
    graded: Sequence[Graded], elements: Mapping[Family, int], needed: Needs, *, every: bool = False
) -> Iterator[str]:
    """The greatest headroom of each kind and backend, and the least that a judged family of the kind needs; or of every
    family by itself."""
    groups: dict[str, list[Family]] = {}
    for family in elements:
        chapter = family.vector.split("/")[0]
        groups.setdefault(str(family if every else family._replace(vector=chapter)), []).append(family)
    first = max(map(len, groups)) + 2
    heads = matrix.heads([one.name for one in graded], max(matrix.WIDTH - first - _NEEDED_WIDTH, 0))
    widths = [*matrix.widths(heads), _NEEDED_WIDTH]
    yield matrix.row("error / tolerance", [*heads, "needed"], first, widths)
    for name, members in sorted(groups.items()):
        cells = [_greatest(one, members) for one in graded]
        least = min((needed.families[family] for family in members if family in needed.families), default=None)
        yield matrix.row(name, [*cells, "-" if least is None else f"{least:.4f}"], first, widths)
    yield from (f"{head}: {one.name}" for head, one in zip(heads, graded, strict=True) if head != one.name)


def verdict(elements: Mapping[Family, int], needed: Needs, wrong: Sequence[str]) -> Iterator[str]:
    """The last lines."""
    yield f"needed: at least, by {len(ensemble.WAYS)} ways to evaluate the specification"
    yield f"looked for what is too loose: {len(needed.families)} families of {len(elements)}, which are large enough"
    yield from (f"not looked at: {reason}" for reason in needed.skipped)
    yield f"faults: {len(wrong)}" if wrong else "no tolerance is too tight or too loose"


def _graded(one: certificate.Certificate) -> Graded:
    used: dict[Family, tuple[float, str]] = {}
    for entry in one["headroom"]:
        name = kind(entry["vector"].split("/")[0], entry["quantity"])
        family = Family(entry["vector"], name, entry["dtype"])
        used[family] = max(used.get(family, (0.0, "")), (entry["ratio"], entry["quantity"]))
    run: dict[str, Any] = one["run"]
    return Graded(matrix.short(run), one["verdict"] != Verdict.FAILS, used)


def _greatest(one: Graded, members: Sequence[Family]) -> str:
    found = [one.used[family][0] for family in members if family in one.used]
    return f"{max(found):.4f}" if found else "-"
