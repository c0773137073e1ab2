"""The files `model.py` are read side by side: same definitions, same order, same arguments, short enough for a page."""

import ast
from pathlib import Path
from typing import Final

import pytest

MODELS: Final = sorted((Path(__file__).parents[1] / "implementations").glob("*/model.py"))
LINES: Final = 170
FORWARD: Final = {"forward", "call", "__call__"}  # what a model's own class calls the same
# What one framework's classes or functions want, and others do not.
ADAM: Final = {"adam", "Adam"}  # PyTorch's own is the specification's
DTYPE_AND_GENERATOR: Final = {"dtype", "rngs"}  # PyTorch's modules have `to`, and one generator for all


def outline(source: str) -> list[str]:
    """The public functions, classes and methods of a model's file, in order, with their arguments."""
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name not in ADAM and not node.name.startswith("_"):
            found.append(_signature(node))
        elif isinstance(node, ast.ClassDef) and node.name not in ADAM:
            methods = (method for method in node.body if isinstance(method, ast.FunctionDef))
            found += [node.name, *(f"{node.name}.{_signature(method)}" for method in methods)]
    return found


def _signature(function: ast.FunctionDef) -> str:
    arguments = (a.arg for a in (*function.args.args, *function.args.kwonlyargs))
    name = "forward" if function.name in FORWARD else function.name
    return f"{name}({', '.join(a for a in arguments if a not in DTYPE_AND_GENERATOR)})"


def test_outline_is_that_of_the_classic_vae() -> None:
    assert len(MODELS) >= 3
    reference = outline(MODELS[0].read_text(encoding="utf-8"))
    assert [name for name in reference if "." not in name] == [
        "Encoder",
        "Decoder",
        "VAE",
        "kl_divergence(mu, logvar)",
        "loss_function(recon_x, x, mu, logvar)",
        "train(model, data_loader, optimizer, noise)",
        "update(model, optimizer, x, noise)",
    ]
    assert "VAE.forward(self, x, noise)" in reference


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.parent.name)
def test_models_have_the_same_outline_and_are_a_page(model: Path) -> None:
    source = model.read_text(encoding="utf-8")
    assert outline(source) == outline(MODELS[0].read_text(encoding="utf-8"))
    assert len(source.splitlines()) <= LINES


def test_a_difference_is_noticed() -> None:
    source = MODELS[0].read_text(encoding="utf-8")
    assert outline(source.replace("def kl_divergence(", "def kl(")) != outline(source)
    assert outline(source.replace("(recon_x: Tensor, x: Tensor", "(x: Tensor, recon_x: Tensor")) != outline(source)
