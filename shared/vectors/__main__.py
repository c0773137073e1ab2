"""Writes the golden vectors, or checks them: `python -m shared.vectors [--check] [ID ...]`.

The only tool that makes them. `--check` computes every case anew and fails on any drift beyond the float64 tolerances,
within which the last bits belong to the machine's own exp and log; the tolerances, being random by design, are checked
with their own fixed randomness.
"""

import hashlib
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import safetensors.numpy

from vae_rosetta.shared import files, oracle, rounding, spec, vectors
from vae_rosetta.shared.command_line import DONE, NO, Command
from vae_rosetta.shared.contract import Array, Tensors
from vae_rosetta.shared.oracle import Arithmetic, Oracle
from vae_rosetta.shared.vectors import cases, operations
from vae_rosetta.shared.vectors.cases import Case
from vae_rosetta.shared.vectors.flags import FLAGS, Flag

_REPETITIONS_AT_SCALE = 16  # for many steps of the full-size network, where a repetition takes seconds
# Where a case states no float64 tolerance (long runs graded in float32, the stream's normals): relative to the element.
_DRIFT = 1e-12
_FLOAT64 = "tolerance.float64."


def expected(case: Case, arithmetic: Arithmetic = oracle.EXACT) -> dict[str, Array]:
    """What the oracle answers to a case, in float64."""
    if case.operation in operations.DRAWS:
        return operations.DRAWS[case.operation](case.arguments)

    def load(params: Tensors) -> Oracle:
        return Oracle(params, "float64", arithmetic)

    answers = operations.OPERATIONS[case.operation](load, case.inputs, case.arguments)
    # The sums of a summary are handed over in the model's dtype, which rounds them once more.
    return {k: arithmetic.rounded(v) if k.endswith((".rows", ".columns")) else v for k, v in answers.items()}


def tensors_of(case: Case, *, with_tolerances: bool = True) -> dict[str, Array]:
    """Everything that the file of a case holds, or all but its tolerances."""
    answers = expected(case)
    tensors = {f"input.{name}": value for name, value in case.inputs.items()}
    tensors |= {f"expected.{name}": value for name, value in answers.items()}
    if case.operation in operations.DRAWS or not with_tolerances:
        return tensors
    heavy = case.operation in ("train", "fit") and tuple(case.arguments.get("sizes", ())) == cases.FULL
    repetitions = _REPETITIONS_AT_SCALE if heavy else rounding.REPETITIONS
    for dtype in vectors.graded_in(case.arguments):
        allowed = rounding.tolerances(partial(expected, case), dtype, repetitions=repetitions)
        tensors |= {f"tolerance.{dtype}.{name}": v for name, v in allowed.items() if answers[name].dtype.kind == "f"}
    return tensors


def manifest_entry(case: Case, sha256: str) -> dict[str, Any]:
    """The case as the manifest lists it."""
    return {
        "id": case.id,
        "operation": case.operation,
        "description": case.description,
        "clauses": list(case.clauses),
        "flags": list(case.flags),
        "arguments": {k: str(v) if k in vectors.WIDE else v for k, v in case.arguments.items()},
        "file": f"{case.id}.safetensors",
        "sha256": sha256,
    }


def manifest(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """The whole manifest, for cases that have been written."""
    return {
        "format": 1,
        "spec_version": spec.VERSION,
        "rounding_model": {"safety": rounding.SAFETY, "unit_roundoff": {"float32": 2.0**-24, "float64": 2.0**-53}},
        "flags": {name: _flag(flag) for name, flag in sorted(FLAGS.items())},
        "cases": entries,
    }


def _flag(flag: Flag) -> dict[str, str]:
    return {"bug": flag.bug, "effect": flag.effect, "source": flag.source}


def write(directory: Path, chosen: set[str]) -> None:
    """Writes the files of the cases with the chosen ids, those that are new, and the manifest."""
    path = directory / vectors.MANIFEST.name
    old = {e["id"]: e for e in json.loads(path.read_text(encoding="utf-8"))["cases"]} if path.exists() else {}
    entries = []
    for case in cases.all_cases():
        if case.id in chosen or case.id not in old:
            started = time.perf_counter()
            path = directory / f"{case.id}.safetensors"
            path.parent.mkdir(exist_ok=True)
            contiguous = {k: np.array(v, order="C") for k, v in sorted(tensors_of(case).items())}
            data = safetensors.numpy.save(contiguous)
            with files.replacing(path) as temporary:
                temporary.write_bytes(data)
            entries.append(manifest_entry(case, hashlib.sha256(data).hexdigest()))
            print(f"{case.id}: {len(data):,} bytes, {time.perf_counter() - started:.1f} s", flush=True)
        else:
            entries.append(manifest_entry(case, old[case.id]["sha256"]))
    text = json.dumps(manifest(entries), indent=2) + "\n"
    files.write_text(directory / vectors.MANIFEST.name, text)
    files.write_text(directory / vectors.CHECKSUM.name, vectors.checksum(text.encode()).decode())


def drift(case: Case, stored: dict[str, Array], *, with_tolerances: bool) -> list[str]:
    """What differs between the stored tensors of a case and those computed now."""
    now = tensors_of(case, with_tolerances=with_tolerances)
    allowed = {f"expected.{k.removeprefix(_FLOAT64)}": v for k, v in stored.items() if k.startswith(_FLOAT64)}
    if not with_tolerances:
        stored = {name: value for name, value in stored.items() if not name.startswith("tolerance.")}
    if now.keys() != stored.keys():
        return [f"{case.id}: tensors {sorted(now.keys() ^ stored.keys())} are on one side only"]
    return [
        f"{case.id}: {name} has drifted"
        for name, value in now.items()
        if not _same(name, stored[name], value, allowed.get(name))
    ]


def _same(name: str, stored: Array, now: Array, allowed: Array | None) -> bool:
    if stored.shape != now.shape or stored.dtype != now.dtype:
        return False
    if name.startswith("input.") or stored.dtype.kind != "f":
        return np.array_equal(stored, now)
    if name.startswith("tolerance."):
        # The same randomness, but rounding can tip a relu over: a tenth is far below their safety factor.
        return bool(np.allclose(stored, now, rtol=0.1, atol=0.0))
    if stored.dtype == np.float32:  # the stream's normals, for which libraries may differ in the last bit
        return bool((np.abs(stored - now) <= np.spacing(np.abs(stored))).all())
    same = stored == now  # infinities
    with np.errstate(invalid="ignore"):
        return bool((same | (np.abs(stored - now) <= (_DRIFT * np.abs(stored) if allowed is None else allowed))).all())


def check(chosen: list[Case], *, thorough: bool) -> list[str]:
    """Everything wrong with the stored vectors. Tolerances that take minutes are derived anew only if `thorough`."""
    try:
        stored = vectors.load()
    except vectors.VectorError as error:
        return [str(error)]
    faults = []
    written = json.loads(vectors.MANIFEST.read_text(encoding="utf-8"))
    entries = [manifest_entry(case, stored[case.id].sha256) for case in cases.all_cases() if case.id in stored]
    if written != manifest(entries):
        faults.append("manifest.json is not what this generator writes")
    for case in chosen:
        with_tolerances = thorough or "data" not in case.arguments
        if case.id not in stored:
            faults.append(f"{case.id}: not in the manifest")
        else:
            faults += drift(case, stored[case.id].tensors, with_tolerances=with_tolerances)
        print(f"{case.id}: checked" + ("" if with_tolerances else ", its tolerances not (--thorough)"), flush=True)
    return faults


@click.command(cls=Command)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--check", "checking", is_flag=True, help="Compute the vectors anew and compare; write nothing.")
@click.option("--thorough", is_flag=True, help="Derive the tolerances of long runs, too; needs --check.")
def main(ids: tuple[str, ...], checking: bool, thorough: bool) -> int:
    """Write the golden vectors, or check them.

    ID names a case, such as loss/tiny. Without any, all cases are written or checked.
    """
    if thorough and not checking:
        raise ValueError("--thorough: got it without --check; expected both")
    known = {case.id: case for case in cases.all_cases()}
    if unknown := [name for name in ids if name not in known]:
        raise ValueError(f"ID: got {', '.join(unknown)}; expected some of {', '.join(known)}")
    chosen = set(ids or known)
    if not checking:
        write(vectors.DIRECTORY, chosen)
        return DONE
    faults = check([case for name, case in known.items() if name in chosen], thorough=thorough)
    print("\n".join(faults) if faults else f"{len(chosen)} vectors are as generated")
    return NO if faults else DONE


if __name__ == "__main__":
    main()
