"""Ports that hang, and readers who press Ctrl-C: neither holds up a run, nor ends it in a traceback."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vae_rosetta.conformance.meta.strangers import ROOT, WHOLE, grade, suite
from vae_rosetta.shared import process
from vae_rosetta.shared.process import CommandError, adapter

# Answers `describe`; of all else it hears nothing.
DEAF = """
import json, struct, sys, time
request, response = sys.argv[1:]
if "describe" not in request:
    time.sleep(60)
names = "framework version device precision threads".split()
said = dict.fromkeys(names, "none") | {"protocol": "1", "operations": "describe load encode"}
text = json.dumps({"__metadata__": said}).encode()
with open(response, "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text)
"""

# The oracle, which sleeps where it is told to and leaves a note that it has come there.
SLEEPER = """
import pathlib, time
from vae_rosetta.shared import oracle
from vae_rosetta.shared.oracle import describe

def sleep():
    pathlib.Path("asleep").touch()
    time.sleep(60)

{at_import}

class Model(oracle.Oracle):
    def decode(self, z):
        sleep()

def load(params, *, dtype="float32", device="auto"):
    oracle.load(params, dtype=dtype, device=device)
    return Model(params, dtype)
"""


@pytest.fixture
def deaf(tmp_path: Path) -> str:
    (tmp_path / "deaf.py").write_text(DEAF, encoding="utf-8")
    return shlex.join([sys.executable, "-I", "-S", str(tmp_path / "deaf.py")])


@pytest.fixture(autouse=True)
def _ctrl_c_works() -> Iterator[None]:
    """Also in the background of a shell, which has SIGINT ignored, by children too."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    if former is not None:
        signal.signal(signal.SIGINT, former)


def test_operation_that_hangs_is_given_up(deaf: str) -> None:
    """What does not answer twice is asked no more, and says so at once; a run of many cases comes to its end."""
    backend = process.backend(deaf, timeout=1.0)
    for _ in range(adapter.PATIENCE):
        with pytest.raises(CommandError, match=r"load: no response within 1 s \(--timeout SECONDS allows more\)"):
            backend.load({})
    started = time.perf_counter()
    with pytest.raises(CommandError, match="load: not asked: 2 requests before had no response within 1 s"):
        backend.load({})
    assert time.perf_counter() - started < 0.5


def test_time_limit_of_the_command_line(deaf: str, tmp_path: Path) -> None:
    chosen = ("-q", "-k", "test_forward", "--report", "out.json")
    run = suite(tmp_path, "--vae-command", deaf, "--timeout", "1", *chosen)
    assert run.returncode == 1, run.stdout + run.stderr
    # The probe of the precision has waited for both.
    assert "load: not asked: 2 requests before had no response within 1 s (--timeout SECONDS allows more)" in run.stdout
    assert "INTERNALERROR" not in run.stdout + run.stderr
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert found["counts"]["passed"] == 0
    assert found["verdict"] == "does not conform"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("port", "--timeout", "5"), "--timeout: got 5 for a module; expected it beside --command only"),
        (("--vae-command", "true", "--timeout", "0"), "timeout: got 0.0; expected a finite number of seconds, above 0"),
        (("--vae-command", "true", "--timeout=soon"), "'soon' is not a valid float"),
    ],
)
def test_time_limit_that_makes_no_sense_is_one_line(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    (tmp_path / "port.py").write_text(WHOLE, encoding="utf-8")
    run = suite(tmp_path, *arguments)
    assert run.returncode == 2
    assert message in run.stdout + run.stderr
    assert "Traceback" not in run.stdout + run.stderr


def _interrupted(folder: Path, source: str, *options: str) -> tuple[int, str]:
    """The exit code and all output of a run that is interrupted while the port sleeps."""
    (folder / "port.py").write_text(source, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-m", "vae_rosetta.conformance", "port", "-q", *options]
    with subprocess.Popen(
        arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        until = time.monotonic() + 60.0
        while not (folder / "asleep").exists() and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.skipif(os.name != "posix", reason="sends a signal as a terminal does")
def test_ctrl_c_ends_a_run_quietly_with_what_was_found(tmp_path: Path) -> None:
    source = SLEEPER.format(at_import="")
    code, said = _interrupted(tmp_path, source, "-k", "test_forward and not test_contract", "--report", "out.json")
    assert code == 130, said
    assert "Traceback" not in said
    assert "KeyboardInterrupt" in said
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert found["verdict"] in ("incomplete", "does not conform")
    assert any("cases were not run" in gap for gap in found["incomplete"])


@pytest.mark.skipif(os.name != "posix", reason="sends a signal as a terminal does")
def test_ctrl_c_while_the_port_is_imported(tmp_path: Path) -> None:
    code, said = _interrupted(tmp_path, SLEEPER.format(at_import="sleep()"))
    assert (code, said) == (130, "Interrupted.\n")


def test_other_interruptions_keep_their_exit_code(tmp_path: Path) -> None:
    """pytest ends by the same road where it cannot collect a test; that is not Ctrl-C."""
    (tmp_path / "test_broken.py").write_text("raise RuntimeError('broken')\n", encoding="utf-8")
    run = grade(tmp_path, WHOLE, str(tmp_path / "test_broken.py"), "-k", "test_forward")
    assert run.returncode == 3, run.stdout
