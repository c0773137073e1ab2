"""Ports in any language: what the adapter makes of commands, those that fail above all.

The commands are Python scripts that know nothing but the protocol's page: no NumPy, no safetensors.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pytest

import vae_rosetta
from vae_rosetta.shared import parameters, process
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.process import CommandError, Runner, adapter
from vae_rosetta.shared.spec import Sizes

SIZES: Final = Sizes(2, 1, 1)
X: Final = np.array([[0.5, 1.0]], np.float32)  # (B, D)

# Answers describe and load; encode is the test's.
PORT: Final = """
import json, os, signal, struct, sys, time

def answer(path, metadata, **tensors):
    header, data = {"__metadata__": metadata}, b""
    for name, values in tensors.items():
        new = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": [1, len(values)], "data_offsets": [len(data), len(data) + len(new)]}
        data += new
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)

def respond(request, response):
    with open(request, "rb") as file:
        content = file.read()
    length = struct.unpack("<Q", content[:8])[0]
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    if metadata["operation"] == "describe":
        answer(response, DESCRIPTION)
    elif metadata["operation"] == "load":
        with open(response, "wb") as file:
            file.write(content)
    else:
        encode(response)

DESCRIPTION = {"protocol": "1", "operations": "describe load encode", "framework": "none", "version": "1"}
"""
ONCE: Final = "\nrespond(*sys.argv[1:])\n"
SERVE: Final = """
DESCRIPTION["serve"] = "yes"
if len(sys.argv) == 3:
    respond(*sys.argv[1:])
else:
    for line in sys.stdin:
        respond(*line.rstrip("\\n").split("\\t"))
        print("a line for the author's own eyes")
        print("done", flush=True)
"""

Port = Callable[..., str]


@pytest.fixture
def port(tmp_path: Path) -> Port:
    """Writes a port with the given `encode`, and other changes; returns the command that runs it."""

    def write(encode: str = "answer(response, {}, mu=[0], logvar=[0])", *changes: str, end: str = ONCE) -> str:
        path = tmp_path / "a port.py"
        path.write_text(PORT + "\n".join(changes) + f"\ndef encode(response):\n    {encode}\n" + end, encoding="utf-8")
        return shlex.join([sys.executable, "-I", "-S", str(path)])

    return write


def _encode(text: str) -> tuple[Array, Array]:
    return process.backend(text).load(parameters.initial(0, SIZES)).encode(X)


def test_answer_of_a_port_arrives(port: Port) -> None:
    mu, logvar = _encode(port("answer(response, {}, mu=[0.5], logvar=[-2])"))
    np.testing.assert_array_equal(mu, np.array([[0.5]], np.float32), strict=True)
    np.testing.assert_array_equal(logvar, np.array([[-2.0]], np.float32), strict=True)
    assert mu.flags.writeable


FAILURES: Final = {
    "exit code": ("sys.exit('first\\nboom')", r"encode: the command ended with exit code 1; last .* stderr: boom$"),
    "silent": ("os._exit(3)", r"encode: the command ended with exit code 3; its stderr is empty$"),
    "uncaught": ("1 / 0", r"exit code 1; last line of its stderr: ZeroDivisionError: division by zero$"),
    "no response": ("pass", r"encode: the command succeeded but wrote no response$"),
    "no safetensors": ("open(response, 'w').write('mu = 1')", r"encode: the response is not a readable safetensors"),
    "empty": ("open(response, 'w').close()", r"encode: the response is not a readable safetensors file \(.*small"),
    "missing": ("answer(response, {}, mu=[0])", r"encode: the response has no tensor 'logvar'; expected mu, logvar$"),
    "extra": ("answer(response, {}, mu=[0], logvar=[0], std=[1])", r"encode: the response has an unknown tensor 'std'"),
    "odd kind": ("answer(response, {'error': 'x: bad', 'error_kind': 'fatal'})", r"got error_kind 'fatal'.*'x: bad'"),
}


@pytest.mark.parametrize(("encode", "message"), FAILURES.values(), ids=FAILURES.keys())
def test_failing_command_is_named_in_one_line(port: Port, encode: str, message: str) -> None:
    with pytest.raises(CommandError, match=message) as failure:
        _encode(port(encode))
    assert "\n" not in str(failure.value)


@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
def test_signal_is_named(port: Port) -> None:
    with pytest.raises(CommandError, match=r"encode: the command ended with signal SIGKILL; its stderr is empty$"):
        _encode(port("os.kill(os.getpid(), signal.SIGKILL)"))


@pytest.mark.parametrize(("kind", "error"), [("type", TypeError), ("value", ValueError)])
def test_refusal_of_the_port_is_raised(port: Port, kind: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^x: got 7; expected \[0, 1\]$"):
        _encode(port(f"answer(response, {{'error': 'x: got 7; expected [0, 1]', 'error_kind': '{kind}'}})"))


def test_late_answer_is_an_error(port: Port) -> None:
    text = port("pass", "time.sleep(60)")
    with pytest.raises(CommandError, match=r"^describe: no response within 0.2 s \(--timeout SECONDS allows more\)$"):
        process.backend(text, timeout=0.2)


DESCRIPTIONS: Final = {
    "no protocol": ("DESCRIPTION.pop('protocol')", "describe: got protocol None; expected '1'"),
    "other protocol": ("DESCRIPTION['protocol'] = '2'", "describe: got protocol '2'; expected '1'"),
    "no load": ("DESCRIPTION['operations'] = 'describe encode'", "describe: .*load is missing"),
    "unknown": (
        "DESCRIPTION['operations'] += ' fit'",
        "describe: got the operation 'fit'; expected some of describe, ",
    ),
}


@pytest.mark.parametrize(("change", "message"), DESCRIPTIONS.values(), ids=DESCRIPTIONS.keys())
def test_description_is_checked(port: Port, change: str, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        process.backend(port("pass", change))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", ValueError, "command: got ''; expected a program"),
        ("port 'unclosed", ValueError, "command: got .*quotation"),
        ("./no-such-port --fast", CommandError, r"^cannot run './no-such-port': No such file or directory$"),
        (".", CommandError, r"^cannot run '.': Permission denied$"),
    ],
)
def test_command_that_cannot_be_run(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        process.backend(text)


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan"), float("inf")])
def test_timeout_must_be_positive(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout: got"):
        process.backend("port", timeout=timeout)


def test_absent_operations_are_absent_methods(port: Port) -> None:
    backend = process.backend(port())
    assert backend.describe() == {"framework": "none", "version": "1"}
    model = backend.load(parameters.initial(0, SIZES))
    methods = {name for name in ("params", "state", *adapter.ANSWERS) if hasattr(model, name)}
    assert methods == {"params", "encode"}


def test_what_cannot_be_sent_is_refused_here(port: Port, tmp_path: Path) -> None:
    text = port("pass", "DESCRIPTION['operations'] += ' generate'")
    backend = process.backend(text, keep=tmp_path / "kept")
    params = parameters.initial(0, SIZES)
    model = backend.load(params)
    asked = len(list((tmp_path / "kept").iterdir()))
    with pytest.raises(TypeError, match="x: got list"):
        model.encode(X.tolist())
    with pytest.raises(TypeError, match="x: got dtype object"):
        model.encode(X.astype(object))
    with pytest.raises(TypeError, match="x: got dtype complex64"):
        model.encode(X.astype(np.complex64))
    with pytest.raises(ValueError, match="params: got 'a\"b'"):
        backend.load({**params, 'a"b': X})
    with pytest.raises(ValueError, match="device: got 'my gpu'"):
        backend.load(params, device="my gpu")
    with pytest.raises(TypeError, match="seed: got True"):
        model.generate(1, True)
    with pytest.raises(TypeError, match=r"n: got 2\.5"):
        model.generate(2.5, 0)  # type: ignore[arg-type]
    assert len(list((tmp_path / "kept").iterdir())) == asked


def test_one_process_serves_all_requests(port: Port) -> None:
    backend = process.backend(port("answer(response, {'pid': str(os.getpid())}, mu=[0], logvar=[0])", end=SERVE))
    first, second = (backend.ask("encode", {}, {}).metadata["pid"] for _ in range(2))
    assert first == second


def test_process_that_dies_is_named_and_replaced(port: Port, tmp_path: Path) -> None:
    backend = process.backend(port("sys.exit('out of luck')", end=SERVE))
    for _ in range(2):
        model = backend.load(parameters.initial(0, SIZES))  # a new process, the second time
        with pytest.raises(CommandError, match=r"encode: .* exit code 1; last line of its stderr: out of luck$"):
            model.encode(X)


def test_process_that_never_says_done_is_late(tmp_path: Path) -> None:
    runner = Runner([sys.executable, "-I", "-S", "-c", "input(); input()"], 0.2, tmp_path / "stderr.txt")
    with pytest.raises(CommandError, match=r"decode: no response within 0\.2 s .*; .*'done'"):
        runner.serve("decode", tmp_path / "request", tmp_path / "response")


def test_files_are_gone_with_the_backend(port: Port) -> None:
    backend = process.backend(port())
    folder = backend._folder
    backend.load(parameters.initial(0, SIZES)).encode(X)
    assert {path.name for path in folder.iterdir()} == {"stderr.txt"}
    del backend
    assert not folder.exists()


# Every operation, answered by the oracle.
ORACLE: Final = """
import sys
import safetensors.numpy
from safetensors import safe_open
from vae_rosetta.shared import oracle

ARGUMENTS = ("recon_x", "x", "noise", "mu", "logvar", "z", "order")
ANSWERS = {"encode": ("mu", "logvar"), "reparameterize": ("z",), "decode": ("logits",), "sample": ("z",),
           "generate": ("probabilities",), "losses": ("reconstruction", "kl"),
           "loss_on_probabilities": ("objective",)}

def run(metadata, tensors):
    given = {name: tensor for name, tensor in tensors.items() if name not in ARGUMENTS}
    params = {name: tensor for name, tensor in given.items() if not name.startswith("adam.")}
    model = oracle.load(params, dtype=metadata["dtype"], device=metadata["device"])
    operation = metadata["operation"]
    if operation == "load":
        return model.params()
    if operation in ("load_state", "train"):
        model.load_state(given)
    if operation == "load_state":
        return model.state()
    arguments = {name: tensors[name] for name in ARGUMENTS if name in tensors}
    arguments |= {name: int(metadata[name]) for name in ("n", "seed") if name in metadata}
    answer = getattr(model, operation)(**arguments)
    if operation == "train":
        return {"objective": answer, **model.state()}
    if operation == "gradients":
        return answer
    return dict(zip(ANSWERS[operation], answer if isinstance(answer, tuple) else (answer,)))

def respond(request, response):
    with safe_open(request, framework="np") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    said, answer = {}, {}
    if metadata["operation"] == "describe":
        said = {"protocol": "1", "operations": " ".join(["describe load load_state train gradients", *ANSWERS])}
        said |= {"serve": "yes", **oracle.describe()}
    else:
        try:
            answer = run(metadata, tensors)
        except (TypeError, ValueError) as error:
            said = {"error": str(error), "error_kind": "type" if isinstance(error, TypeError) else "value"}
    safetensors.numpy.save_file(answer, response, said)

if len(sys.argv) == 3:
    respond(*sys.argv[1:])
else:
    for line in sys.stdin:
        respond(*line.rstrip("\\n").split("\\t"))
        print("done", flush=True)
"""


def test_oracle_passes_through_the_protocol(tmp_path: Path) -> None:
    """Nothing is lost on the way: every chapter, none absent."""
    script = tmp_path / "oracle_port.py"
    script.write_text(ORACLE, encoding="utf-8")
    text = shlex.join([sys.executable, str(script)])
    module = f"from shared import process\nbackend = process.backend({text!r})\n"
    (tmp_path / "oracle_vae.py").write_text(
        module + "describe, load = backend.describe, backend.load\n", encoding="utf-8"
    )
    path = os.pathsep.join(filter(None, [str(Path(vae_rosetta.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]))
    options = ["-q", "--vae-dtype", "float64", "-k", "not mnist and not whole-run and not full"]
    words = [sys.executable, "-m", "vae_rosetta.conformance", "oracle_vae", *options]
    environment = {**os.environ, "PYTHONPATH": path}
    run = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "passed" in run.stdout
    assert "skipped" not in run.stdout
