"""Several bugs in one port: the answers of a run, read together, name each bug once, and no other."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import jsonschema
import numpy as np
import pytest

from vae_rosetta.conformance import comparator, explainer, likely, report
from vae_rosetta.conformance.explainer import Explanation, Finding
from vae_rosetta.conformance.explainer.rules import Adam, Rules
from vae_rosetta.conformance.explainer.suspect import Suspect
from vae_rosetta.conformance.meta.strangers import grade
from vae_rosetta.conformance.outcome import Fault
from vae_rosetta.shared import rounding, vectors
from vae_rosetta.shared.contract import Array, FullModel, Tensors
from vae_rosetta.shared.oracle import sigmoid
from vae_rosetta.shared.vectors import Vector, operations

SMALL: Final = [
    vector
    for vector in vectors.load().values()
    if vector.operation in operations.OPERATIONS and not {"data", "weights_seed"} & vector.arguments.keys()
]
ROUNDOFF: Final = {"float32": 2.0**-24, "float64": 2.0**-53}
Key = tuple[str, str]  # a vector and a precision

# What a stranger writes: the cross-entropy of clipped probabilities in the model's precision, and the other Adam.
STRANGER: Final = """\
import numpy as np
from vae_rosetta.shared import oracle, spec
from vae_rosetta.shared.contract import Losses
from vae_rosetta.shared.oracle import describe, sigmoid

CLIP = 1e-7

class Model(oracle.Oracle):
    def losses(self, x, noise):
        mu, logvar = self.encode(x)
        logits = self.decode(self.reparameterize(mu, logvar, noise))
        x, p = x.astype(logits.dtype), np.clip(sigmoid(logits).astype(logits.dtype), CLIP, 1 - CLIP)
        kl = super().losses(x, noise).kl
        return Losses((-x * np.log(p) - (1 - x) * np.log(1 - p)).sum(axis=1), kl)

def load(params, *, dtype="float32", device="auto"):
    oracle.load(params, dtype=dtype, device=device)
    return Model(params, dtype)
"""


def ask(vector: Vector, load: Callable[[Tensors], FullModel]) -> dict[str, Array]:
    with np.errstate(all="ignore"):
        return operations.OPERATIONS[vector.operation](load, vector.inputs, vector.arguments)


def is_wrong(vector: Vector, actual: dict[str, Array], dtype: str) -> bool:
    try:
        comparator.compare(actual, vector.expected, vector.tolerance(dtype), dtype)
    except comparator.Mismatch:
        return True
    return False


def read(rules: Callable[[Vector, str], Rules], *, rounds: bool = True) -> dict[Key, Explanation]:
    """What is said of a model with these rules, which rounds as arithmetic in each precision does."""
    diagnoses = {}
    for dtype, roundoff in ROUNDOFF.items():
        for vector in SMALL:
            chosen = rules(vector, dtype)
            if rounds:
                chosen = replace(chosen, arithmetic=rounding.RoundedArithmetic(roundoff, 5))
            actual = ask(vector, lambda params, r=chosen, d=dtype: Suspect(params, d, r))  # type: ignore[misc]
            if dtype in vectors.graded_in(vector.arguments) and is_wrong(vector, actual, dtype):
                diagnoses[vector.id, dtype] = explainer.diagnosis(vector, actual, dtype)
    return dict(zip(diagnoses, explainer.together(list(diagnoses.values())), strict=True))


def causes(explanations: Iterable[Explanation]) -> set[str]:
    return {finding.cause for explanation in explanations for finding in explanation.findings}


def clipped(held: Callable[[Array], Array], at_bound: float) -> Rules:
    """Cross-entropy on probabilities clipped to [1e-7, 1 - 1e-7], as frameworks differentiate it."""
    low, high = (float(held(np.asarray(bound))) for bound in (1e-7, 1.0 - 1e-7))

    def loss(logits: Array, x: Array) -> Array:
        p = np.clip(held(sigmoid(logits)), low, high)
        return np.asarray(-x * np.log(p) - (1.0 - x) * np.log1p(-p))

    def slope(logits: Array, x: Array) -> Array:
        p = held(sigmoid(logits))
        inside = np.where((p == low) | (p == high), at_bound, (low < p) & (p < high))
        return np.asarray((p - x) * inside)

    return Rules(cross_entropy=loss, cross_entropy_slope=slope)


HAT: Final = Adam(place="before", epsilon=1e-8)


@pytest.mark.parametrize("at_bound", [1.0, 0.5], ids=["TensorFlow's clip", "JAX's clip"])
def test_keras_loss_and_keras_adam_are_the_only_causes(at_bound: float) -> None:
    """Every wrong answer follows from the two, alone or at once; what one answer cannot tell apart, the others do."""

    def rules(vector: Vector, dtype: str) -> Rules:
        def held(value: Array) -> Array:
            return np.asarray(value).astype(dtype).astype(np.float64)

        return replace(clipped(held, at_bound), adam=HAT)

    # Not rounded: a logit of tiny-gradients lies on the clip's edge, and would cross it at random.
    found = read(rules, rounds=False)
    assert all(explanation.findings for explanation in found.values()), found
    assert causes(found.values()) == {"probabilities-clipped", "epsilon-hat"}
    for dtype in ROUNDOFF:
        both = found["training/tiny-gradients", dtype]
        assert both.at_once
        assert both.known
        assert {f.cause for f in both.findings} == {"probabilities-clipped", "epsilon-hat"}
        for vector in ("loss/saturated-logits", "gradients/saturated-logits"):
            assert [tuple(f) for f in found[vector, dtype].findings] == [("probabilities-clipped", "at 1e-07")]


def _latent_mean(vector: Vector, dtype: str) -> Rules:
    return Rules(kl_weight=1 / len(vector.inputs["param.encoder.fc2_mu.bias"]), adam=Adam(place="before", epsilon=1e-7))


def _pixel_mean(vector: Vector, dtype: str) -> Rules:
    return Rules(reconstruction_weight=1 / len(vector.inputs["param.decoder.fc4.bias"]), adam=Adam(beta2=0.99))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (_latent_mean, {"kl-latent-mean", "epsilon-hat"}),
        (_pixel_mean, {"pixel-mean", "adam-beta2"}),
    ],
)
def test_two_bugs_are_both_named_and_nothing_else_is(rules: Callable[[Vector, str], Rules], expected: set[str]) -> None:
    found = read(rules)
    assert all(explanation.findings for explanation in found.values()), found
    assert causes(found.values()) == expected
    assert found["training/tiny", "float64"].at_once


def test_bug_that_never_acts_alone_is_found_behind_the_other() -> None:
    """Without the vectors that show Adam's fault alone, it is looked for behind the loss's."""
    diagnoses = []
    for name in ("loss/tiny", "gradients/tiny", "training/tiny"):
        vector = vectors.load()[name]
        rules = replace(_latent_mean(vector, "float64"), adam=Adam(place="before", epsilon=1e-5))
        actual = ask(vector, lambda params, r=rules: Suspect(params, "float64", r))  # type: ignore[misc]
        diagnoses.append(explainer.diagnosis(vector, actual, "float64"))
    assert not diagnoses[-1].findings
    found = explainer.together(diagnoses)
    assert {f.cause for f in found[-1].findings} == {"kl-latent-mean", "epsilon-hat"}
    assert found[-1].at_once
    assert not found[-1].known, "no answer names epsilon alone"


def test_unknown_bug_gets_no_name_from_a_known_one() -> None:
    """A KL term that nobody has written yet, with Keras' Adam: Adam is named where it acts alone, and nowhere else."""
    kl = Rules(
        kl=lambda mu, logvar: 0.5 * (np.abs(mu) + np.exp(logvar) - 1.0 - logvar),
        kl_slopes=lambda mu, logvar: (np.sign(mu) / 2.0, np.expm1(logvar) / 2.0),
        adam=Adam(place="before", epsilon=1e-7),
    )
    found = read(lambda vector, dtype: kl)
    assert causes(found.values()) == {"epsilon-hat"}
    for (vector, _), explanation in found.items():
        assert bool(explanation.findings) == (
            vector not in ("loss/tiny", "training/tiny") and "gradients/" not in vector
        )


def test_what_an_answer_cannot_tell_apart_stays_so() -> None:
    """One wrong answer alone: both causes that fit are named, as alternatives."""
    vector = vectors.load()["loss/extreme-logvar"]
    rules = Rules(kl=lambda mu, logvar: 0.5 * (mu * mu + np.expm1(2.0 * logvar) - 2.0 * logvar))
    diagnosis = explainer.diagnosis(vector, ask(vector, lambda params: Suspect(params, "float64", rules)), "float64")
    assert len(diagnosis.findings) == 2
    (found,) = explainer.together([diagnosis])
    assert not found.at_once
    assert {*found.findings} == {*diagnosis.findings}
    assert " Or: " in explainer.text(found)


def test_nothing_wrong_is_nothing_to_read() -> None:
    assert explainer.together([]) == []
    assert explainer.together([explainer.Diagnosis()]) == [Explanation()]
    misshapen = explainer.Diagnosis((Finding("wrong-shape", "kl has shape (2,), not (5,)"),))
    assert explainer.together([misshapen]) == [Explanation(misshapen.findings)]


def _run(folder: Path, *options: str) -> tuple[Any, str]:
    """The certificate, checked against the schema, and what was printed."""
    run = grade(folder, STRANGER, "-k", "test_loss or (test_gradients and tiny)", "--report", "out.json", *options)
    found = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    jsonschema.validate(found, json.loads(report.SCHEMA.read_text(encoding="utf-8")))
    return found, run.stdout


def test_report_names_a_cause_once_with_its_cases(tmp_path: Path) -> None:
    found, said = _run(tmp_path, "--report", "out.md")
    (cause,) = found["causes"]
    assert (cause["cause"], cause["detail"], cause["pitfall"]) == ("probabilities-clipped", "at 1e-07", "P01")
    failed = {(entry["case"], entry["dtype"]) for entry in found["failures"] if entry["vector"]}
    assert failed
    assert {(entry["case"], entry["dtype"]) for entry in cause["explains"]} == failed
    assert {entry["how"] for entry in cause["explains"]} == {"alone"}
    assert f"1 known cause accounts for {len(failed)} of {len(failed)} wrong answers to vectors:" in said
    assert said.count(f"fix: {cause['fix']}") == 1
    assert "\nfails: loss/saturated-logits in float32 (loss.bce.logits): cause 1\n" in said
    page = (tmp_path / "out.md").read_text(encoding="utf-8")
    assert f"\n## Causes\n\n1. {cause['bug']} (at 1e-07) (clause loss.bce.logits, pitfall P01" in page


def test_failures_without_a_cause_are_never_left_out() -> None:
    """Of thirty failures that follow from one cause the terminal lists some; of others all, with what is known."""

    def failure(case: str, fault: Fault, message: str = "m", explanation: str | None = None) -> dict[str, Any]:
        how = {"fault": fault, "message": message, "explanation": explanation}
        return {"case": case, "dtype": "float32", "clauses": ["adam"], **how}

    explained = [failure(f"training/{i}", Fault.WRONG) for i in range(30)]
    others = [
        failure("training/mnist-5k", Fault.WRONG, explanation=f"{explainer.NOTHING}: not computed again"),
        failure("training/odd", Fault.WRONG, "missing: m", explainer.NOTHING),
        failure("forward/tiny", Fault.ERROR, "ValueError: output array is read-only"),
        failure("contract/test_law", Fault.LAW, "AssertionError: \nNot equal"),
    ]
    known = Explanation((Finding("epsilon-hat", "epsilon is 1e-08"),))
    causes = likely.listed((entry, known) for entry in explained)
    lines = [*likely.lines({"causes": causes, "failures": [*explained, *others], "deviations": []})]
    assert lines[0] == "1 known cause accounts for 30 of 32 wrong answers to vectors:"
    assert lines[-5:] == [
        "fails: training/mnist-5k in float32 (adam): no known cause fits: not computed again",
        "fails: training/odd in float32 (adam): no known cause fits",
        "fails: forward/tiny in float32 (adam): ValueError: output array is read-only",
        "fails: contract/test_law in float32 (adam): AssertionError: Not equal",
        "fails: 14 more, each of a cause above",
    ]
    assert lines.count("fails: training/0 in float32 (adam): cause 1") == 1
