"""The rules that the golden vectors keep, beyond what their JSON Schema says. `faults` lists every breach."""

import json
import re
from pathlib import Path

import jsonschema
import numpy as np

from vae_rosetta.shared import spec, vectors
from vae_rosetta.shared.vectors import Vector, operations

# A relative float32 tolerance beyond this would let real bugs through.
_LOOSEST = 0.05


def faults(directory: Path = vectors.DIRECTORY) -> list[str]:
    """Everything wrong with the vectors in a directory: schema, names, references, checksums, tolerances."""
    try:
        found = vectors.load(directory)
    except vectors.VectorError as error:
        return [str(error)]
    manifest = json.loads((directory / vectors.MANIFEST.name).read_text(encoding="utf-8"))
    schema = json.loads(vectors.SCHEMA.read_text(encoding="utf-8"))
    errors = jsonschema.Draft202012Validator(schema).iter_errors(manifest)
    listed = [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]
    if listed:
        return listed
    if manifest["spec_version"] != spec.VERSION:
        listed.append(f"spec_version: {manifest['spec_version']} is not {spec.VERSION}")
    if len(found) != len(manifest["cases"]):
        listed.append("two cases have the same id")
    descriptions = [vector.description for vector in found.values()]
    listed += [f"description used twice: {text}" for text in {*descriptions} if descriptions.count(text) > 1]
    used = {flag for vector in found.values() for flag in vector.flags}
    listed += [f"flag {flag!r} is used by no case" for flag in manifest["flags"].keys() - used]
    for vector in found.values():
        listed += [f"{vector.id}: {fault}" for fault in _case_faults(vector, set(manifest["flags"]))]
    return listed


def _case_faults(vector: Vector, flags: set[str]) -> list[str]:
    listed = [f"unknown flag {flag!r}" for flag in set(vector.flags) - flags]
    listed += [f"unknown clause {clause!r}" for clause in set(vector.clauses) - set(spec.CLAUSES)]
    if " should " in f" {vector.description} ":
        listed.append("a description must be a statement, without the word should")
    if vector.path.name != f"{vector.id.split('/')[1]}.safetensors" or vector.path.parent.name != vector.chapter:
        listed.append(f"lies in {vector.path.parent.name}/{vector.path.name}, not where its id says")
    try:
        tensors = vector.tensors
    except vectors.VectorError as error:
        return [*listed, str(error)]
    if not vector.expected:
        listed.append("expects nothing")
    if vector.operation in operations.OPERATIONS:
        for dtype in vectors.graded_in(vector.arguments):
            listed += _tolerance_faults(vector, dtype)
    known = ("input.", "expected.", "tolerance.float32.", "tolerance.float64.")
    return listed + [f"unknown tensor {name!r}" for name in tensors if not name.startswith(known)]


def _tolerance_faults(vector: Vector, dtype: str) -> list[str]:
    tolerance, listed = vector.tolerance(dtype), []
    floats = {name: value for name, value in vector.expected.items() if value.dtype.kind == "f"}
    if tolerance.keys() != floats.keys():
        return [f"{dtype} tolerances are not those of the expected tensors"]
    for name, value in floats.items():
        allowed = tolerance[name]
        if allowed.shape != value.shape or not np.isfinite(allowed).all() or (allowed < 0).any():
            listed.append(f"{name}: no finite {dtype} tolerance for every element")
            continue
        # Beside the largest number of its kind: one call's objective may be nearly 0 where another's is not.
        kind = re.sub(r"\.\d+$", "", name)
        largest = max(float(np.abs(floats[other]).max()) for other in floats if re.sub(r"\.\d+$", "", other) == kind)
        if allowed.max() > _LOOSEST * max(largest, 1e-30):
            listed.append(f"{name}: the {dtype} tolerance {allowed.max():.2g} is loose beside {largest:.2g}")
    return listed
