"""The wrong implementations: a suite is measured by what it rejects.

Each is the oracle with one bug that has been met in public or measured. `python -m vae_rosetta.conformance.meta`
runs them all.
"""

from typing import Final

from vae_rosetta.conformance.meta.mutants import (
    adam,
    arch,
    contract,
    inputs,
    latents,
    loop,
    loss,
    objective,
    precision,
    sampling,
    state,
    streams,
)
from vae_rosetta.conformance.meta.mutants.base import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    *arch.MUTANTS,
    *latents.MUTANTS,
    *loss.MUTANTS,
    *objective.MUTANTS,
    *precision.MUTANTS,
    *adam.MUTANTS,
    *loop.MUTANTS,
    *state.MUTANTS,
    *streams.MUTANTS,
    *contract.MUTANTS,
    *inputs.MUTANTS,
    *sampling.MUTANTS,
)
