"""The certificate: what it says of whole, partial, wrong and broken ports, and of runs that are cut short."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest

from vae_rosetta.conformance import report
from vae_rosetta.conformance.meta.strangers import ROOT, WHOLE, WRONG, by, copy_suite, grade, read, suite
from vae_rosetta.conformance.outcome import Case, Fault, Outcome, Result, verdict
from vae_rosetta.conformance.report import Report
from vae_rosetta.shared import oracle, spec, vectors

SCHEMA = json.loads(report.SCHEMA.read_text(encoding="utf-8"))
LOSSES = ("-k", "test_loss and vector")


@pytest.mark.parametrize(
    ("results", "wanted"),
    [
        ("passed", "conforms"),
        ("passed absent", "conforms"),
        ("passed deviating", "conforms with deviations"),
        ("passed deviating failed", "does not conform"),
        ("failed skipped", "does not conform"),
        ("failed", "does not conform"),
        ("passed skipped", "incomplete"),
        ("deviating skipped", "incomplete"),
        ("passed not_run", "incomplete"),
        ("not_run", "not run"),
        ("absent", "absent"),
        ("absent deviating", "conforms with deviations"),
        ("", "untested"),
    ],
)
def test_verdict_of_counts(results: str, wanted: str) -> None:
    words = [word.replace("_", " ") for word in results.split()]
    assert verdict({result: words.count(result) for result in Result}) == wanted


def _gathered(results: dict[str, str]) -> dict[str, Any]:
    """The certificate of a run of one chapter with no vectors, `results` by the name of the case."""
    gathered = Report(report.run_identity({"module": "port", "command": None}, oracle, "auto"), ("checkpoint",))
    for name, result in results.items():
        for dtype in ("float32", "float64"):
            gathered.cases[name + dtype] = Case(f"checkpoint/{name}", "checkpoint", dtype, ("state",))
            if result:
                fault = Fault.LAW if result in ("failed", "deviating") else None
                outcome = Outcome(Result(result), f"{name} is {result}", fault, ability="train", reason="as declared")
                gathered.record(name + dtype, outcome)
    found = gathered.certificate()
    jsonschema.validate(found, SCHEMA)
    return found


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        ({"a": "passed", "b": "passed"}, "conforms"),
        ({"a": "passed", "b": "absent"}, "conforms"),
        ({"a": "passed", "b": "deviating"}, "conforms with deviations"),
        ({"a": "passed", "b": "skipped"}, "incomplete"),
        ({"a": "passed", "b": ""}, "incomplete"),
        ({"a": "failed", "b": ""}, "does not conform"),
        ({"a": "absent", "b": "absent"}, "incomplete"),
        ({}, "incomplete"),
    ],
    ids=str,
)
def test_verdict_of_a_run(results: dict[str, str], verdict: str) -> None:
    assert _gathered(results)["verdict"] == verdict


def test_late_failure_outweighs_a_pass_and_not_the_other_way() -> None:
    gathered = Report({}, ())
    gathered.cases["a"] = Case("checkpoint/a", "checkpoint", "float32", ())
    for result in (Result.PASSED, Result.FAILED, Result.PASSED):
        gathered.record("a", Outcome(result))
    assert gathered.counts()[Result.FAILED] == 1


def test_chapter_or_vector_that_is_not_asked_is_a_gap() -> None:
    gathered = Report({}, ("loss", "forward"))
    gathered.cases["a"] = Case("loss/tiny", "loss", "float32", (), is_vector=True)
    gathered.record("a", Outcome(Result.PASSED))
    gaps = gathered.certificate()["incomplete"]
    assert "chapter forward was not collected" in gaps
    assert "vector loss/tiny has no case in float64" in gaps
    assert "vector loss/full has no case in float32 and float64" in gaps


def test_cases_that_are_not_known_are_the_only_gap() -> None:
    gathered = Report({}, ("loss", "forward"), interruption="the processes ended")
    gathered.cases["a"] = Case("loss/tiny", "loss", "float32", (), is_vector=True)
    gathered.record("a", Outcome(Result.PASSED))
    found = gathered.certificate()
    assert (found["verdict"], found["incomplete"]) == ("incomplete", ["the processes ended"])


def test_certificate_of_a_run(tmp_path: Path) -> None:
    run = grade(tmp_path, WHOLE, *LOSSES, "--report", "out.json", "--report=out.md")
    assert run.returncode == 0, run.stdout + run.stderr
    found = read(tmp_path / "out.json")
    who = found["run"]
    assert (who["module"], who["command"], who["describe"]["framework"]) == ("port", None, "numpy")
    assert (who["spec_version"], who["vectors_sha256"]) == (spec.VERSION, report.vectors_sha256())
    assert who["dtypes"] == ["float32", "float64"]
    asked = {(v.id, d) for v in vectors.load().values() if v.chapter == "loss" for d in ("float32", "float64")}
    assert {(h["vector"], h["dtype"]) for h in found["headroom"]} == asked
    assert {h["quantity"] for h in found["headroom"]} == {"reconstruction", "kl", "objective"}
    assert found["verdict"] == "incomplete", "only a chapter was run"
    chapters, clauses = by(found["chapters"], "name"), by(found["clauses"], "id")
    assert list(clauses) == list(spec.CLAUSES)
    assert chapters["loss"]["counts"]["passed"] == len(asked)
    assert chapters["forward"]["verdict"] == clauses["adam"]["verdict"] == "not run"
    about_kl = sum("loss.kl" in v.clauses for v in vectors.load().values() if v.chapter == "loss")
    assert clauses["loss.kl"]["counts"]["passed"] == 2 * about_kl
    page = (tmp_path / "out.md").read_text(encoding="utf-8")
    assert "**Verdict: incomplete**" in page
    assert "| loss/tiny | kl | float32 |" in page
    assert f"| loss.kl | incomplete | {2 * about_kl} |" in page
    assert not list(tmp_path.glob(".*")), "a temporary file was left"


def test_wrong_port_gets_its_certificate_too(tmp_path: Path) -> None:
    run = grade(tmp_path, WRONG, *LOSSES, "--report", "out.json", "--report", "out.md")
    assert run.returncode == 1
    found = read(tmp_path / "out.json")
    assert found["verdict"] == "does not conform"
    failures = [entry for entry in found["failures"] if entry["case"] == "loss/tiny"]
    assert [entry["dtype"] for entry in failures] == ["float32", "float64"]
    assert failures[0]["clauses"] == ["loss.bce.logits", "loss.kl"]
    assert "kl[" in failures[0]["message"]
    assert "times the tolerance" in failures[0]["message"]
    assert by(found["clauses"], "id")["loss.kl"]["verdict"] == "does not conform"
    assert not [h for h in found["headroom"] if h["vector"] == "loss/tiny"]
    assert failures[0]["fault"] == "wrong answer"
    assert failures[0]["explanation"].startswith("The KL term is averaged over the latents")
    assert "- `loss/tiny in float32`: kl" in (tmp_path / "out.md").read_text(encoding="utf-8")
    assert "caught here, wrong-reduction:" in run.stdout


@pytest.mark.parametrize(
    ("options", "gap"),
    [
        (("-k", "test_loss", "--vae-dtype", "float32"), "all of float64 among them"),
        (("-k", "test_loss and tiny"), "cases were not run"),
        (
            (f"--ignore={ROOT}/conformance/chapters/test_training.py", "-k", "test_loss"),
            "chapter training was not collected",
        ),
    ],
)
def test_run_cut_short_is_incomplete(options: tuple[str, ...], gap: str, tmp_path: Path) -> None:
    assert grade(tmp_path, WHOLE, *options, "--report", "out.json").returncode == 0
    found = read(tmp_path / "out.json")
    assert found["verdict"] == "incomplete"
    assert any(gap in line for line in found["incomplete"]), found["incomplete"]


def test_run_that_stops_at_the_first_failure(tmp_path: Path) -> None:
    assert grade(tmp_path, WRONG, *LOSSES, "-x", "--report", "out.json").returncode == 1
    found = read(tmp_path / "out.json")
    assert found["verdict"] == "does not conform"
    assert (found["counts"]["failed"], found["counts"]["passed"]) == (1, 0)
    assert "cases were not run" in found["incomplete"][0]


LOAD_RAISES = """\
from vae_rosetta.shared.oracle import describe
def load(params, *, dtype="float32", device="auto"):
    raise RuntimeError("no weights today")
"""


def test_load_that_raises_is_told_once(tmp_path: Path) -> None:
    run = grade(tmp_path, LOAD_RAISES, "--report", "out.json")
    assert run.returncode == 1
    found = read(tmp_path / "out.json")
    assert found["verdict"] == "does not conform"
    assert {entry["case"].split("/")[0] for entry in found["failures"]} <= {"contract", "errors"}
    assert found["failures"][0]["message"] == "RuntimeError: no weights today"
    assert "skipped: load(params, dtype='float64') raises RuntimeError: no weights today" in found["incomplete"]
    assert len(found["failures"]) < 20
    assert "INTERNALERROR" not in run.stdout + run.stderr


@pytest.mark.parametrize(
    ("describe", "message"),
    [
        ("return {'framework': 'own'}", "version"),
        ("raise RuntimeError('who am I')", "who am I"),
        ("return None", ""),
        ("return {'framework': 'own', 'version': 3}", ""),
    ],
)
def test_describe_without_its_keys_fails_one_case(describe: str, message: str, tmp_path: Path) -> None:
    source = f"from shared.oracle import load\ndef describe():\n    {describe}\n"
    run = grade(tmp_path, source, "-k", "test_contract", "--report", "out.json")
    assert run.returncode == 1
    found = read(tmp_path / "out.json")
    assert {entry["case"] for entry in found["failures"]} == {"contract/test_describe_names_framework_and_version"}
    assert message in found["failures"][0]["message"]
    assert "INTERNALERROR" not in run.stdout + run.stderr


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise RuntimeError('no GPU')", "cannot import 'port': RuntimeError: no GPU ("),
        ("import no_such_framework", "cannot import 'port': ModuleNotFoundError: No module named 'no_such_framework'"),
        ("def describe(:", "cannot import 'port': SyntaxError:"),
        ("def describe():\n    return {}", "'port' has no function load()"),
        (
            "def describe():\n    return {}\ndef load(params, dtype):\n    pass",
            "'port': load() takes no argument device; expected load(params, *, dtype, device)",
        ),
    ],
)
def test_module_that_cannot_be_graded_is_one_line(source: str, message: str, tmp_path: Path) -> None:
    run = grade(tmp_path, source, "--report", "out.json")
    said = run.stdout + run.stderr
    assert run.returncode == 2
    assert f"Error: MODULE: {message}" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("out.txt", "--report: got 'out.txt'; expected a name that ends in .json or .md"),
        ("none/out.json", "--report: got 'none/out.json'; expected a file in a folder that exists"),
    ],
)
def test_report_that_cannot_be_written_is_a_usage_error(target: str, message: str, tmp_path: Path) -> None:
    run = grade(tmp_path, WHOLE, *LOSSES, "--report", target)
    assert run.returncode == 2
    assert message in run.stdout + run.stderr


def test_report_whose_folder_goes_away_is_told(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    source = "import shutil\nfrom vae_rosetta.shared import oracle\nload = oracle.load\n"
    source += "def describe():\n    shutil.rmtree('results', True)\n    return oracle.describe()\n"
    run = grade(tmp_path, source, *LOSSES, "--report", "results/out.json")
    assert run.returncode == 2
    assert "--vae-report: cannot write" in run.stdout


TENSORS: Final = """\
from vae_rosetta.shared import oracle
from vae_rosetta.shared.oracle import describe

class Tensor:
    def __init__(self, array):
        self.array = array
    def __array__(self, dtype=None, copy=None):
        return self.array

class Model(oracle.Oracle):
    def encode(self, x):
        return tuple(map(Tensor, super().encode(x)))

    def gradients(self, x, noise):
        x *= 0.5
        return super().gradients(x, noise)

def load(params, *, dtype="float32", device="auto"):
    oracle.load(params, dtype=dtype, device=device)
    return Model(params, dtype)
"""


def test_tensors_and_changed_arguments_are_told_in_so_many_words(tmp_path: Path) -> None:
    chosen = ("-k", "test_contract or (test_gradients and tiny)", "--report", "out.json")
    run = grade(tmp_path, TENSORS, *chosen)
    assert run.returncode == 1
    assert "mu: the model returned a port.Tensor; expected a NumPy array" in run.stdout
    assert "\nfails: gradients/tiny in float32 (" in run.stdout
    assert "): ValueError: output array is read-only" in run.stdout
    assert "no known cause" not in run.stdout, "it did not answer: there was no cause to look for"


def _flip(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize("damage", [_flip, Path.unlink], ids=["a byte", "a file"])
def test_damaged_vector_is_the_suites_fault(damage: Callable[[Path], None], tmp_path: Path) -> None:
    copy_suite(tmp_path)
    damage(tmp_path / "vae_rosetta/shared/vectors/training/tiny.safetensors")
    run = suite(tmp_path, "vae_rosetta.shared.oracle", "-q", *LOSSES, root=tmp_path)
    assert run.returncode == 2, run.stdout
    assert "Error: training/tiny: tiny.safetensors" in run.stdout + run.stderr


BARE = """\
import importlib.metadata, sys
allowed = {"numpy", "safetensors", "click", "pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments"}
ours = {"vae_rosetta", "port"}
for name in importlib.metadata.packages_distributions():
    if name not in allowed | ours | set(sys.stdlib_module_names) and name not in sys.modules:
        sys.modules[name] = None  # an import of it fails, as if it were not installed
assert "jsonschema" not in sys.modules or sys.modules["jsonschema"] is None
from vae_rosetta.conformance.cli import conformance
conformance()
"""


def test_the_base_and_pytest_are_enough(tmp_path: Path) -> None:
    """Nothing else is imported on the way; the cases that need real digits skip, and the verdict says so."""
    (tmp_path / "port.py").write_text(WHOLE, encoding="utf-8")
    chosen = ("-q", "-k", "mnist or tiny or test_contract", "--report", "out.json", "--report", "out.md")
    more = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    run = suite(tmp_path, "port", *chosen, python=("-c", BARE), more=more)
    assert run.returncode == 0, run.stdout + run.stderr
    found = read(tmp_path / "out.json")
    assert found["verdict"] == "incomplete"
    assert any("mlxtend" in gap for gap in found["incomplete"])
    assert by(found["chapters"], "name")["training"]["counts"]["skipped"] == 2
    run = suite(tmp_path, "matrix", "out.json", python=("-c", BARE))
    assert run.returncode == 0, run.stderr


def _change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(found: Any) -> None:
        *way, last = path.split(".")
        for step in way:
            found = found[int(step) if step.isdigit() else step]
        found[last] = value

    return change


@pytest.mark.parametrize(
    "damage",
    [
        _change("format", 1),
        _change("verdict", "fine"),
        _change("run.command", "./port"),
        _change("run.vectors_sha256", "none"),
        _change("run.date", "yesterday"),
        _change("chapters.0.verdict", "good"),
        _change("clauses.0.counts.passed", -1),
        _change("extra", 1),
        lambda found: found.pop("deviations"),
        lambda found: found["headroom"].append({"vector": "a", "quantity": "b", "dtype": "float32", "ratio": 1.5}),
    ],
)
def test_schema_refuses_what_is_not_a_certificate(damage: Callable[[dict[str, Any]], None]) -> None:
    found = _gathered({"a": "passed", "b": "failed"})
    broken = copy.deepcopy(found)
    damage(broken)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, SCHEMA)
