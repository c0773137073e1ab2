"""Wrong checkpoints: what a state leaves out, mixes up or shares."""

from typing import Any, Final

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


def _mutant(
    name: str, bug: str, source: str, pitfall: str, flag: str | None, *rejected_by: str, patch: Patch
) -> Mutant:
    return Mutant(name, bug, source, pitfall, "state", flag, rejected_by, patch)


MUTANTS: Final = (
    _mutant(
        "step-not-restored",
        "load_state leaves Adam's step as it was",
        "NVIDIA-NeMo/Automodel#763",
        "P34",
        None,
        _RESUMED,
        patch=_not_restored("adam.step"),
    ),
    _mutant(
        "m-not-restored",
        "load_state leaves m as it was",
        "NVlabs/stylegan2-ada-pytorch#108",
        "P34",
        None,
        _RESUMED,
        patch=_not_restored("adam.m."),
    ),
    _mutant(
        "v-not-restored",
        "load_state leaves v as it was",
        "NVlabs/stylegan2-ada-pytorch#108",
        "P34",
        None,
        _RESUMED,
        patch=_not_restored("adam.v."),
    ),
    _mutant(
        "moments-not-restored",
        "load_state takes up the parameters alone",
        "OpenNMT/OpenNMT-py#617",
        "P34",
        None,
        _RESUMED,
        patch=_not_restored("adam."),
    ),
    _mutant(
        "moments-by-position",
        "moments of two tensors of one shape change places",
        "OpenNMT/OpenNMT-py#617",
        "P34",
        None,
        _RESUMED,
        patch=on_method("load_state", _moments_by_position),
    ),
    _mutant(
        "step-after-resume",
        "the state holds the step to come, not the steps taken",
        "deepspeedai/DeepSpeed#564",
        "P34",
        "bias-correction",
        "training/tiny",
        "checkpoint::test_state_is_named_and_shaped_and_survives_a_file",
        patch=_state(lambda model, state: {**state, "adam.step": state["adam.step"] + 1}),
    ),
    _mutant(
        "state-aliased",
        "state() hands out the arrays that training goes on with",
        "pytorch/pytorch#97586",
        "P33",
        None,
        "checkpoint::test_states_belong_to_the_caller",
        patch=_state(_state_alias),
    ),
    _mutant(
        "loaded-state-aliased",
        "load_state keeps the caller's arrays",
        "pytorch/pytorch#97586",
        "P33",
        None,
        "checkpoint::test_states_belong_to_the_caller",
        patch=on_method("load_state", _loaded_alias),
    ),
)
