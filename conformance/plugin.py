"""The pytest plugin: names the backend under test, hands its models to the chapters, and reports the headroom.

Options live here and carry a prefix, because a conftest.py cannot declare options under `--pyargs`
(pytest-dev/pytest#1596) and a stranger's own may already use the plain word. The markers and the strictness are set
here too: a stranger's settings do not decide what a pass means.
"""

import importlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pytest

from conformance import comparator, probe
from shared import checks, spec, vectors
from shared.contract import Array, Backend, FullModel, Tensors
from shared.vectors import Vector, operations

_HEADROOM: Final = pytest.StashKey[dict[tuple[str, str], float]]()
_BACKEND: Final = pytest.StashKey[Backend]()
_UNTOUCHED: Final = pytest.StashKey[dict[str, FullModel]]()

# What a model must have for each ability; a model without it is graded on the rest.
ABILITIES: Final = {"train": ("gradients", "train", "state", "load_state"), "sample": ("sample", "generate")}


class Grader:
    """The backend under test in one precision."""

    def __init__(
        self,
        backend: Backend,
        dtype: str,
        device: str = "auto",
        headroom: dict[tuple[str, str], float] | None = None,
        untouched: dict[str, FullModel] | None = None,
    ) -> None:
        self.backend, self.dtype, self._device = backend, dtype, device
        self._headroom = {} if headroom is None else headroom
        self._untouched = {} if untouched is None else untouched

    @property
    def eps(self) -> float:
        """One unit in the last place of 1."""
        return float(np.finfo(self.dtype).eps)

    def load(self, params: Tensors) -> FullModel:
        """A model of the backend, holding `params`, handed over read-only: arguments must not be changed."""
        return self.backend.load(_read_only(params), dtype=self.dtype, device=self._device)

    def untouched(self) -> FullModel:
        """A model with the fixture `params`, made once for all tests that change nothing in it: some take long to load,
        and compile for each model anew."""
        if self.dtype not in self._untouched:
            self._untouched[self.dtype] = self.load(_smallest())
        return self._untouched[self.dtype]

    def check(self, vector: Vector) -> None:
        """Asks the backend what the vector asks, and compares.

        Raises:
            comparator.Mismatch: the answer is not the oracle's.
        """
        actual = operations.OPERATIONS[vector.operation](self.load, _read_only(vector.inputs), vector.arguments)
        found = comparator.compare(actual, vector.expected, vector.tolerance(self.dtype), self.dtype)
        for name, ratio in found.items():
            key = (f"{vector.id}: {name}", self.dtype)
            self._headroom[key] = max(ratio, self._headroom.get(key, 0.0))

    def require(self, ability: str) -> None:
        """Skips the calling test, saying so, where the backend does not declare an ability by having its methods."""
        methods = {name for name in ABILITIES[ability] if not callable(getattr(self.untouched(), name, None))}
        if methods:
            pytest.skip(f"absent ability {ability!r}: the model has no {', '.join(sorted(methods))}")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vae", "VAE conformance")
    group.addoption("--vae-backend", metavar="MODULE", help="dotted name of the backend module to grade")
    group.addoption("--vae-dtype", choices=checks.DTYPES, help="grade this precision only")
    group.addoption("--vae-device", choices=checks.DEVICES, default="auto", help="where the backend runs")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "chapter(name): runs the golden vectors of a chapter")
    config.addinivalue_line("markers", "ability(name): needs an optional ability of the backend")
    config.addinivalue_line("markers", "clause(*ids): the clauses of the specification that the test stands on")
    name = config.getoption("--vae-backend")
    if not name:
        raise pytest.UsageError("--vae-backend: expected the dotted name of the module to grade")
    try:
        backend = importlib.import_module(name)
    except ImportError as error:
        raise pytest.UsageError(f"--vae-backend: cannot import {name!r}: {error}") from error
    for function in ("describe", "load"):
        if not callable(getattr(backend, function, None)):
            raise pytest.UsageError(f"--vae-backend: {name!r} has no function {function}(); see shared/contract.py")
    config.stash[_BACKEND] = backend
    config.stash[_HEADROOM], config.stash[_UNTOUCHED] = {}, {}


def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuses to grade a device whose matrix products are coarser than they are said to be, and names the mode."""
    config = session.config
    only = config.getoption("--vae-dtype")
    for dtype in (only,) if only else checks.DTYPES:
        try:
            refused = probe.refusal(config.stash[_BACKEND], dtype, config.getoption("--vae-device"))
        except Exception:
            continue  # a model that cannot load or encode fails the tests that say so
        if refused:
            raise pytest.UsageError(refused)


def pytest_report_header(config: pytest.Config) -> list[str]:
    identity = ", ".join(f"{key} {value}" for key, value in config.stash[_BACKEND].describe().items())
    return [f"backend: {config.getoption('--vae-backend')} ({identity})", f"specification: {spec.VERSION}"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    only = metafunc.config.getoption("--vae-dtype")
    dtypes = (only,) if only else checks.DTYPES
    if "vector" in metafunc.fixturenames:
        marker = next(metafunc.definition.iter_markers("chapter"))
        chosen = [vector for vector in vectors.load().values() if vector.chapter == marker.args[0]]
        pairs = [(dtype, v) for v in chosen for dtype in dtypes if dtype in vectors.graded_in(v.arguments)]
        names = [f"{vector.id.split('/')[1]}-{dtype}" for dtype, vector in pairs]
        metafunc.parametrize(("grader", "vector"), pairs, ids=names, indirect=["grader"])
    elif "grader" in metafunc.fixturenames:
        metafunc.parametrize("grader", dtypes, indirect=True)


@pytest.fixture
def grader(request: pytest.FixtureRequest) -> Grader:
    """The backend under test, in each precision in turn."""
    config = request.config
    device = config.getoption("--vae-device")
    stash = config.stash
    found = Grader(stash[_BACKEND], request.param, device, stash[_HEADROOM], stash[_UNTOUCHED])
    for marker in request.node.iter_markers("ability"):
        found.require(marker.args[0])
    return found


@pytest.fixture
def params() -> dict[str, Array]:
    """Parameters of a small network, 12-8-3, that no test may change."""
    return _read_only(_smallest())


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    headroom = config.stash[_HEADROOM]
    if not headroom:
        return
    worst: dict[str, dict[str, tuple[float, str]]] = defaultdict(dict)
    for (quantity, dtype), ratio in headroom.items():
        case = quantity.split(":")[0]
        worst[case][dtype] = max(worst[case].get(dtype, (0.0, "")), (ratio, quantity.split(": ")[1]))
    terminalreporter.section("headroom: largest error of each vector, in units of its tolerance")
    for case, by_dtype in worst.items():
        columns = "   ".join(f"{dtype} {ratio:5.3f} {name:<34}" for dtype, (ratio, name) in sorted(by_dtype.items()))
        terminalreporter.write_line(f"{case:<32} {columns}".rstrip())


def _smallest() -> dict[str, Array]:
    inputs = vectors.load()["forward/tiny"].inputs
    return {name.removeprefix("param."): value for name, value in inputs.items() if name.startswith("param.")}


def _read_only(tensors: Tensors) -> dict[str, Array]:
    def frozen() -> Iterator[tuple[str, Array]]:
        for name, tensor in tensors.items():
            copy = np.array(tensor)
            copy.setflags(write=False)
            yield name, copy

    return dict(frozen())
