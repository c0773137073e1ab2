"""The grading of mixed precision: a port that computes as `spec.MIXED_PRECISION` says passes, a coarser or wrong one
does not."""

from functools import cache, partial
from types import SimpleNamespace
from typing import Any, Final, cast

import numpy as np
import pytest
from click.testing import CliRunner

from vae_rosetta.conformance import mixed
from vae_rosetta.conformance.backend import read_only
from vae_rosetta.conformance.cli import conformance
from vae_rosetta.conformance.comparator import Mismatch
from vae_rosetta.conformance.meta.mutants import MUTANTS
from vae_rosetta.conformance.meta.mutants.base import Mutant, fresh_subject
from vae_rosetta.conformance.meta.mutants.precision import keep_bits
from vae_rosetta.shared.contract import Array, Backend, Tensors
from vae_rosetta.shared.oracle import Arithmetic, Oracle, Real
from vae_rosetta.shared.vectors import Vector, operations

BFLOAT16_BITS: Final = 8
SMALL: Final = [vector for vector in mixed.chosen() if not vector.id.endswith("/full")]
# Of the mutants that these vectors reject in float32, those that are finer than bfloat16.
HIDDEN: Final = {
    "adam-rate (times 0.9999 at every step)",
    "amsgrad",
    "coarse-products (TF32)",
    "coarse-products (bfloat16)",
    "kl-weight (1.01)",
    "rounded-constants",
}


class Emulated(Arithmetic):
    """Layers that keep so many bits of what goes in and comes out, by rounding to nearest."""

    def __init__(self, bits: int) -> None:
        self._bits = bits

    def linear(self, x: Real, weight: Real, bias: Real) -> Real:
        return self._kept(self._kept(x) @ self._kept(weight.T) + self._kept(bias))

    def d_linear(self, d_output: Real, x: Real) -> tuple[Real, Real]:
        return self.matmul(d_output.T, x), self._kept(self.sum(self._kept(d_output), axis=0))

    def matmul(self, a: Real, b: Real) -> Real:
        return self._kept(self._kept(a) @ self._kept(b))

    def _kept(self, value: Real) -> Real:
        kept: Real = keep_bits(value, self._bits)
        return kept


class Coarse(Oracle):
    """Parameters are kept in bfloat16 too, as when a whole model is cast to it."""

    def _out(self, value: Any) -> Array:
        return np.asarray(keep_bits(np.asarray(value, np.float64), BFLOAT16_BITS), self._dtype)


def port(model: type[Oracle] = Oracle, bits: int = BFLOAT16_BITS) -> Backend:
    """A backend with mixed precision."""

    def load(params: Tensors, *, dtype: str, device: str) -> Oracle:
        assert (dtype, device) == ("mixed_bfloat16", "auto")
        return model(params, "float32", Emulated(bits))

    return cast(Backend, SimpleNamespace(load=load))  # nothing asks it to describe itself


@cache
def allowed(vector_id: str) -> dict[str, float]:
    return mixed.allowed(next(vector for vector in SMALL if vector.id == vector_id))


def rejecting(load: operations.Load) -> list[str]:
    """The small vectors that a port fails."""
    return [vector.id for vector in SMALL if not _passes(vector, load)]


def _passes(vector: Vector, load: operations.Load) -> bool:
    operation = operations.OPERATIONS[vector.operation]
    try:
        answer = operation(lambda params: load(read_only(params)), read_only(vector.inputs), vector.arguments)
    except Exception:  # a mutant's bug may raise anything; the grading itself may not
        return False
    try:
        mixed.compare(answer, vector, allowed(vector.id))
    except Mismatch:
        return False
    return True


def test_port_that_rounds_to_bfloat16_conforms() -> None:
    answers = list(mixed.grade(port()))
    assert not [answer for answer in answers if answer.problem]
    assert {answer.vector.split("/")[0] for answer in answers} == {"forward", "loss", "gradients", "training"}
    assert max(answer.used for answer in answers) < 0.7


@pytest.mark.parametrize(
    ("coarse", "vector"),
    [(port(bits=4), "forward/tiny"), (port(bits=4), "gradients/tiny"), (port(Coarse), "training/tiny")],
    ids=["four bits, forward", "four bits, backward", "parameters in bfloat16"],
)
def test_coarser_port_does_not(coarse: Backend, vector: str) -> None:
    with np.errstate(over="ignore"):
        assert vector in rejecting(partial(coarse.load, dtype="mixed_bfloat16", device="auto"))


def test_exact_port_passes() -> None:
    assert not rejecting(fresh_subject().load)


def test_mutants_of_the_same_vectors_are_rejected_but_for_the_finest() -> None:
    ids = {vector.id for vector in SMALL}
    meant = [mutant for mutant in MUTANTS if ids & set(mutant.vectors) and mutant.dtype == "float32"]
    survivors = {mutant.name for mutant in meant if not _rejected(mutant)}
    assert len(meant) > 80
    assert survivors == HIDDEN


def _rejected(mutant: Mutant) -> bool:
    subject = fresh_subject()
    with pytest.MonkeyPatch.context() as undoing, np.errstate(all="ignore"):
        mutant.patch(subject, undoing)
        return bool(rejecting(subject.load))


def test_missing_tensor_and_infinity_are_no_answer() -> None:
    vector = next(vector for vector in SMALL if vector.id == "loss/tiny")
    exact = {name: value.astype(np.float32) for name, value in vector.expected.items()}
    assert mixed.compare(exact, vector, allowed(vector.id)) < 1e-3
    with pytest.raises(Mismatch, match="missing: kl"):
        mixed.compare({"reconstruction": exact["reconstruction"]}, vector, allowed(vector.id))
    with pytest.raises(Mismatch, match="inf"):
        mixed.compare({**exact, "kl": np.full_like(exact["kl"], np.inf)}, vector, allowed(vector.id))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("oracle", "vae_rosetta.shared.oracle offers no mixed precision: load(params, dtype='mixed_bfloat16') raises"),
        ("no_such_module", "MODULE: cannot import 'no_such_module'"),
    ],
)
def test_command_refuses_what_offers_no_mixed_precision(module: str, message: str) -> None:
    refused = CliRunner().invoke(conformance, ["mixed", module])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"Error: {message}")


def test_command_names_what_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixed, "offering", lambda *_, **__: None)
    monkeypatch.setattr(mixed, "grade", lambda *_, **__: [mixed.Answer("loss/tiny", 0.25, "")])
    graded = CliRunner().invoke(conformance, ["mixed", "port"])
    assert (graded.exit_code, graded.stdout.splitlines()[-1]) == (0, "mixed precision of port: conforms")
    wrong = mixed.Answer("loss/full", float("inf"), "kl: off")
    monkeypatch.setattr(mixed, "grade", lambda *_, **__: [mixed.Answer("loss/tiny", 0.25, ""), wrong])
    graded = CliRunner().invoke(conformance, ["mixed", "port"])
    assert graded.exit_code == 1
    assert graded.stderr == "port in mixed precision: does not conform: 1 of 2 vectors fail, loss/full first\n"
