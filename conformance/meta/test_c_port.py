"""The port in C: the suite accepts it, rejects wrong ones, and no malformed request harms it."""

import os
import random
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import safetensors.numpy

import vae_rosetta
from vae_rosetta import conformance
from vae_rosetta.shared import parameters, process, spec
from vae_rosetta.shared.process import adapter
from vae_rosetta.shared.spec import Sizes

HERE: Final = Path(conformance.__file__).parent
SIZES: Final = Sizes(2, 1, 1)

Build = Callable[..., Path]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Compiles the program, with a change to one of its files if one is given."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        pytest.skip("no C compiler (cc, gcc or clang) is installed, so the port in C cannot be built")

    def compile_program(*flags: str, change: tuple[str, str, str] | None = None) -> Path:
        folder = tmp_path_factory.mktemp("c")
        for source in (HERE.parent / "implementations/c_vae").glob("*.[ch]"):
            shutil.copy(source, folder)
        if change:
            changed, old, new = change
            text = (folder / changed).read_text(encoding="utf-8")
            assert text.count(old) == 1
            (folder / changed).write_text(text.replace(old, new), encoding="utf-8")
        warnings = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
        sources = sorted(str(path) for path in folder.glob("*.c"))
        words = [compiler, *warnings, *flags, "-o", str(folder / "vae-c"), *sources, "-lm"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
        if done.returncode and any("sanitize" in flag for flag in flags):
            pytest.skip(f"{compiler} has no sanitizers here: {done.stderr.splitlines()[-1:]}")
        assert done.returncode == 0, done.stderr
        return folder / "vae-c"

    return compile_program


@pytest.fixture(scope="session")
def program(build: Build) -> Path:
    """The program, optimised."""
    return build("-O2")


@pytest.fixture(scope="session")
def checked_program(build: Build) -> Path:
    """The same, ended by any access outside its memory and any undefined operation."""
    return build("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def _grade(program: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    module = "from shared import process\n"
    module += (
        f"backend = process.backend({shlex.quote(str(program))!r})\ndescribe, load = backend.describe, backend.load\n"
    )
    (folder / "spoken_vae.py").write_text(module, encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(Path(vae_rosetta.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]))
    words = [sys.executable, "-m", "vae_rosetta.conformance", "spoken_vae", "-q", "--no-header", "-rfs", *options]
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def test_port_in_c_passes_every_chapter_but_the_absent_one(program: Path, tmp_path: Path) -> None:
    run = _grade(program, tmp_path, "-k", "not mnist and not whole-run")  # whose hundreds of steps say nothing new
    assert run.returncode == 0, run.stdout + run.stderr
    skipped = [line for line in run.stdout.splitlines() if line.startswith("SKIPPED")]
    assert skipped
    lacks = r"Absent: (sample: the model has no generate, sample|(loss_on_probabilities): the model has no \2)"
    assert all(re.search(lacks, line) for line in skipped), run.stdout
    for chapter in ("forward/full", "loss/saturated-logits", "gradients/relu-at-zero", "training/tiny"):
        assert re.search(rf"{chapter} +float32 \d\.\d+ .*float64 \d\.\d+", run.stdout), run.stdout


WRONG_PROGRAMS: Final = {
    "log of the standard deviation": ("vae.c", "exp(row->logvar[j] / 2.0)", "exp(row->logvar[j])", "forward"),
    "slope of relu at 0": ("vae.c", "if (!(hidden[i] > 0.0)) /*", "if (!(hidden[i] >= 0.0)) /*", "gradients"),
    "pixels unchecked": ("input.c", "if (x[i] < 0.0 || x[i] > 1.0)", "if (x[i] < 0.0)", "errors"),
}


@pytest.mark.parametrize(("file", "old", "new", "chapter"), WRONG_PROGRAMS.values(), ids=WRONG_PROGRAMS.keys())
def test_wrong_program_is_rejected(build: Build, tmp_path: Path, file: str, old: str, new: str, chapter: str) -> None:
    run = _grade(
        build("-O1", change=(file, old, new)),
        tmp_path,
        "--vae-dtype",
        "float64",
        "-k",
        f"test_{chapter}.py and not full",
    )
    assert run.returncode == 1, run.stdout + run.stderr
    assert re.search(rf"^FAILED .*test_{chapter}\.py", run.stdout, re.MULTILINE), run.stdout


def test_state_of_another_size_is_refused(program: Path) -> None:
    backend = process.backend(str(program))
    model, larger = (backend.load(parameters.initial(0, sizes)) for sizes in (SIZES, Sizes(3, 1, 1)))
    with pytest.raises(ValueError, match=r"state\['encoder.fc1.weight'\]: got shape \(1, 3\); expected \(1, 2\)"):
        model.load_state(larger.state())
    np.testing.assert_array_equal(model.state()["encoder.fc1.weight"], model.params()["encoder.fc1.weight"])


def test_request_that_no_adapter_sends_is_refused(program: Path) -> None:
    backend = process.backend(str(program))
    options = {"dtype": "float32", "device": "auto"}
    with pytest.raises(ValueError, match=r"operation: got 'fit'; expected one of describe load "):
        backend.ask("fit", {}, options)
    with pytest.raises(ValueError, match="dtype: missing from the metadata"):
        backend.ask("load", {}, {})
    state = backend.load(parameters.initial(0, SIZES)).state()
    with pytest.raises(ValueError, match=r"state\['adam.step'\]: got 1073741825; expected 0 to 1073741824"):
        backend.ask("load_state", {**state, "adam.step": np.array(2**30 + 1)}, options)
    with pytest.raises(TypeError, match=r"state\['adam.step'\]: got dtype F32; expected I64"):
        backend.ask("load_state", {**state, "adam.step": np.array(1, np.float32)}, options)


def _answer(program: Path, request: bytes, folder: Path) -> tuple[int, str, bytes]:
    """Exit code, stderr and response."""
    asked, answered = folder / "request", folder / "response"
    asked.write_bytes(request)
    answered.unlink(missing_ok=True)
    options = {"ASAN_OPTIONS": "exitcode=99:allocator_may_return_null=1", "UBSAN_OPTIONS": "exitcode=99"}
    words, environment = [str(program), str(asked), str(answered)], {**os.environ, **options}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr, answered.read_bytes() if answered.exists() else b""


def _decode_request() -> bytes:
    """The example of the protocol's page."""
    params = {name: np.zeros(shape, np.float32) for name, shape in spec.parameter_shapes(SIZES).items()}
    params["decoder.fc3.weight"][:], params["decoder.fc3.bias"][:] = 0.5, 0.25
    params["decoder.fc4.weight"][:], params["decoder.fc4.bias"][:] = [[1.0], [-2.0]], [0.0, 0.5]
    metadata = {"protocol": "1", "operation": "decode", "dtype": "float32", "device": "auto"}
    return safetensors.numpy.save({**params, "z": np.array([[2.0]], np.float32)}, metadata)


def test_examples_of_the_page_are_true(program: Path, tmp_path: Path) -> None:
    page = (HERE / "PROTOCOL.md").read_text(encoding="utf-8")
    dumps = [
        bytes.fromhex("".join(line[10:49] for line in block.strip().splitlines()).replace(" ", ""))
        for block in re.findall(r"```\n(0{8}: .*?)```", page, re.DOTALL)
    ]
    describe, decoded = dumps
    code, stderr, response = _answer(program, describe, tmp_path)
    assert (code, stderr) == (0, "")
    assert b'"operations":"describe load ' in response
    assert _answer(program, _decode_request(), tmp_path) == (0, "", decoded)
    np.testing.assert_array_equal(safetensors.numpy.load(decoded)["logits"], np.array([[1.25, -2.0]], np.float32))
    for operation in adapter.ANSWERS:
        assert f"| `{operation}` |" in page


def _header(text: str, length: int | None = None) -> bytes:
    return (len(text) if length is None else length).to_bytes(8, "little") + text.encode()


TENSOR: Final = '{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
MALFORMED: Final = {
    "empty": b"",
    "seven bytes": bytes(7),
    "huge header length": _header("{}", 2**64 - 1),
    "header longer than the file": _header("{}", 3),
    "cut inside the header": _header(TENSOR)[:-20],
    "no object": _header("[]"),
    "not closed": _header('{"__metadata__":{"operation":"describe"'),
    "trailing text": _header("{} x"),
    "escape": _header('{"__metadata__":{"operation":"\\u0064escribe"}}'),
    "number for text": _header('{"__metadata__":{"operation":1}}'),
    "key twice": _header('{"x":{"dtype":"F32","dtype":"F32","shape":[],"data_offsets":[0,4]}}') + bytes(4),
    "no shape": _header('{"x":{"dtype":"F32","data_offsets":[0,4]}}') + bytes(4),
    "unknown dtype": _header(TENSOR.replace("F32", "F33")) + bytes(4),
    "data cut off": _header(TENSOR) + bytes(3),
    "offsets out of range": _header(TENSOR.replace("0,4", "4,8")) + bytes(4),
    "offsets in reverse": _header(TENSOR.replace("0,4", "4,0")) + bytes(4),
    "offsets against the shape": _header(TENSOR.replace("[1]", "[2]")) + bytes(4),
    "one offset": _header(TENSOR.replace("0,4", "4")) + bytes(4),
    "negative": _header(TENSOR.replace("0,4", "-4,0")) + bytes(4),
    "number too large": _header(TENSOR.replace("0,4", f"0,{2**64}")) + bytes(4),
    "shape that overflows": _header(TENSOR.replace("[1]", f"[{2**62},4]").replace("0,4", "0,0")),
    "nine dimensions": _header(TENSOR.replace("[1]", "[1,1,1,1,1,1,1,1,1]")) + bytes(4),
    "name twice": _header(TENSOR[:-1] + "," + TENSOR[1:]) + bytes(4),
    "too many tensors": _header("{" + ",".join(TENSOR[1:-1].replace("x", f"x{i}") for i in range(65)) + "}") + bytes(4),
    "too many metadata": _header('{"__metadata__":{' + ",".join(f'"{i}":""' for i in range(33)) + "}}"),
}


@pytest.mark.parametrize("request_", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_request_ends_the_program_with_one_line(
    checked_program: Path, tmp_path: Path, request_: bytes
) -> None:
    code, stderr, response = _answer(checked_program, request_, tmp_path)
    assert (code, response) == (2, b""), stderr
    assert re.fullmatch(r".*request: (malformed safetensors header: expected|not a safetensors file:) .+\n", stderr)


def test_damaged_headers_never_crash_the_program(checked_program: Path, tmp_path: Path) -> None:
    whole, choose = _decode_request(), random.Random(0)
    length = int.from_bytes(whole[:8], "little")
    codes = set()
    for _ in range(100):
        damaged = bytearray(whole)
        for _ in range(choose.choice([1, 1, 4])):
            damaged[choose.randrange(8, 8 + length)] = choose.choice(b'0123456789{}[],:"\\ \x00\xff')
        code, stderr, _ = _answer(checked_program, bytes(damaged), tmp_path)
        assert code in (0, 2), stderr
        codes.add(code)
    assert codes == {0, 2}  # some damage makes another valid request, which is answered
