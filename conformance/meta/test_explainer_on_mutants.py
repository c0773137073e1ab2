"""The explainer names the bug of each wrong implementation, from its answers alone."""

import warnings
from typing import Final

import numpy as np
import pytest

from vae_rosetta.conformance import explainer
from vae_rosetta.conformance.explainer.loss_hypotheses import loss_hypotheses
from vae_rosetta.conformance.explainer.model_hypotheses import model_hypotheses
from vae_rosetta.conformance.explainer.precision import precision_hypotheses
from vae_rosetta.conformance.explainer.search import FAMILIES
from vae_rosetta.conformance.explainer.training_hypotheses import training_hypotheses
from vae_rosetta.conformance.explainer.weights import named_weights
from vae_rosetta.conformance.meta.mutants import MUTANTS
from vae_rosetta.conformance.meta.mutants.base import Mutant, fresh_subject, light
from vae_rosetta.shared import vectors
from vae_rosetta.shared.bugs import BUGS
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes
from vae_rosetta.shared.vectors import Vector, operations

NAMED: Final = 0.9  # share of the wrong answers to whose bug there is a hypothesis
ASKING: Final = {name: vector for name, vector in vectors.load().items() if not explainer.beyond(vector)}

_SIZES: Final = Sizes(12, 7, 3)
# The bugs that are looked for by computing a vector with them; others show in the answer itself.
COMPUTED: Final = {
    hypothesis.cause
    for hypotheses in (
        model_hypotheses(_SIZES),
        loss_hypotheses("float32"),
        training_hypotheses(),
        precision_hypotheses(),
        named_weights(_SIZES, 5),
    )
    for hypothesis in hypotheses
}


def _answer(mutant: Mutant, vector: Vector) -> dict[str, Array]:
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        subject = fresh_subject()
        mutant.patch(subject, patch)
        ask = operations.OPERATIONS[vector.operation]
        return ask(lambda params: subject.load(params, dtype=mutant.dtype), vector.inputs, vector.arguments)


def test_hypotheses_name_rows() -> None:
    assert len(COMPUTED) > 60
    assert BUGS.keys() >= COMPUTED | FAMILIES


def test_bug_of_mutants_is_named() -> None:
    """On the vectors that claim to reject them: most of those to which there is a hypothesis, and none wrongly."""
    named, missed, wrong = [], [], []
    for mutant in MUTANTS:
        for name in ASKING.keys() & set(light(mutant)):
            known = mutant.bug in COMPUTED
            if not known and ASKING[name].operation in ("train", "fit"):
                continue  # to find nothing there takes seconds each
            found = explainer.diagnosis(ASKING[name], _answer(mutant, ASKING[name]), mutant.dtype).findings
            if not found:
                missed += [(mutant.name, name)] if known else []
            elif found[0].cause in (mutant.bug, *BUGS[mutant.bug].same_answers_as):
                named.append(mutant.bug)
            else:
                wrong.append((mutant.name, name, found))
    print(f"{len(named)} answers of {len({*named})} bugs explained; missed: {missed}")
    assert not wrong, "a wrong bug is worse than none"
    assert len({*named}) >= 70
    assert len(named) >= NAMED * (len(named) + len(missed)), missed
