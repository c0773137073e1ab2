"""The pytest plugin: options, markers, fixtures, and the hooks that hand everything to the run's `Session`.

Options live here and carry a prefix, because a conftest.py cannot declare options under `--pyargs`
(pytest-dev/pytest#1596) and a stranger's own may already use the plain word. The markers and the strictness are set
here too: a stranger's settings do not decide what a pass means.
"""

import pickle
from collections.abc import Generator
from typing import Any, Final

import pytest

from vae_rosetta.conformance.backend import read_only
from vae_rosetta.conformance.grader import Grader, small_params
from vae_rosetta.conformance.session import Session
from vae_rosetta.shared import checks, vectors
from vae_rosetta.shared.contract import Array

_SESSION: Final = pytest.StashKey[Session]()


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
    session = config.stash[_SESSION] = Session(config.option)
    config.pluginmanager.register(_Worker(session) if hasattr(config, "workerinput") else _Gatherer(session))


def _session(config: pytest.Config) -> Session:
    return config.stash[_SESSION]


def pytest_report_header(config: pytest.Config) -> list[str]:
    return _session(config).header()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "vector" in metafunc.fixturenames:
        marker = next(metafunc.definition.iter_markers("chapter"))
        known = _session(metafunc.config).vectors.values()
        chosen = [vector for vector in known if vector.chapter == marker.args[0]]
        pairs = [(dtype, v) for v in chosen for dtype in vectors.graded_in(v.arguments)]
        names = [f"{vector.id.split('/')[1]}-{dtype}" for dtype, vector in pairs]
        metafunc.parametrize(("grader", "vector"), pairs, ids=names, indirect=["grader"])
    elif "grader" in metafunc.fixturenames:
        metafunc.parametrize("grader", checks.DTYPES, indirect=True)


@pytest.hookimpl(tryfirst=True)  # the report knows all cases, those that -k leaves out too
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    try:
        left_out = set(_session(config).collected(items))
    except pytest.UsageError as refusal:
        if not hasattr(config, "workeroutput"):
            raise
        config.workeroutput["vae_refusal"] = str(refusal)  # which the main process will raise
        left_out = set(items)
    if left_out:
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outermost: after pytest has said what is an expected failure
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _session(item.config).judge(item, call, report)
    return report


class _Gatherer:
    """The hooks of the process that gathers what the tests found, here or in workers of pytest-xdist."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def pytest_sessionstart(self) -> None:
        self._session.probe()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self) -> None:
        self._session.divide()

    @pytest.hookimpl(wrapper=True)
    def pytest_report_from_serializable(self) -> Generator[None, Any, Any]:
        report = yield
        if isinstance(finding := getattr(report, "finding", None), bytes):
            report.finding = pickle.loads(finding)
        return report

    @pytest.hookimpl(tryfirst=True)  # before the report is shown, or written as XML
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._session.gather(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        said = getattr(node, "workeroutput", {})  # nothing if the worker has died
        if "vae_refusal" in said:
            raise pytest.UsageError(said["vae_refusal"])
        if "vae_cases" in said:
            self._session.listed(pickle.loads(said["vae_cases"]))

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.USAGE_ERROR or session.config.option.collectonly:
            return
        if not self._session.finish():
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for title, lines in self._session.summary():
            terminalreporter.section(title)
            for line in lines:
                terminalreporter.write_line(line)


class _Worker:
    """The hooks of a worker of pytest-xdist, which sends what its tests found to the process that gathers it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @pytest.hookimpl(wrapper=True)
    def pytest_report_to_serializable(self) -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
        data = yield
        if data and "finding" in data:
            data["finding"] = pickle.dumps(data["finding"])
        return data

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        session.config.workeroutput["vae_cases"] = pickle.dumps(self._session.cases)  # type: ignore[attr-defined]


@pytest.fixture
def grader(request: pytest.FixtureRequest) -> Grader:
    """The backend under test, in each precision in turn."""
    abilities = [marker.args[0] for marker in request.node.iter_markers("ability")]
    return _session(request.config).grader(request.param, abilities)


@pytest.fixture
def params() -> dict[str, Array]:
    """Parameters of a small network, 12-8-3, that no test may change."""
    return read_only(small_params())
