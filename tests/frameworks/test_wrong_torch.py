"""The classic bugs in a real framework: each makes one of ours wrong, and the vectors that claim it reject it.

`nox -s mutants` runs this; without PyTorch it skips and says so.
"""

import importlib
import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest

from vae_rosetta.conformance.comparator import Mismatch
from vae_rosetta.conformance.grader import Grader
from vae_rosetta.shared import spec, vectors
from vae_rosetta.shared.bugs import BUGS
from vae_rosetta.shared.contract import Array

torch: Any = pytest.importorskip("torch")
F: Final = torch.nn.functional
TORCH_VAE: Final[Any] = importlib.import_module("vae_rosetta.implementations.torch_vae")
MODEL: Final[Any] = importlib.import_module("vae_rosetta.implementations.torch_vae.model")
VECTORS: Final = vectors.load()

Patch = Callable[[pytest.MonkeyPatch], None]


def _adam(changed: Callable[[float], dict[str, float]]) -> Patch:
    """Adam's operator with other options than those asked for: `changed` has them for a step, counted from 1."""
    true = torch._fused_adam_

    def wrong(*tensors: Any, **options: Any) -> None:
        steps = tensors[5]
        true(*tensors, **options | changed(float(steps[0])))

    return lambda patch: patch.setattr(torch, "_fused_adam_", wrong)


def _epsilon_hat(step: float) -> dict[str, float]:
    """Epsilon before the bias correction: alpha_t m / (sqrt(v) + eps), which is eps / sqrt(1 - beta2^t) after it."""
    return {"eps": spec.EPSILON / math.sqrt(1 - spec.BETA2**step)}


def _functional(name: str, wrong: Callable[..., Any]) -> Patch:
    return lambda patch: patch.setattr(F, name, wrong)


def _kl(wrong: Callable[..., Any]) -> Patch:
    """`wrong(true, mu, logvar)`."""
    true = MODEL.kl_divergence
    return lambda patch: patch.setattr(MODEL, "kl_divergence", lambda mu, logvar: wrong(true, mu, logvar))


def _reparameterize(wrong: Callable[..., Any]) -> Patch:
    """`wrong(mu, logvar, noise)`."""
    return lambda patch: patch.setattr(TORCH_VAE.VAE, "reparameterize", lambda vae, *given: wrong(*given))


def _linear(dtype: str) -> Patch:
    """Every linear layer runs in a coarser precision, and hands on float32."""

    def forward(layer: Any, x: Any) -> Any:
        with torch.autocast("cpu", dtype=getattr(torch, dtype)):
            return F.linear(x, layer.weight, layer.bias).to(x.dtype)

    return lambda patch: patch.setattr(torch.nn.Linear, "forward", forward)


def _mean_over_pixels(patch: pytest.MonkeyPatch) -> None:
    true = TORCH_VAE.VAE.negative_elbo

    def wrong(vae: Any, x: Any, noise: Any = None) -> Any:
        reconstruction, kl = true(vae, x, noise)
        return reconstruction / x.shape[1], kl

    patch.setattr(TORCH_VAE.VAE, "negative_elbo", wrong)


def _objective_after_update(patch: pytest.MonkeyPatch) -> None:
    true = TORCH_VAE.Model.train

    def wrong(model: Any, x: Array, order: Array, noise: Array) -> Array:
        after = []
        for rows, step_noise in zip(order, noise, strict=True):
            true(model, x, rows[None], step_noise[None])
            after.append(np.sum(model.losses(x[rows], step_noise)))
        return np.array(after, x.dtype)

    patch.setattr(TORCH_VAE.Model, "train", wrong)


def _probabilities(logits: Any, x: Any, reduction: str) -> Any:
    return F.binary_cross_entropy(torch.sigmoid(logits), x, reduction=reduction)


def _by_hand(logits: Any, x: Any, reduction: str) -> Any:
    return logits.clamp(min=0) - logits * x + torch.log1p(torch.exp(-logits.abs()))


# By the bug's id in the catalogue and its variant: how it is put in, and the vectors that claim it.
WRONG: Final[dict[tuple[str, str], tuple[Patch, tuple[str, ...]]]] = {
    ("epsilon-hat", ""): (_adam(_epsilon_hat), ("training/tiny-gradients",)),
    ("weight-decay", "1e-4"): (_adam(lambda step: {"weight_decay": 1e-4}), ("training/tiny",)),
    ("adam-rate", "1.001e-3"): (_adam(lambda step: {"lr": 1.001e-3}), ("training/tiny", "training/tiny-recipe")),
    ("adam-beta2", "0.99"): (_adam(lambda step: {"beta2": 0.99}), ("training/tiny",)),
    ("probabilities-clamped-at-100", ""): (
        _functional("binary_cross_entropy_with_logits", _probabilities),
        ("loss/saturated-logits", "gradients/saturated-logits"),
    ),
    ("kink-at-zero", ""): (
        _functional("binary_cross_entropy_with_logits", _by_hand),
        ("gradients/logit-zero",),
    ),
    ("pixel-mean", ""): (_mean_over_pixels, ("loss/tiny", "gradients/tiny")),
    ("std-is-exp-logvar", ""): (
        _reparameterize(lambda mu, logvar, noise: mu + torch.exp(logvar) * noise),
        ("forward/log-variance", "gradients/tiny"),
    ),
    ("noise-ignored", ""): (_reparameterize(lambda mu, logvar, noise: mu), ("loss/tiny", "forward/tiny")),
    ("relu-at-zero", ""): (_functional("relu", lambda hidden: hidden.clamp(min=0)), ("gradients/relu-at-zero",)),
    ("coarse-products", "bfloat16 autocast"): (
        _linear("bfloat16"),
        ("forward/full", "gradients/full", "forward/precision-probe"),
    ),
    ("coarse-products", "float16 autocast"): (_linear("float16"), ("forward/full", "forward/precision-probe")),
    ("inert-kl", ""): (
        _kl(lambda true, mu, logvar: true(mu.detach(), logvar.detach())),
        ("gradients/kl-wired",),
    ),
    ("logvar-clamped", ""): (_kl(lambda true, mu, logvar: true(mu, logvar.clamp(-30, 20))), ("loss/extreme-logvar",)),
    ("kl-latent-mean", ""): (_kl(lambda true, mu, logvar: true(mu, logvar) / mu.shape[1]), ("loss/tiny",)),
    ("post-update-objective", ""): (_objective_after_update, ("training/tiny",)),
}


@pytest.mark.parametrize("bug", WRONG, ids=lambda bug: " ".join(filter(None, bug)))
def test_wrong_torch_is_rejected(bug: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert bug[0] in BUGS
    patch, claimed = WRONG[bug]
    patch(monkeypatch)
    for name in claimed:
        with pytest.raises(Mismatch):
            Grader(TORCH_VAE, "float32").check(VECTORS[name])


@pytest.mark.parametrize("name", sorted({name for _, claimed in WRONG.values() for name in claimed}))
def test_true_torch_passes(name: str) -> None:
    Grader(TORCH_VAE, "float32").check(VECTORS[name])
