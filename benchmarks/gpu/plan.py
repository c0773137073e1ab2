"""Which parts a run has, how much each does, and how long it may take."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Final, NamedTuple

from vae_rosetta.implementations import ports
from vae_rosetta.shared import checks

HERE: Final = "vae_rosetta.benchmarks.gpu"
LIMIT: Final = {"cuda": 360.0, "cpu": 420.0}  # seconds of a whole run; on two idle cores it takes two to three minutes


class Amounts(NamedTuple):
    """How much is done."""

    chapters: tuple[str, ...]  # of the conformance suite; none: all
    mixed_vectors: int | None  # None: all
    seeds: int
    curve_images: int
    curve_epochs: int
    images: int  # of an epoch that is timed
    batches: tuple[int, ...]
    compiled_batches: tuple[int, ...]  # under torch.compile, which compiles anew for each
    repetitions: int
    turn_seconds: float
    used_images: int  # that the commands are given


AMOUNTS: Final = {
    "full": Amounts((), None, 50, 4000, 3, 65_536, (128, 2048, 16_384), (128, 2048), 5, 0.25, 10_000),
    "small": Amounts(("forward", "loss"), 2, 1, 640, 1, 1024, (128, 512), (128,), 1, 0.02, 200),
}


class Part(NamedTuple):
    """A process of its own."""

    kind: str  # the module of this package that does it
    subject: str  # a port's word, or what else is measured
    variant: str  # dtype, or what else tells two parts of one kind and subject apart
    device: str  # "cuda" or "cpu"; in a run on a GPU, some are graded on the CPU for comparison
    seconds: float  # that it may take
    needs: tuple[str, ...] = ()  # packages to import
    amounts: str = "small"  # or "full", of `AMOUNTS`
    alone: bool = False  # its figures are of speed: nothing else runs meanwhile

    @property
    def name(self) -> str:
        """One line's worth."""
        return " ".join(filter(None, (self.kind, self.subject, self.variant)))

    def missing(self) -> list[str]:
        """Packages that are not installed."""
        return [package for package in self.needs if find_spec(package) is None]


def parts(device: str, words: Sequence[str] = ()) -> list[Part]:
    """The parts of a run on `device`, the most important first; if there are `words`, those with one in their names.

    Raises:
        ValueError: a word is in no name.
    """
    found = [*_graded(device), *_timed(device)]
    for word in words:
        if not any(word in part.name for part in found):
            kinds = ", ".join(dict.fromkeys(part.kind for part in found))
            raise ValueError(f"--part: got {word!r}; expected a part of a name, such as {kinds}, torch, float64")
    amounts = "full" if device == "cuda" else "small"
    return [part._replace(amounts=amounts) for part in found if not words or any(word in part.name for word in words)]


def _graded(device: str) -> list[Part]:
    """What may run side by side."""
    found = []
    for port in ports.FRAMEWORKS:
        suite = (*port.packages, "pytest")
        for dtype in checks.PRECISIONS:
            if _is_offered(port, dtype) and (dtype == "float32" or _in_full(port, device)):
                found.append(Part("certificate", port.word, dtype, device, 150, suite))
        found.append(Part("curves", port.word, "", device, 90, port.packages))
        if _in_full(port, device):
            found.append(Part("seeds", port.word, "", device, 150, port.packages))
            found.append(Part("uses", port.word, "", device, 150, (*port.packages, "rich")))
        if device != "cpu":  # so that both headrooms stand side by side
            found.append(Part("certificate", port.word, "float32 on cpu", "cpu", 150, suite))
    return found


def _timed(device: str) -> list[Part]:
    def throughput(dtype: str) -> list[Part]:
        chosen = [p for p in ports.FRAMEWORKS if _is_offered(p, dtype) and (dtype == "float32" or _in_full(p, device))]
        return [Part("throughput", port.word, dtype, device, 60, port.packages, alone=True) for port in chosen]

    return [
        *throughput("float32"),
        Part("products", "torch", "", device, 40, ("torch",), alone=True),
        Part("products", "jax", "", device, 40, ("jax",), alone=True),
        Part("listing", "torch", "", device, 60, ("torch",), alone=True),
        *throughput(checks.MIXED),
        Part("listing", "torch", "compiled", device, 90, ("torch",), alone=True),
    ]


def _is_offered(port: ports.Port, dtype: str) -> bool:
    return dtype != checks.MIXED or ports.MIXED in port.offers


def _in_full(port: ports.Port, device: str) -> bool:
    """Whether a port does every kind of part. On the CPU the first does: that tries the script, and not the ports."""
    return device == "cuda" or port == ports.FRAMEWORKS[0]
