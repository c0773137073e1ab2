"""The pytest plugin: names the backend under test, hands its models to the chapters, and gathers what they find.

Options live here and carry a prefix, because a conftest.py cannot declare options under `--pyargs`
(pytest-dev/pytest#1596) and a stranger's own may already use the plain word. The markers and the strictness are set
here too: a stranger's settings do not decide what a pass means. What the outcomes amount to is decided in report.py.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pytest

from vae_rosetta.conformance import certificate, comparator, deviations, explainer, failure, probe, report
from vae_rosetta.conformance.backend import BackendError, find, read_only
from vae_rosetta.conformance.deviations import Deviation
from vae_rosetta.conformance.report import Case, Outcome, Report
from vae_rosetta.shared import checks, spec, vectors
from vae_rosetta.shared.contract import Array, Backend, FullModel, Tensors
from vae_rosetta.shared.vectors import Vector, operations

_BACKEND: Final = pytest.StashKey[Backend]()
_UNTOUCHED: Final = pytest.StashKey[dict[str, FullModel | Exception]]()
_REPORT: Final = pytest.StashKey[Report]()
_CERTIFICATE: Final = pytest.StashKey[certificate.Certificate]()
_TARGETS: Final = pytest.StashKey[list[Path]]()
_DECLARED: Final = pytest.StashKey[list[Deviation]]()
_DEVIATION: Final = pytest.StashKey[Deviation]()  # of a test
_HEADROOM: Final = pytest.StashKey[dict[tuple[str, str], float]]()  # of a test
_NOTES: Final = pytest.StashKey[list[str]]()
_WRONG: Final = pytest.StashKey[list[explainer.Diagnosis]]()  # of a test: at most one
_UNREAD: Final = pytest.StashKey[list["_Wrong"]]()

# What a model must have for each ability; a model without it is graded on the rest.
ABILITIES: Final = {
    "gradients": ("gradients",),
    "train": ("gradients", "train", "state", "load_state"),
    "sample": ("sample", "generate"),
    "loss_on_probabilities": ("loss_on_probabilities",),
}
_ABSENT: Final = "absent ability "  # how the reason of a skip begins that counts as absent


class _Wrong(NamedTuple):
    """A wrong answer to a vector, to be read beside the others."""

    key: str  # of the case
    vector: Vector
    dtype: str
    difference: str  # the comparator's complaint
    diagnosis: explainer.Diagnosis
    report: pytest.TestReport


class Grader:
    """The backend under test in one precision."""

    def __init__(
        self,
        backend: Backend,
        dtype: str,
        device: str = "auto",
        headroom: dict[tuple[str, str], float] | None = None,
        untouched: dict[str, FullModel | Exception] | None = None,
        *,
        wrong: list[explainer.Diagnosis] | None = None,
    ) -> None:
        """`wrong` takes the diagnosis of a wrong answer; without it none is made."""
        self.backend, self.dtype, self._device = backend, dtype, device
        self._headroom = {} if headroom is None else headroom
        self._untouched = {} if untouched is None else untouched
        self._wrong = wrong

    @property
    def eps(self) -> float:
        """One unit in the last place of 1."""
        return float(np.finfo(self.dtype).eps)

    def load(self, params: Tensors) -> FullModel:
        """A model of the backend, holding `params`, handed over read-only: arguments must not be changed."""
        self.untouched()
        return self._load(params)

    def untouched(self) -> FullModel:
        """A model with the fixture `params`, made once for all tests that change nothing in it: some take long to load,
        and compile for each model anew. Where it cannot be made, one test fails with the reason and the others skip."""
        if self.dtype not in self._untouched:
            try:
                self._untouched[self.dtype] = self._load(_smallest())
            except Exception as error:  # raised again here, and the reason why other tests skip
                self._untouched[self.dtype] = error
                raise
        model = self._untouched[self.dtype]
        if isinstance(model, Exception):
            pytest.skip(f"load(params, dtype={self.dtype!r}) raises {type(model).__name__}: {model}")
        return model

    def check(self, vector: Vector) -> None:
        """Asks the backend what the vector asks, and compares.

        Raises:
            comparator.Mismatch: the answer is not the oracle's; if the grader diagnoses, with the likely cause.
        """
        actual = operations.OPERATIONS[vector.operation](self.load, read_only(vector.inputs), vector.arguments)
        try:
            found = comparator.compare(actual, vector.expected, vector.tolerance(self.dtype), self.dtype)
        except comparator.Mismatch as mismatch:
            if self._wrong is None:
                raise
            self._wrong.append(explainer.diagnosis(vector, actual, self.dtype))
            raise explainer.explained(vector, self._wrong[-1], mismatch) from None
        for name, ratio in found.items():
            key = (f"{vector.id}: {name}", self.dtype)
            self._headroom[key] = max(ratio, self._headroom.get(key, 0.0))

    def require(self, ability: str) -> None:
        """Skips the calling test, saying so, where the backend does not declare an ability by having its methods."""
        methods = {name for name in ABILITIES[ability] if not callable(getattr(self.untouched(), name, None))}
        if methods:
            pytest.skip(f"{_ABSENT}{ability!r}: the model has no {', '.join(sorted(methods))}")

    def _load(self, params: Tensors) -> FullModel:
        return self.backend.load(read_only(params), dtype=self.dtype, device=self._device)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vae", "VAE conformance")
    group.addoption("--vae-backend", metavar="MODULE", help="dotted name of the backend module to grade")
    group.addoption(
        "--vae-command", metavar="CMD", help="command that speaks the process protocol, instead of a module"
    )
    group.addoption(
        "--vae-timeout", metavar="SECONDS", type=float, help="for one request to the command; 60 if not given"
    )
    group.addoption("--vae-dtype", choices=checks.DTYPES, help="grade this precision only")
    group.addoption("--vae-device", choices=checks.DEVICES, default="auto", help="where the backend runs")
    group.addoption(
        "--vae-report", metavar="FILE", action="append", default=[], help="certificate, .json or .md; may be repeated"
    )
    group.addoption("--vae-deviations", metavar="FILE", help="declared deviations, in TOML")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "chapter(name): runs the golden vectors of a chapter")
    config.addinivalue_line("markers", "ability(name): needs an optional ability of the backend")
    config.addinivalue_line("markers", "clause(*ids): the clauses that the test stands on; the nearest marker counts")
    name = {"module": config.getoption("--vae-backend"), "command": config.getoption("--vae-command")}
    declared = config.getoption("--vae-deviations")
    try:
        _verify_vectors()
        config.stash[_TARGETS] = [certificate.target(text) for text in config.getoption("--vae-report")]
        config.stash[_DECLARED] = deviations.read(Path(declared)) if declared else []
        config.stash[_BACKEND] = find(**name, timeout=config.getoption("--vae-timeout"))
    except ValueError as error:
        raise pytest.UsageError(f"--vae-report: {error}") from error
    except deviations.DeviationError as error:
        raise pytest.UsageError(f"--vae-deviations: {error}") from error
    except (BackendError, vectors.VectorError) as error:
        raise pytest.UsageError(str(error)) from error
    run = report.run_identity(name, config.stash[_BACKEND], config.getoption("--vae-device"))
    chapters = sorted(
        path.stem.removeprefix("test_") for path in (Path(__file__).parent / "chapters").glob("test_*.py")
    )
    config.stash[_REPORT] = Report(run, tuple(chapters))
    config.stash[_UNTOUCHED], config.stash[_NOTES], config.stash[_UNREAD] = {}, [], []


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
    run = config.stash[_REPORT].run
    described = ", ".join(f"{key} {value}" for key, value in run["describe"].items())
    return [f"backend: {certificate.subject(run)} ({described})", f"specification: {spec.VERSION}"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "vector" in metafunc.fixturenames:
        marker = next(metafunc.definition.iter_markers("chapter"))
        chosen = [vector for vector in vectors.load().values() if vector.chapter == marker.args[0]]
        pairs = [(dtype, v) for v in chosen for dtype in vectors.graded_in(v.arguments)]
        names = [f"{vector.id.split('/')[1]}-{dtype}" for dtype, vector in pairs]
        metafunc.parametrize(("grader", "vector"), pairs, ids=names, indirect=["grader"])
    elif "grader" in metafunc.fixturenames:
        metafunc.parametrize("grader", checks.DTYPES, indirect=True)


@pytest.hookimpl(tryfirst=True)  # the report knows all cases, those that -k leaves out too
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: report.place(_case(item).chapter))
    cases = config.stash[_REPORT].cases
    cases.update({item.nodeid: _case(item) for item in items})
    try:
        declared = deviations.match(config.stash[_DECLARED], cases)
    except deviations.DeviationError as error:
        raise pytest.UsageError(f"--vae-deviations: {error}") from error
    for item in items:
        if entry := declared.get(item.nodeid):
            item.stash[_DEVIATION] = entry
            item.add_marker(pytest.mark.xfail(reason=entry.reason, strict=True))
    if only := config.getoption("--vae-dtype"):
        others = [item for item in items if cases[item.nodeid].dtype not in (only, None)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in set(others)]


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outermost: after pytest has said what is an expected failure
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    found = yield
    entry = item.stash.get(_DEVIATION, None)
    raised = call.excinfo.value if call.excinfo else None
    if entry and found.failed and raised is None:  # strict: it passes, and should not
        found.longrepr = f"passes, so {entry.place} is out of date: remove it, or name the dtype that it is true of"
    if found.when == "call" or not found.passed:
        outcome = _outcome(found, raised, entry)
        item.config.stash[_REPORT].record(item.nodeid, outcome._replace(headroom=_quantities(item)))
    vector, dtype = (_given(item).get(name) for name in ("vector", "grader"))
    if not found.passed and isinstance(raised, comparator.Mismatch) and isinstance(vector, Vector):
        if found.failed:
            found.longrepr = failure.text(vector, str(dtype), str(raised))
        difference = str(raised).partition(explainer.MARK)[0]
        for diagnosis in item.stash.get(_WRONG, []):
            wrong = _Wrong(item.nodeid, vector, str(dtype), difference, diagnosis, found)
            item.config.stash[_UNREAD].append(wrong)
    return found


def _read_together(gathered: Report, wrong: list[_Wrong]) -> None:
    """What the wrong answers say together is more than what each said by itself: reports are written anew."""
    for one, explanation in zip(wrong, explainer.together([one.diagnosis for one in wrong]), strict=True):
        text = f"{one.difference}{explainer.MARK}{explainer.said(one.vector, explanation)}"
        gathered.explain(one.key, explanation, f"Mismatch: {text}")
        if one.report.failed:
            one.report.longrepr = failure.text(one.vector, one.dtype, text)


def pytest_sessionfinish(session: pytest.Session) -> None:
    stash = session.config.stash
    if hasattr(session.config, "workerinput") or session.config.option.collectonly:
        return
    _read_together(stash[_REPORT], stash[_UNREAD])
    stash[_CERTIFICATE] = stash[_REPORT].certificate()
    for target in stash[_TARGETS]:
        try:
            certificate.write(target, stash[_CERTIFICATE])
            stash[_NOTES].append(f"certificate: {target}")
        except OSError as error:
            stash[_NOTES].append(f"--vae-report: cannot write {target}: {error.strerror}")
            session.exitstatus = pytest.ExitCode.USAGE_ERROR


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    found = config.stash.get(_CERTIFICATE, None)
    if found is None:
        return
    if found["headroom"]:
        terminalreporter.section("headroom: largest error of each vector, in units of its tolerance")
        for line in certificate.headroom(found):
            terminalreporter.write_line(line)
    terminalreporter.section(f"conformance of {certificate.subject(found['run'])}, specification {spec.VERSION}")
    for line in (*certificate.summary(found), *config.stash[_NOTES]):
        terminalreporter.write_line(line)


@pytest.fixture
def grader(request: pytest.FixtureRequest) -> Grader:
    """The backend under test, in each precision in turn."""
    stash, headroom = request.config.stash, request.node.stash.setdefault(_HEADROOM, {})
    device = request.config.getoption("--vae-device")
    wrong = request.node.stash.setdefault(_WRONG, [])
    found = Grader(stash[_BACKEND], request.param, device, headroom, stash[_UNTOUCHED], wrong=wrong)
    for marker in request.node.iter_markers("ability"):
        found.require(marker.args[0])
    return found


@pytest.fixture
def params() -> dict[str, Array]:
    """Parameters of a small network, 12-8-3, that no test may change."""
    return read_only(_smallest())


def _case(item: pytest.Item) -> Case:
    """What the report calls a test."""
    callspec, given = getattr(item, "callspec", None), _given(item)
    chapter, dtype, vector = item.path.stem.removeprefix("test_"), given.get("grader"), given.get("vector")
    if isinstance(vector, Vector):
        return Case(vector.id, chapter, dtype, vector.clauses, is_vector=True)
    parameters = f"-{callspec.id}-".replace(f"-{dtype}-", "-", 1).strip("-") if callspec else ""
    name = f"{chapter}/{getattr(item, 'originalname', item.name)}" + (f"[{parameters}]" if parameters else "")
    marker = item.get_closest_marker("clause")
    return Case(name, chapter, dtype, marker.args if marker else ())


def _given(item: pytest.Item) -> dict[str, Any]:
    """The parameters of a test."""
    callspec = getattr(item, "callspec", None)
    return dict(callspec.params) if callspec else {}


def _outcome(found: pytest.TestReport, raised: BaseException | None, entry: Deviation | None) -> Outcome:
    text = f"{type(raised).__name__}: {raised}" if raised is not None else str(found.longrepr or "")
    if found.passed:
        return Outcome("passed")
    if found.failed:
        return Outcome("failed", text)
    if hasattr(found, "wasxfail"):
        reason, cause = (entry.reason, entry.cause) if entry else (found.wasxfail, None)
        return Outcome("deviating", reason, cause=cause, seen=text)
    reason = str(raised)
    if reason.startswith(_ABSENT):
        return Outcome("absent", reason.removeprefix(_ABSENT).replace("'", ""))
    return Outcome("skipped", reason)


def _quantities(item: pytest.Item) -> dict[str, float]:
    """The headroom of a test's vector, by quantity."""
    return {key.split(": ", 1)[1]: ratio for (key, _), ratio in item.stash.get(_HEADROOM, {}).items()}


def _verify_vectors() -> None:
    """A damaged vector is the suite's fault: nothing is graded with it."""
    for vector in vectors.load().values():
        assert vector.tensors


def _smallest() -> dict[str, Array]:
    inputs = vectors.load()["forward/tiny"].inputs
    return {name.removeprefix("param."): value for name, value in inputs.items() if name.startswith("param.")}
