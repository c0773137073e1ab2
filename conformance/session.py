"""One run of the suite: who is graded, which cases there are, what became of each. The hooks of plugin.py call it.

Under pytest-xdist every process has a session. Those of the workers ask the backend; a `Finding` travels on each test
report to the session of the main process, which gathers them, reads the wrong answers together and writes certificates.
"""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from vae_rosetta.conformance import certificate, deviations, explainer, failure, probe
from vae_rosetta.conformance.backend import BackendError, find
from vae_rosetta.conformance.certificate import Certificate
from vae_rosetta.conformance.deviations import Deviation, DeviationError
from vae_rosetta.conformance.failure import WrongAnswer
from vae_rosetta.conformance.grader import REQUIRED, Absent, Grader
from vae_rosetta.conformance.outcome import Case, Fault, Outcome, Result, place
from vae_rosetta.conformance.report import Report, run_identity
from vae_rosetta.shared import checks, spec, vectors
from vae_rosetta.shared.vectors import Vector

CHAPTERS: Final = Path(__file__).parent / "chapters"


class Finding(NamedTuple):
    """What a test found."""

    case: Case
    outcome: Outcome
    wrong: WrongAnswer | None = None  # the answer that is to be explained


class Session:
    """One run of the suite, in one process.

    Raises:
        pytest.UsageError: there is nothing to grade, or an option makes no sense; the message says so in one line.
    """

    def __init__(self, options: Any) -> None:
        """`options` are those that plugin.py adds to pytest."""
        name = {"module": options.vae_backend, "command": options.vae_command}
        self._only, self._device = options.vae_dtype, options.vae_device
        try:
            self.vectors = verified_vectors()
            self._targets = [certificate.target(text) for text in options.vae_report]
            self._deviations = deviations.read(Path(options.vae_deviations)) if options.vae_deviations else []
            backend = find(**name, timeout=options.vae_timeout)
        except ValueError as error:
            raise pytest.UsageError(f"--vae-report: {error}") from error
        except DeviationError as error:
            raise pytest.UsageError(f"--vae-deviations: {error}") from error
        except (BackendError, vectors.VectorError) as error:
            raise pytest.UsageError(str(error)) from error
        self._graders = {dtype: Grader(backend, dtype, self._device) for dtype in checks.DTYPES}
        chapters = sorted(_chapter(path) for path in CHAPTERS.glob("test_*.py"))
        self._report = Report(run_identity(name, backend, self._device), tuple(chapters))
        self._declared: dict[str, Deviation] = {}  # by the key of the case
        self._wrong: dict[str, tuple[WrongAnswer, pytest.TestReport]] = {}
        self._certificate: Certificate | None = None
        self._notes: list[str] = []

    # -- before the tests

    def probe(self) -> None:
        """Refuses to grade a device whose matrix products are coarser than they are said to be, and names the mode."""
        for dtype in (self._only,) if self._only else checks.DTYPES:
            try:
                refused = probe.refusal(self._graders[dtype].backend, dtype, self._device)
            except Exception:
                continue  # a model that cannot load or encode fails the tests that say so
            if refused:
                raise pytest.UsageError(refused)

    def header(self) -> list[str]:
        """Who is graded, by which specification."""
        run = self._report.run
        described = ", ".join(f"{key} {value}" for key, value in run["describe"].items())
        return [f"backend: {certificate.subject(run)} ({described})", f"specification: {spec.VERSION}"]

    def collected(self, items: list[pytest.Item]) -> list[pytest.Item]:
        """Notes all cases, puts the tests in the order of reports, marks those that are declared to fail; returns the
        tests that are not to be run.

        Raises:
            pytest.UsageError: a declared deviation names no case, or not clearly one.
        """
        items.sort(key=lambda item: place(case_of(item).chapter))
        cases = {item.nodeid: case_of(item) for item in items}
        self._report.cases |= cases
        try:
            self._declared = deviations.match(self._deviations, cases)
        except DeviationError as error:
            raise pytest.UsageError(f"--vae-deviations: {error}") from error
        for item in items:
            if entry := self._declared.get(item.nodeid):
                item.add_marker(pytest.mark.xfail(reason=entry.reason, strict=True))
        return [item for item in items if self._only and cases[item.nodeid].dtype not in (self._only, None)]

    # -- while they run

    def grader(self, dtype: str, abilities: Sequence[str]) -> Grader:
        """The backend in one precision, for a test that needs these abilities.

        Raises:
            Absent: the backend lacks one, or has no such precision although it has the required one.
        """
        found = self._graders[dtype]
        found.headroom = {}
        if dtype != REQUIRED and (refusal := found.refusal()) and self._graders[REQUIRED].loads():
            raise Absent(dtype, refusal)
        for ability in abilities:
            found.require(ability)
        return found

    def judge(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        """Puts on `report`, as `finding`, what became of the case, if this phase of the test decides it."""
        if report.passed and report.when != "call":
            return
        entry, raised = self._declared.get(item.nodeid), call.excinfo.value if call.excinfo else None
        if report.failed and raised is None and entry:  # strict: it passes, and should not
            report.longrepr = (
                f"passes, so {entry.place} is out of date: remove it, or name the dtype that it is true of"
            )
        grader = self._graders.get(str(_given(item).get("grader")))
        outcome = _outcome(report, raised, entry)
        if report.passed and grader:
            outcome = outcome._replace(headroom=grader.headroom)
        wrong = copy.copy(raised) if isinstance(raised, WrongAnswer) else None  # without its traceback, and all models
        finding = Finding(self._report.cases[item.nodeid], outcome, wrong)
        report.finding = finding  # type: ignore[attr-defined]  # which a report takes along wherever it goes

    def gather(self, report: pytest.TestReport) -> None:
        """Notes what a test found, and has a wrong answer explain itself instead of a traceback."""
        finding: Finding | None = getattr(report, "finding", None)
        if finding is None and report.failed:  # a worker has died of this test
            case = Case(report.nodeid, _chapter(Path(report.location[0])), None, ())  # until another one lists it
            finding = Finding(case, Outcome(Result.FAILED, str(report.longrepr), Fault.ERROR))
        if finding is None:
            return
        self._report.cases.setdefault(report.nodeid, finding.case)
        self._report.record(report.nodeid, finding.outcome)
        if finding.wrong:
            self._wrong[report.nodeid] = finding.wrong, report
            if report.failed:
                report.longrepr = failure.text(finding.wrong, finding.wrong.diagnosis.explanation)

    def divide(self) -> None:
        """Leaves the cases to workers, which will list them when they are through."""
        self._report.interruption = "the worker processes ended before they listed all cases"

    @property
    def cases(self) -> dict[str, Case]:
        """All cases, run or not, by the ids of their tests."""
        return self._report.cases

    def listed(self, cases: dict[str, Case]) -> None:
        """Takes all cases from a worker, in their order."""
        self._report.cases, self._report.interruption = cases | {**self._report.cases, **cases}, ""

    # -- after the tests

    def finish(self) -> bool:
        """Reads the wrong answers together, which says more than each by itself, and writes the certificates. Returns
        whether all could be written."""
        wrong = {key: self._wrong[key] for key in self._report.cases if key in self._wrong}
        explanations = explainer.together([answer.diagnosis for answer, _ in wrong.values()])
        for (key, (answer, report)), explanation in zip(wrong.items(), explanations, strict=True):
            self._report.explain(key, explanation, explainer.said(answer.vector, explanation))
            if report.failed:
                report.longrepr = failure.text(answer, explanation)
        self._certificate = self._report.certificate()
        written = True
        for target in self._targets:
            try:
                certificate.write(target, self._certificate)
                self._notes.append(f"certificate: {target}")
            except OSError as error:
                self._notes.append(f"--vae-report: cannot write {target}: {error.strerror}")
                written = False
        return written

    def summary(self) -> Iterator[tuple[str, list[str]]]:
        """Sections for the terminal, each a title and its lines; none where the run did not come to its end."""
        found = self._certificate
        if found is None:
            return
        if found["headroom"]:
            yield "headroom: largest error of each vector, in units of its tolerance", [*certificate.headroom(found)]
        title = f"conformance of {certificate.subject(found['run'])}, specification {spec.VERSION}"
        yield title, [*certificate.summary(found), *self._notes]


def verified_vectors() -> dict[str, Vector]:
    """The golden vectors, each of which has been read: nothing is graded with damaged ones.

    Raises:
        vectors.VectorError: one is missing, or changed.
    """
    found = vectors.load()
    for vector in found.values():
        assert vector.tensors
    return found


def case_of(item: pytest.Item) -> Case:
    """What reports call a test."""
    given = _given(item)
    chapter, dtype, vector = _chapter(item.path), given.get("grader"), given.get("vector")
    if isinstance(vector, Vector):
        return Case(vector.id, chapter, dtype, vector.clauses, is_vector=True)
    callspec = getattr(item, "callspec", None)
    parameters = f"-{callspec.id}-".replace(f"-{dtype}-", "-", 1).strip("-") if callspec else ""
    name = f"{chapter}/{getattr(item, 'originalname', item.name)}" + (f"[{parameters}]" if parameters else "")
    marker = item.get_closest_marker("clause")
    return Case(name, chapter, dtype, marker.args if marker else ())


def _chapter(path: Path) -> str:
    return path.stem.removeprefix("test_")


def _given(item: pytest.Item) -> dict[str, Any]:
    """The parameters of a test."""
    callspec = getattr(item, "callspec", None)
    return dict(callspec.params) if callspec else {}


def _outcome(report: pytest.TestReport, raised: BaseException | None, entry: Deviation | None) -> Outcome:
    if report.passed:
        return Outcome(Result.PASSED)
    if report.failed:
        return Outcome(Result.FAILED, *(_fault(raised) if raised else (str(report.longrepr), Fault.STALE)))
    if raised and hasattr(report, "wasxfail"):
        reason, cause = (entry.reason, entry.cause) if entry else (report.wasxfail, None)
        return Outcome(Result.DEVIATING, *_fault(raised), reason=reason, cause=cause)
    if isinstance(raised, Absent):
        return Outcome(Result.ABSENT, raised.reason, ability=raised.ability)
    return Outcome(Result.SKIPPED, str(raised))


def _fault(raised: BaseException) -> tuple[str, Fault]:
    if isinstance(raised, WrongAnswer):
        return str(raised), Fault.WRONG
    law = isinstance(raised, AssertionError | pytest.fail.Exception)
    return f"{type(raised).__name__}: {raised}", Fault.LAW if law else Fault.ERROR
