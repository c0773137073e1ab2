"""What PyTorch's hand-written step could get wrong, and no vector would see."""

import copy
import importlib
import pickle
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest

from conformance.comparator import Mismatch
from conformance.plugin import Grader
from shared import parameters, vectors
from shared.contract import Array
from shared.spec import Sizes

torch: Any = pytest.importorskip("torch")
TORCH_VAE: Final[Any] = importlib.import_module("implementations.torch_vae")
SIZES: Final = Sizes(12, 8, 3)


@pytest.fixture
def run() -> tuple[Array, Array, Array]:
    """x (20, 12), order (6, 4), noise (6, 4, 3)."""
    random = np.random.default_rng(0)
    x = random.random((20, 12)).astype(np.float32)
    return x, random.integers(0, 20, (6, 4)), random.standard_normal((6, 4, 3)).astype(np.float32)


def _load(dtype: str = "float32") -> Any:
    return TORCH_VAE.load(parameters.initial(0, SIZES), dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_trains_on_alone(copied: Any, dtype: str, run: tuple[Array, Array, Array]) -> None:
    model = _load(dtype)
    model.train(*run)
    twin = copied(model)
    before = model.state()
    assert twin.train(*run).shape == (6,)
    for name, value in model.state().items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    model.train(*run)
    for name, value in twin.state().items():
        np.testing.assert_array_equal(value, model.state()[name], err_msg=name)
    assert not np.array_equal(twin.params()["decoder.fc4.weight"], before["decoder.fc4.weight"])


def test_the_module_follows_the_contract_and_its_own_training(run: tuple[Array, Array, Array]) -> None:
    """`train` by hand and the steps that a PyTorch user would write, with autograd and one tensor a parameter."""
    x, order, noise = run
    model = _load()
    vae = TORCH_VAE.VAE(*SIZES._replace(hidden_dim=SIZES.latent_dim, latent_dim=SIZES.hidden_dim))  # takes L before H
    vae.load_state_dict({name: torch.tensor(value) for name, value in model.params().items()})
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)
    objectives = []
    for rows, step_noise in zip(order, noise, strict=True):
        optimizer.zero_grad()
        objective = sum(loss.sum() for loss in vae.negative_elbo(torch.tensor(x[rows]), torch.tensor(step_noise)))
        objective.backward()
        optimizer.step()
        objectives.append(objective.item())
    # Float32 sums of 60 terms in two orders. Six steps of 1e-3 move a weight by up to 6e-3.
    np.testing.assert_allclose(model.train(*run), objectives, rtol=1e-6)
    for name, value in vae.state_dict().items():
        np.testing.assert_allclose(model.params()[name], value.numpy(), atol=1e-6, err_msg=name)


def test_default_dtype_of_the_process_changes_nothing(run: tuple[Array, Array, Array]) -> None:
    objectives = _load().train(*run)
    torch.set_default_dtype(torch.float64)
    try:
        np.testing.assert_array_equal(_load().train(*run), objectives, strict=True)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("function", "wrong", "claimed"),
    [
        ("expm1", torch.zeros_like, "training/tiny"),  # the gradient of KL to logvar left out
        ("sigmoid", lambda logits, out: torch.clamp(logits / 4 + 0.5, 0, 1, out=out), "training/tiny"),
        ("addcmul", lambda mu, std, noise, out: torch.add(mu, std, out=out), "training/tiny"),  # noise ignored
    ],
    ids=["no gradient from KL to logvar", "another sigmoid", "noise ignored"],
)
def test_a_wrong_step_is_rejected(function: str, wrong: Any, claimed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vector = vectors.load()[claimed]
    Grader(TORCH_VAE, "float32").check(vector)
    monkeypatch.setattr(torch, function, wrong)
    with pytest.raises(Mismatch):
        Grader(TORCH_VAE, "float32").check(vector)


def test_mixed_precision_reaches_every_answer_and_no_other_model(run: tuple[Array, Array, Array]) -> None:
    x, noise = run[0][:4], run[2][0]
    single, mixed = _load(), _load("mixed_bfloat16")
    asked: dict[str, Callable[[Any], Array]] = {
        "encode": lambda model: model.encode(x)[0],
        "decode": lambda model: model.decode(noise),
        "losses": lambda model: model.losses(x, noise).reconstruction,
        "gradients": lambda model: model.gradients(x, noise)["decoder.fc4.weight"],
        "sample": lambda model: model.sample(x, 1),
        "generate": lambda model: model.generate(4, 1),
    }
    for name, ask in asked.items():
        coarse = ask(mixed)
        assert coarse.dtype == np.float32, name
        error = np.abs(coarse - ask(single)).max() / np.abs(coarse).max()
        assert 1e-5 < error < 0.05, name


def test_autocast_of_the_caller_changes_nothing(run: tuple[Array, Array, Array]) -> None:
    x, noise = run[0][:4], run[2][0]

    def answers() -> list[Array]:
        model = _load()
        return [*model.encode(x), model.decode(noise), *model.losses(x, noise), model.train(*run)]

    expected = answers()
    with torch.autocast("cpu", torch.bfloat16):
        for found, wanted in zip(answers(), expected, strict=True):
            np.testing.assert_array_equal(found, wanted, strict=True)
