"""Wrong checkpoints: what a state leaves out, mixes up or shares."""

from typing import Any, Final

import numpy as np

from vae_rosetta.conformance.meta.mutants.base import Mutant, Patch, on_method
from vae_rosetta.shared.contract import Array, Tensors

_RESUMED = "checkpoint::test_resumed_run_equals_the_uninterrupted_one"


def _not_restored(*prefixes: str) -> Patch:
    """`load_state` leaves what is named as it was."""

    def load_state(true: Any, model: Any, state: Tensors) -> None:
        true(model, {name: model.state()[name] if name.startswith(prefixes) else v for name, v in state.items()})

    return on_method("load_state", load_state)


def _state(wrong: Any) -> Patch:
    return on_method("state", lambda true, model: wrong(model, true(model)))


def _state_alias(model: Any, state: dict[str, Array]) -> dict[str, Array]:
    return {**state, **{f"adam.m.{name}": value for name, value in model._moments["m"].items()}}


def _loaded_alias(true: Any, model: Any, state: Tensors) -> None:
    true(model, state)
    model._moments["v"].update({name: state[f"adam.v.{name}"] for name in model._moments["v"]})


def _moments_by_position(true: Any, model: Any, state: Tensors) -> None:
    """The two heads have one shape: a loader that goes by position may exchange them."""
    one, other = "adam.m.encoder.fc2_mu.bias", "adam.m.encoder.fc2_logvar.bias"
    true(model, {**state, one: state[other], other: state[one]})


MUTANTS: Final = (
    Mutant("state-not-restored", "the step", (_RESUMED,), _not_restored("adam.step")),
    Mutant("state-not-restored", "m", (_RESUMED,), _not_restored("adam.m.")),
    Mutant("state-not-restored", "v", (_RESUMED,), _not_restored("adam.v.")),
    Mutant("state-not-restored", "all but the parameters", (_RESUMED,), _not_restored("adam.")),
    Mutant(
        "names-swapped",
        "two moments of one shape, in load_state",
        (_RESUMED,),
        on_method("load_state", _moments_by_position),
    ),
    Mutant(
        "step-count",
        "the state holds the step to come",
        ("training/tiny", "checkpoint::test_state_is_named_and_shaped_and_survives_a_file"),
        _state(lambda model, state: {**state, "adam.step": np.array(state["adam.step"] + 1)}),
    ),
    Mutant("arrays-shared", "by state", ("checkpoint::test_states_belong_to_the_caller",), _state(_state_alias)),
    Mutant(
        "arrays-shared",
        "by load_state",
        ("checkpoint::test_states_belong_to_the_caller",),
        on_method("load_state", _loaded_alias),
    ),
)
