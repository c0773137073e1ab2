"""Captured training steps of PyTorch, with a recorder that needs no GPU: like a CUDA graph, it computes nothing when it
records, and replays the same calls on the same memory."""

import copy
import importlib
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest

from vae_rosetta.shared import parameters, recipe
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes

torch: Any = pytest.importorskip("torch")
TORCH_VAE: Final[Any] = importlib.import_module("vae_rosetta.implementations.torch_vae")
CAPTURE: Final[Any] = importlib.import_module("vae_rosetta.implementations.torch_vae.capture")
SIZES: Final = Sizes(12, 8, 3)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the recorder did, call by call."""
    calls: list[str] = []

    def record(function: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        calls.append("record")
        result = torch.full((), torch.nan)

        def replay() -> None:
            calls.append("replay")
            result.copy_(function())

        return replay, result

    monkeypatch.setattr(CAPTURE, "record", record)
    monkeypatch.setattr(CAPTURE, "is_wanted", lambda device: not CAPTURE._refusal)
    monkeypatch.setattr(CAPTURE, "_refusal", "")
    return calls


def _load(dtype: str = "float32") -> Any:
    return TORCH_VAE.load(parameters.initial(0, SIZES), dtype=dtype)


def _fit(model: Any, epochs: int = 3, first_epoch: int = 0) -> Array:
    """Epochs of five steps of four images and a short one of two."""
    x = np.random.default_rng(0).random((22, 12)).astype(np.float32)
    run = recipe.fit(model, x, seed=0, epochs=epochs, batch_size=4, first_epoch=first_epoch)
    return np.concatenate([epoch.step_objectives for epoch in run])


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_captured_steps_are_the_same_steps(dtype: str, recorded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    model = _load(dtype)
    objectives = _fit(model)
    assert recorded == ["record", *["replay"] * 13], (
        "two steps as usual, one capture for all epochs, short ones as usual"
    )
    monkeypatch.setattr(CAPTURE, "is_wanted", lambda device: False)
    plain = _load(dtype)
    np.testing.assert_array_equal(objectives, _fit(plain), strict=True)
    for name, value in plain.state().items():
        np.testing.assert_array_equal(model.state()[name], value, err_msg=name, strict=True)
    assert int(model.state()["adam.step"]) == 18


def test_a_state_that_is_taken_up_later_counts(recorded: list[str]) -> None:
    model, other = _load(), _load()
    whole = _fit(model)
    _fit(other, epochs=2)
    state = other.state()
    _fit(other, epochs=3, first_epoch=0)  # goes elsewhere, with what is captured
    other.load_state(state)
    np.testing.assert_array_equal(_fit(other, epochs=3, first_epoch=2), whole[12:])
    assert recorded.count("record") == 2, "once for each model"
    twin = copy.deepcopy(other)
    np.testing.assert_array_equal(_fit(twin, epochs=4, first_epoch=3), _fit(other, epochs=4, first_epoch=3))


def test_a_refusal_changes_nothing_but_the_speed(recorded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _fit(_load())

    def refuse(function: Callable[[], Any]) -> Any:
        recorded.append("refuse")
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    recorded.clear()
    monkeypatch.setattr(CAPTURE, "record", refuse)
    np.testing.assert_array_equal(_fit(_load()), expected)
    np.testing.assert_array_equal(_fit(_load()), expected)
    assert recorded == ["refuse"], "asked once"
    assert CAPTURE.how().endswith("a CUDA graph was refused: operation not permitted when stream is capturing")


def test_on_the_cpu_nothing_is_captured() -> None:
    assert not CAPTURE.is_wanted(torch.device("cpu"))
    assert CAPTURE.is_wanted(torch.device("cuda"))
    assert "steps" not in TORCH_VAE.describe() or torch.cuda.is_available()
