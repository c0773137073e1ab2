"""What PyTorch's hand-written step could get wrong, and no vector would see."""

import copy
import importlib
import pickle
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest

from vae_rosetta.conformance.comparator import Mismatch
from vae_rosetta.conformance.grader import Grader
from vae_rosetta.shared import parameters, vectors
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes

torch: Any = pytest.importorskip("torch")
TORCH_VAE: Final[Any] = importlib.import_module("vae_rosetta.implementations.torch_vae")
TORCH_ADAM: Final[Any] = importlib.import_module("vae_rosetta.implementations.torch_vae.adam")
TORCH_PRODUCTS: Final[Any] = importlib.import_module("vae_rosetta.implementations.torch_vae.products")
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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_adam_is_pytorchs_own_to_the_last_bit(dtype: str) -> None:
    """Weights of sizes that fill no vector register, each by itself, beside the optimizer on all of them."""
    random = torch.Generator().manual_seed(0)
    params, gradients = (
        [torch.randn(shape, generator=random, dtype=getattr(torch, dtype)) for shape in ((7, 5), (13,), (3, 3))]
        for _ in range(2)
    )
    m, v = ([torch.zeros_like(param) for param in params] for _ in range(2))
    expected = [torch.nn.Parameter(param.clone()) for param in params]
    optimizer = torch.optim.Adam(expected, lr=1e-3, eps=1e-8, fused=True)
    adam = TORCH_ADAM.Adam(params, gradients, m, v)
    for _ in range(5):
        for param, gradient in zip(expected, gradients, strict=True):
            param.grad = gradient.clone()
        optimizer.step()
        adam.update()
        gradients[0].mul_(-0.5)
    assert adam.steps == 5
    for param, wanted, moment, square in zip(params, expected, m, v, strict=True):
        state = optimizer.state[wanted]
        assert torch.equal(param, wanted.detach())
        assert torch.equal(moment, state["exp_avg"])
        assert torch.equal(square, state["exp_avg_sq"])


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
        ("mul", lambda d_logvar, half, out: out.zero_(), "training/tiny"),
        ("sigmoid", lambda logits, out: torch.clamp(logits / 4 + 0.5, 0, 1, out=out), "training/tiny"),
        ("addcmul", lambda mu, std, noise, out=None: torch.add(mu, std, out=out), "training/tiny"),
    ],
    ids=["no gradient to logvar", "another sigmoid", "noise ignored"],
)
def test_a_wrong_step_is_rejected(function: str, wrong: Any, claimed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vector = vectors.load()[claimed]
    Grader(TORCH_VAE, "float32").check(vector)
    monkeypatch.setattr(torch, function, wrong)
    with pytest.raises(Mismatch):
        Grader(TORCH_VAE, "float32").check(vector)


@pytest.fixture(params=["mkl", "onednn"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of the two libraries of `products.py`, whatever CPU this is."""
    if request.param == "onednn" and not torch.backends.mkldnn.is_available():
        pytest.skip("this PyTorch was built without oneDNN")
    wide = dict.fromkeys(("sse4a", "avx512_f", "avx_vnni"), request.param == "onednn")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: wide, raising=False)
    return str(request.param)


@pytest.mark.parametrize(
    ("rows", "taken", "given"),
    [(3, 400, 784), (900, 784, 400), (3, 40, 400)],
    ids=["d_output transposed", "x transposed", "a small weight"],
)
def test_products(library: str, rows: int, taken: int, given: int) -> None:
    """rows images, a layer of `given` inputs and `taken` outputs."""
    products = TORCH_PRODUCTS.Products(torch.device("cpu"), torch.float32)
    random = torch.Generator().manual_seed(0)
    shapes = {"x": (rows, given), "weight": (taken, given), "bias": (taken,), "d_output": (rows, taken)}
    tensors = {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}
    x, weight, bias, d_output = tensors.values()
    before = {name: tensor.clone() for name, tensor in tensors.items()}

    def memory(*shape: int) -> Any:
        return torch.full(shape, torch.nan)

    d_weight = memory(taken, given)
    answers = {
        "linear": products.linear(x, weight, bias, out=memory(rows, taken)),
        "relu": products.linear(x, weight, bias, out=memory(rows, taken), relu=True),
        "d_input": products.d_input(d_output, weight, out=memory(rows, given)),
    }
    products.d_weight(d_output, x, out=d_weight)
    x, weight, bias, d_output = (tensor.double() for tensor in tensors.values())

    def with_bound(a: Any, b: Any, c: Any = 0.0) -> tuple[Any, Any]:
        """a b + c, and what float32 may be off by, in whatever order it adds: (n + 1) u |a| |b| (Higham 2002, 3.5)."""
        return a @ b + c, (a.shape[1] + 1) * 2.0**-24 * (a.abs() @ b.abs() + abs(c))

    linear, linear_bound = with_bound(x, weight.T, bias)
    expected = {
        "linear": (linear, linear_bound),
        "relu": (linear.relu(), linear_bound),
        "d_input": with_bound(d_output, weight),
        "d_weight": with_bound(d_output.T, x),
    }
    for name, found in {**answers, "d_weight": d_weight}.items():
        assert found.is_contiguous(), name
        wanted, bound = expected[name]
        assert bool(((found.double() - wanted).abs() <= bound).all()), name
    for name, tensor in tensors.items():
        assert torch.equal(tensor, before[name]), f"{name} was changed"


def test_training_conforms_by_either_library(library: str) -> None:
    for name in ("training/tiny", "training/full"):
        Grader(TORCH_VAE, "float32").check(vectors.load()[name])
    chosen = TORCH_PRODUCTS.Products(torch.device("cpu"), torch.float32)._onednn
    assert (chosen is not None) == (library == "onednn")


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_onednn_multiplies_float32_alone(library: str, dtype: str) -> None:
    assert TORCH_PRODUCTS.Products(torch.device("cpu"), getattr(torch, dtype))._onednn is None


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
