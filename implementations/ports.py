"""The ports: one row for each. Whoever needs to know about ports reads the rows, which import no framework.

One word names a port everywhere: its folder `<word>_vae`, its extra in `pyproject.toml`, `--backend <word>`,
`nox -s "conformance(<word>)"`. A row names the packages that a port needs; their least versions are the extra's.
"""

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, cast

if TYPE_CHECKING:  # what is known of a port without importing it costs nothing, not even NumPy
    from vae_rosetta.shared.contract import Backend


class Program(NamedTuple):
    """What answers the requests of `conformance/PROTOCOL.md`, for a port that is not written in Python."""

    file: str  # what the build leaves, in the port's folder
    build: tuple[str, ...]  # the command that builds it, run in the port's folder
    runner: tuple[str, ...] = ()  # what runs the file where it does not run by itself: ("java", "-jar")


class Port(NamedTuple):
    """What the project knows of a port: a row."""

    word: str
    language: str
    module: str  # `describe` and `load`: see `shared/contract.py`
    packages: tuple[str, ...] = ()  # beside NumPy, as they are imported and as they are installed
    # Beyond the forward passes and their losses: a model's abilities, as the suite calls them, and dtypes of `load`.
    offers: frozenset[str] = frozenset()
    program: Program | None = None  # what the module runs

    @property
    def folder(self) -> Path:
        """Where its files are; the oracle's are in `shared`."""
        return Path(__file__).with_name(f"{self.word}_vae")

    def command(self) -> list[str]:
        """The words that run its program.

        Raises:
            ModuleNotFoundError: it is not built; the message says how to build it.
        """
        assert self.program is not None
        if lacks := self.lacks():
            raise ModuleNotFoundError(f"backend: {self.word!r} {lacks}")
        return [*self.program.runner, str(self.folder / self.program.file)]

    def missing_packages(self) -> list[str]:
        """The packages that it needs and that are not installed."""
        return [package for package in self.packages if importlib.util.find_spec(package) is None]

    def lacks(self) -> str:
        """Why it cannot be used here and what helps, in one line; empty if it can."""
        if missing := self.missing_packages():
            return f"needs {', '.join(missing)}: not installed; try: pip install 'vae-rosetta[{self.word}]'"
        if self.program is not None and not (self.folder / self.program.file).is_file():
            return f"is not built; run: cd {self.folder} && {' '.join(self.program.build)}"
        return ""


FULL: Final = frozenset({"train", "sample", "loss_on_probabilities", "float64"})
MIXED: Final = "mixed_bfloat16"

_HERE: Final = "vae_rosetta.implementations"
_ROWS: Final = (  # the first that can be used is the default
    Port("torch", "Python", f"{_HERE}.torch_vae", ("torch",), FULL | {MIXED}),
    Port("tensorflow", "Python", f"{_HERE}.tensorflow_vae", ("tensorflow", "keras"), FULL | {MIXED}),
    Port("jax", "Python", f"{_HERE}.jax_vae", ("jax", "flax", "optax"), FULL | {MIXED}),
    Port("oracle", "Python", "vae_rosetta.shared.oracle", (), FULL),
    Port("c", "C", f"{_HERE}.c_vae", (), frozenset({"train", "float64"}), Program("build/vae-c", ("make",))),
)
PORTS: Final[Mapping[str, Port]] = MappingProxyType({port.word: port for port in _ROWS})
# What the demonstration compares and the benchmark measures if none is named: neither the reference, nor programs, each
# request to which goes through files.
FRAMEWORKS: Final = tuple(port for port in _ROWS if port.word != "oracle" and port.program is None)


def installed() -> list[str]:
    """The ports that can be used here, told without importing them; `oracle` is always among them."""
    return [port.word for port in PORTS.values() if not port.lacks()]


def module_of(name: str) -> str:
    """The dotted name of the module that a port's word stands for; any other name is a module's own.

    Raises:
        ModuleNotFoundError: the port cannot be used here; the message says what helps.
    """
    if name not in PORTS:
        return name
    if lacks := PORTS[name].lacks():
        raise ModuleNotFoundError(f"MODULE: {name!r} {lacks}")
    return PORTS[name].module


def backend(name: str) -> "Backend":
    """The module of backend `name`, imported now.

    Raises:
        ValueError: unknown name; the message lists the known ones.
        ModuleNotFoundError: its framework is not installed, or its program not built; the message says what helps.
    """
    if name not in PORTS:
        raise ValueError(f"backend: got {name!r}; expected one of {', '.join(PORTS)}")
    if lacks := PORTS[name].lacks():
        raise ModuleNotFoundError(f"backend: {name!r} {lacks}")
    return cast("Backend", importlib.import_module(PORTS[name].module))
