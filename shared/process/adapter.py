"""The adapter: requests and responses of the process protocol, `conformance/PROTOCOL.md`, behind the contract.

The command refuses bad values itself, as every backend must; refused here is only what cannot be sent: what is not an
array or not a whole number, a dtype or a name that a request cannot hold.
"""

import json
import math
import os
import re
import shlex
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from vae_rosetta.shared import parameters, spec
from vae_rosetta.shared.contract import Array, FullModel, Losses, Tensors
from vae_rosetta.shared.process.runner import CommandError, LateError, Runner

PROTOCOL: Final = "1"
TIMEOUT: Final = 60.0  # seconds for one request, the start of a process included
PATIENCE: Final = 2  # late answers to an operation after which it is asked no more

STATE_NAMES: Final = tuple(parameters.state_shapes(spec.Sizes()))
# The operations, each with the tensors that it answers with.
ANSWERS: Final[Mapping[str, tuple[str, ...]]] = {
    "describe": (),
    "load": spec.PARAMETER_NAMES,
    "encode": ("mu", "logvar"),
    "reparameterize": ("z",),
    "decode": ("logits",),
    "losses": ("reconstruction", "kl"),
    "loss_on_probabilities": ("objective",),
    "gradients": spec.PARAMETER_NAMES,
    "train": ("objective", *STATE_NAMES),
    "load_state": STATE_NAMES,
    "sample": ("z",),
    "generate": ("probabilities",),
}
# What `describe` answers for the adapter's sake; the rest is the identity that reports print.
ABOUT_THE_PROTOCOL: Final = ("protocol", "operations", "serve")
SENDABLE: Final = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.:+-]*")  # needs no escapes in JSON: a port may read it byte by byte


class Answer(NamedTuple):
    """What a response holds."""

    tensors: dict[str, Array]
    metadata: dict[str, str]


def backend(
    command: str | Sequence[str], *, timeout: float | None = TIMEOUT, keep: str | os.PathLike[str] | None = None
) -> "Command":
    """The backend that a command is, once it has described itself.

    Args:
        command: a program and its arguments: as a list, or in one line, quoted as for a shell; none runs it.
        timeout: seconds that one request may take; None: as long as it takes. An operation that took longer twice is
            asked no more, so that a port that hangs does not hold up the rest for hours.
        keep: a folder, made if need be, where requests and responses stay for whoever looks for a port's mistake.

    Raises:
        OSError: the folder cannot be made.
        ValueError: `command` is empty or a quote in it is not closed; or `timeout` is not above 0 and finite.
        CommandError: it cannot be run, or does not describe itself as the protocol says.
    """
    try:
        words = shlex.split(command, posix=os.name == "posix") if isinstance(command, str) else list(command)
    except ValueError as error:
        raise ValueError(f"command: got {command!r} ({error}); expected a program and its arguments") from None
    if not words:
        raise ValueError(f"command: got {command!r}; expected a program and its arguments")
    if timeout is not None and not 0 < timeout < math.inf:
        raise ValueError(f"timeout: got {timeout}; expected a finite number of seconds, above 0")
    return Command(words, timeout, None if keep is None else Path(keep).absolute())


class Command:
    """A command as a backend: `describe` and `load` are methods here, and functions in a module."""

    def __init__(self, words: list[str], timeout: float | None, keep: Path | None) -> None:
        """See `backend`."""
        self._folder = Path(tempfile.mkdtemp(prefix="vae-command-")) if keep is None else keep
        self._kept = keep is not None
        if keep is None:
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        else:
            keep.mkdir(parents=True, exist_ok=True)
        self._runner = Runner(words, timeout, self._folder / "stderr.txt")
        weakref.finalize(self, self._runner.end)
        self._requests, self._serves = 0, False
        self._late: Counter[str] = Counter()  # by operation
        said = self.ask("describe", {}, {}).metadata
        self.operations = _operations(said)
        self._serves = said.get("serve") == "yes"
        self._identity = {key: value for key, value in said.items() if key not in ABOUT_THE_PROTOCOL}

    def describe(self) -> dict[str, str]:
        """The identity that the command gave."""
        return dict(self._identity)

    def load(self, params: Tensors, *, dtype: str = "float32", device: str = "auto") -> FullModel:
        """A model holding `params` as the command took them, with the methods that the command declares.

        Raises:
            TypeError, ValueError: the command refuses an argument, or it cannot be sent.
            CommandError: the command does not answer, or not as the protocol says.
        """
        options = {"dtype": _plain("dtype", dtype), "device": _plain("device", device)}
        taken = self.ask("load", _tensors("params", params), options).tensors
        return cast(FullModel, PartialModel(CommandModel(self, taken, options), self.operations))

    def ask(self, operation: str, tensors: Tensors, options: Mapping[str, str]) -> Answer:
        """Sends one request and reads its response.

        Raises:
            TypeError, ValueError: the command refuses an argument.
            CommandError: see `load`.
        """
        if self._late[operation] >= PATIENCE:
            raise CommandError(
                f"{operation}: not asked: {PATIENCE} requests before had no response within {self._runner.limit}"
            )
        self._requests += 1
        request, response = (
            self._folder / f"{self._requests:05d}-{operation}.{kind}.safetensors" for kind in ("request", "response")
        )
        metadata = {"protocol": PROTOCOL, "operation": operation, **options}
        response.unlink(missing_ok=True)  # of an earlier run that kept its files
        try:
            request.write_bytes(safetensors.numpy.save(dict(tensors), metadata=metadata))
            (self._runner.serve if self._serves else self._runner.once)(operation, request, response)
            return _read(operation, response)
        except LateError:
            self._late[operation] += 1
            raise
        finally:
            if not self._kept:
                request.unlink(missing_ok=True)
                response.unlink(missing_ok=True)


class CommandModel:
    """The methods of the contract, whether the command has them or not; it is this model that remembers the state."""

    def __init__(self, command: Command, params: Tensors, options: Mapping[str, str]) -> None:
        """`params` as the command took them; `options` are the dtype and the device."""
        self._command, self._options = command, options
        moments = {f"adam.{k}.{name}": np.zeros_like(params[name]) for k in "mv" for name in spec.PARAMETER_NAMES}
        self._state = {**params, **moments, "adam.step": np.array(0, dtype=np.int64)}

    def params(self) -> dict[str, Array]:
        return {name: self._state[name].copy() for name in spec.PARAMETER_NAMES}

    def encode(self, x: Array) -> tuple[Array, Array]:
        answer = self._ask("encode", x=x)
        return answer["mu"], answer["logvar"]

    def reparameterize(self, mu: Array, logvar: Array, noise: Array) -> Array:
        return self._ask("reparameterize", mu=mu, logvar=logvar, noise=noise)["z"]

    def decode(self, z: Array) -> Array:
        return self._ask("decode", z=z)["logits"]

    def losses(self, x: Array, noise: Array) -> Losses:
        return Losses(**self._ask("losses", x=x, noise=noise))

    def loss_on_probabilities(self, recon_x: Array, x: Array, mu: Array, logvar: Array) -> Array:
        return self._ask("loss_on_probabilities", recon_x=recon_x, x=x, mu=mu, logvar=logvar)["objective"]

    def gradients(self, x: Array, noise: Array) -> dict[str, Array]:
        return self._ask("gradients", x=x, noise=noise)

    def train(self, x: Array, order: npt.NDArray[np.int64], noise: Array) -> Array:
        arguments = {name: _array(name, value) for name, value in (("x", x), ("order", order), ("noise", noise))}
        answer = self._command.ask("train", {**self._state, **arguments}, self._options).tensors
        objective = answer.pop("objective")
        self._state = answer
        return objective

    def state(self) -> dict[str, Array]:
        return {name: self._state[name].copy() for name in STATE_NAMES}

    def load_state(self, state: Tensors) -> None:
        taken = self._command.ask("load_state", _tensors("state", state), self._options).tensors
        for name, tensor in taken.items():  # the one check that a command without memory cannot make
            if tensor.shape != self._state[name].shape:
                raise ValueError(f"state[{name!r}]: got shape {tensor.shape}; expected {self._state[name].shape}")
        self._state = taken

    def sample(self, x: Array, seed: int) -> Array:
        tensors = {**self._params(), "x": _array("x", x)}
        return self._command.ask("sample", tensors, {**self._options, "seed": _whole("seed", seed)}).tensors["z"]

    def generate(self, n: int, seed: int) -> Array:
        options = {**self._options, "n": _whole("n", n), "seed": _whole("seed", seed)}
        return self._command.ask("generate", self._params(), options).tensors["probabilities"]

    def _params(self) -> dict[str, Array]:
        return {name: self._state[name] for name in spec.PARAMETER_NAMES}

    def _ask(self, operation: str, **arguments: object) -> dict[str, Array]:
        tensors = {name: _array(name, value) for name, value in arguments.items()}
        return self._command.ask(operation, {**self._params(), **tensors}, self._options).tensors


class PartialModel:
    """A model without the methods that the command does not declare: what is absent must be seen to be absent."""

    def __init__(self, model: CommandModel, operations: frozenset[str]) -> None:
        """`operations` are those that `describe` listed."""
        self._model = model
        self._methods = (
            (operations - {"describe", "load"}) | {"params"} | ({"state"} if "train" in operations else set())
        )

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self._methods:
            return getattr(self._model, name)
        raise AttributeError(f"{name}: not among the operations that the command's describe lists")


def _operations(said: Mapping[str, str]) -> frozenset[str]:
    """The operations in an answer to `describe`, which must be of this protocol."""
    if said.get("protocol") != PROTOCOL:
        raise CommandError(f"describe: got protocol {said.get('protocol')!r}; expected {PROTOCOL!r}")
    operations = frozenset(said.get("operations", "").split())
    if unknown := sorted(operations - ANSWERS.keys()):
        raise CommandError(f"describe: got the operation {unknown[0]!r}; expected some of {', '.join(ANSWERS)}")
    if missing := sorted({"describe", "load"} - operations):
        raise CommandError(f"describe: got operations {said.get('operations')!r}; {missing[0]} is missing")
    return operations


def _read(operation: str, response: Path) -> Answer:
    try:
        data = response.read_bytes()
    except FileNotFoundError:
        raise CommandError(f"{operation}: the command succeeded but wrote no response") from None
    try:
        tensors = {name: np.array(tensor) for name, tensor in safetensors.numpy.load(data).items()}
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CommandError(f"{operation}: the response is not a readable safetensors file ({error})") from None
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__") or {}
    if "error" in metadata:
        raise _refusal(operation, metadata)
    expected = ANSWERS[operation]
    if missing := [name for name in expected if name not in tensors]:
        raise CommandError(f"{operation}: the response has no tensor {missing[0]!r}; expected {_list(expected)}")
    if extra := [name for name in tensors if name not in expected]:
        raise CommandError(f"{operation}: the response has an unknown tensor {extra[0]!r}; expected {_list(expected)}")
    return Answer({name: tensors[name] for name in expected}, metadata)


def _refusal(operation: str, metadata: Mapping[str, str]) -> Exception:
    message, kind = metadata["error"], metadata.get("error_kind")
    if kind == "type":
        return TypeError(message)
    if kind == "value":
        return ValueError(message)
    return CommandError(f"{operation}: got error_kind {kind!r} with the error {message!r}; expected value or type")


def _list(names: tuple[str, ...]) -> str:
    return (", ".join(names) if len(names) < 5 else f"{len(names)} tensors, {names[0]} to {names[-1]}") or "none"


def _tensors(argument: str, tensors: object) -> dict[str, Array]:
    if not isinstance(tensors, Mapping):
        raise TypeError(f"{argument}: got {type(tensors).__name__}; expected a mapping from names to arrays")
    return {_plain(argument, name): _array(f"{argument}[{name!r}]", tensor) for name, tensor in tensors.items()}


def _array(name: str, value: object) -> Array:
    """`value` in C order, as a request holds it."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: got {type(value).__name__}; expected a NumPy array")
    if value.dtype.name not in SENDABLE:
        raise TypeError(f"{name}: got dtype {value.dtype}; expected one of {', '.join(SENDABLE)}")
    return np.ascontiguousarray(value).reshape(value.shape)  # which makes a vector of a scalar


def _plain(name: str, value: object) -> str:
    if not isinstance(value, str) or not _PLAIN.fullmatch(value):
        raise ValueError(f"{name}: got {value!r}; expected letters, digits and any of _ . : + -")
    return value


def _whole(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}: got {value!r} ({type(value).__name__}); expected a whole number")
    return str(int(value))
