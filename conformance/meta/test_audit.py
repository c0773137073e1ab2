"""The audit recovers what published losses compute, names every bug, and accepts every wording of the right loss."""

import functools
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

import vae_rosetta
from vae_rosetta import conformance
from vae_rosetta.conformance.audit import AuditError, Findings, examine, tensors
from vae_rosetta.conformance.audit.examination import BATCH
from vae_rosetta.conformance.audit.findings import DECLARATIONS, ratio
from vae_rosetta.conformance.cli import audit
from vae_rosetta.conformance.meta import published_losses
from vae_rosetta.conformance.meta.published_losses import bce_clamped, bce_clipped, bce_logits
from vae_rosetta.conformance.meta.wrong_losses import RIGHT, WRONG, right_mean, right_sum

PAGE = (Path(conformance.__file__).parent / "AUDIT.md").read_text(encoding="utf-8")
HERE = "vae_rosetta.conformance.meta.wrong_losses"
PUBLISHED = "vae_rosetta.conformance.meta.published_losses"


@functools.cache
def _of_published(name: str) -> Findings:
    case = published_losses.LOSSES[name]
    return examine(case.loss, name=name, input_shape=(case.input_dim,), latent_dim=case.latent_dim)


@functools.cache
def _of_wrong(name: str) -> Findings:
    return examine(WRONG[name].loss, name=name)


@pytest.mark.parametrize("name", published_losses.LOSSES)
def test_published_table_is_recovered(name: str) -> None:
    published, found = published_losses.LOSSES[name], _of_published(name)
    assert found.effective_beta == pytest.approx(published.beta, rel=1e-6, abs=1e-12)
    assert found.reconstruction_scale == pytest.approx(published.scale, rel=1e-6)
    assert found.batch_reduction == published.batch
    assert published.likelihood in found.likelihood
    assert found.clamp == published.clamp
    if published.beta:
        assert found.second_latent == published.second
        assert found.kl_batch_reduction == published.batch
    assert not found.swapped
    assert not found.conforms  # none is the specification's loss, or declared


def test_gaussian_normaliser_is_named() -> None:
    found = _of_published("alibi-detect OutlierVAE")
    assert found.constant == pytest.approx(3072 / 2 * np.log(2 * np.pi * 0.05**2))
    assert "Gaussian of deviation 0.05" in found.constant_is


def test_wrong_sign_in_a_log_is_named() -> None:
    found = _of_published("PyTorch-VAE vanilla, training")
    assert found.total == "loss"
    assert found.elements["KLD"] == {"reconstruction": 0.0, "kl": pytest.approx(-0.25)}
    assert any("KLD is the KL with the wrong sign" in deviation.what for deviation in found.deviations)


@pytest.mark.parametrize("wording", RIGHT)
def test_right_loss_is_accepted_in_every_wording(wording: str) -> None:
    loss, batch = RIGHT[wording]
    found = examine(loss, name=wording)
    assert found.conforms, found.deviations
    assert found.effective_beta == pytest.approx(1.0, abs=1e-9)
    assert found.batch_reduction == batch
    assert found.faults == found.kl_faults == []


@pytest.mark.parametrize("bug", WRONG)
def test_bug_is_named(bug: str) -> None:
    wrong, found = WRONG[bug], _of_wrong(bug)
    assert wrong.bug in {deviation.bug for deviation in found.deviations}, found.deviations
    for field, value in wrong.findings.items():
        expected = pytest.approx(value, rel=1e-6, abs=1e-12) if isinstance(value, float) else value
        assert getattr(found, field) == expected, field


@pytest.mark.parametrize("bug", WRONG)
def test_nothing_else_is_blamed(bug: str) -> None:
    wrong = WRONG[bug]
    assert {deviation.bug for deviation in _of_wrong(bug).deviations} <= {wrong.bug, *wrong.others}


def test_saturation_is_where_float32_saturates() -> None:
    """The table of pitfall P01, for Keras' clip and PyTorch's clamp behind a sigmoid."""
    clipped = {fault.where: fault for fault in _of_wrong("clipped to 1e-7").faults if fault.kind == "value"}
    assert clipped["target 1, logit -17"].got == pytest.approx(16.1181, abs=1e-3)
    assert abs(clipped["target 0, logit 15"].got - 15.0) > 0.01
    clamped = {fault.where: fault for fault in _of_wrong("logs clamped at -100").faults if fault.kind == "value"}
    assert clamped["target 1, logit -104"].got == pytest.approx(100.0, abs=1e-3)
    assert clamped["target 1, logit -104"].exact == pytest.approx(104.0, abs=1e-6)
    assert abs(clamped["target 0, logit 15"].got - 15.0) > 0.01  # 1 - p has few digits left
    flat = [fault for fault in _of_wrong("clipped to 1e-7").faults if fault.kind == "zero gradient"]
    assert {fault.where for fault in flat} >= {"target 1, logit -17", "target 0, logit 16"}


def test_nan_and_infinity_are_found() -> None:
    kinds = {fault.kind for fault in _of_wrong("log(-expm1(log_sigmoid))").faults}
    assert kinds >= {"nan", "inf"}
    assert "inf" in {fault.kind for fault in _of_wrong("naive log(sigmoid)").faults}
    assert "nan" in {fault.kind for fault in _of_wrong("log of exp(logvar)").kl_faults}


@pytest.mark.parametrize(("bce", "declared"), [(bce_clamped, "probs-clamp100"), (bce_clipped, "probs-clip1e-7")])
def test_declared_difference_is_accepted_if_it_is_that_one(bce: Any, declared: str) -> None:
    def loss(recon: Any, x: Any, mu: Any, logvar: Any) -> Any:
        return right_sum(recon, x, mu, logvar) - np.sum(bce_logits(recon, x)) + np.sum(bce(recon, x))

    other = {"probs-clamp100": "probs-clip1e-7", "probs-clip1e-7": "probs-clamp100"}[declared]
    assert not examine(loss).conforms
    assert examine(loss, declared=declared).conforms
    assert "declare what it is" in [deviation.fix for deviation in examine(loss, declared=other).deviations]


def test_false_declaration_of_a_loss_on_logits_is_refused() -> None:
    assert not examine(right_sum, declared="probs-clamp100").conforms


def test_float32_alone_suffices() -> None:
    def loss(recon: Any, x: Any, mu: Any, logvar: Any) -> Any:
        if recon.dtype != np.float32:
            raise TypeError("float32 only")
        return right_sum(recon, x, mu, logvar)

    found = examine(loss)
    assert found.precision == "float32"
    assert found.conforms, found.deviations
    assert abs((found.effective_beta or 0.0) - 1.0) <= found.beta_uncertainty < 1e-2


def test_loss_that_refuses_extremes_is_reported_not_a_crash() -> None:
    def loss(recon: Any, x: Any, mu: Any, logvar: Any) -> Any:
        if recon.dtype != np.float64:
            raise TypeError("float64 only")
        if max(np.abs(recon).max(), np.abs(logvar).max()) > 90:
            raise FloatingPointError("out of range")
        return right_sum(recon, x, mu, logvar)

    found = examine(loss)
    assert {fault.kind for fault in (*found.faults, *found.kl_faults)} == {"error"}
    assert not found.conforms


def test_coarse_beta_is_not_accepted() -> None:
    """float16 inside: beta 1 cannot be told from its neighbours."""

    def loss(recon: Any, x: Any, mu: Any, logvar: Any) -> Any:
        return np.float64(np.float16(right_mean(recon, x, mu, logvar)))

    found = examine(loss)
    assert found.beta_uncertainty > 1e-2
    assert not found.conforms


@pytest.mark.parametrize("bug", ["latents averaged", "logvar is a log-std", "KL subtracted", "KL times 0"])
def test_bug_shows_in_float32_too(bug: str) -> None:
    def loss(recon: Any, x: Any, mu: Any, logvar: Any) -> Any:
        return WRONG[bug].loss(*(array.astype(np.float32) for array in (recon, x, mu, logvar)))

    found = examine(loss)
    assert found.precision == "float32"
    assert WRONG[bug].bug in {deviation.bug for deviation in found.deviations}, found.deviations


def test_sizes_written_into_the_loss_are_no_obstacle() -> None:
    def loss(recon: Any, x: Any, mu: Any, logvar: Any) -> Any:
        if recon.shape != (16, 784) or mu.shape != (16, 20):
            raise ValueError("16 images of 784 pixels, 20 latents")
        return right_sum(recon, x, mu, logvar) / (16 * 784)

    found = examine(loss, batch=16)
    assert found.effective_beta == pytest.approx(1.0, abs=1e-9)
    assert found.reconstruction_scale == pytest.approx(1 / (16 * 784), rel=1e-9)
    assert found.pixel_reduction.endswith("(from its weight)")


def test_images_may_have_a_shape() -> None:
    def loss(data: Any, reconstruction: Any, z_mean: Any, z_log_var: Any) -> Any:
        bce = np.mean(np.sum(np.mean(bce_logits(reconstruction, data), axis=3), axis=(1, 2)))
        return bce + right_sum(data, data, z_mean, z_log_var) / len(data) - np.sum(bce_logits(data, data)) / len(data)

    found = examine(loss, input_shape=(28, 28, 1), latent_dim=2)
    assert found.conforms, found.deviations
    assert found.pixel_reduction == "sum"  # the mean over one channel is none


CANNOT = {
    "raises": (lambda recon, x, mu, logvar: 1 / 0, "division by zero"),
    "three arguments": (lambda recon, x, mu: 0.0, "argument"),
    "text": (lambda recon, x, mu, logvar: "12.5", "neither a number"),
    "whole images": (lambda recon, x, mu, logvar: recon - x, "neither a number"),
    "random": (lambda *a: right_sum(*a) + np.random.default_rng().normal(), "draws at random"),
    "no reconstruction": (lambda recon, x, mu, logvar: np.sum(mu**2), "does not change with the images"),
    "NaN": (lambda recon, x, mu, logvar: np.sum(recon) * np.nan, "expected finite"),
}


@pytest.mark.parametrize(("loss", "message"), CANNOT.values(), ids=CANNOT.keys())
def test_what_cannot_be_examined_says_so_in_one_line(loss: Any, message: str) -> None:
    with pytest.raises(AuditError, match=message) as raised:
        examine(loss)
    assert "\n" not in str(raised.value)


def _audited(*arguments: str) -> Result:
    return CliRunner().invoke(audit, arguments)


def test_command_prints_and_writes(tmp_path: Path) -> None:
    report = tmp_path / "audit.json"
    audited = _audited(f"{HERE}:right_mean", "--json", str(report))
    assert audited.exit_code == 0
    assert "It is the specification's loss" in audited.stdout
    found = json.loads(report.read_text(encoding="utf-8"))
    assert found["conforms"] is True
    assert found["effective_beta"] == pytest.approx(1.0)


def test_command_fails_a_wrong_loss_and_its_report_is_json(tmp_path: Path) -> None:
    report = tmp_path / "audit.json"
    audited = _audited("vae_rosetta.conformance.meta.published_losses:flax_examples", "--json", str(report))
    assert audited.exit_code == 1
    assert "DEVIATES [P02" in audited.stdout
    found = json.loads(report.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert {fault["got"] for fault in found["faults"]} >= {"inf", "nan"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_such_module:loss"], "cannot import 'no_such_module'"),
        ([f"{HERE}:no_such_loss"], "has no 'no_such_loss'"),
        ([HERE], "expected MODULE:FUNCTION"),
        ([f"{HERE}:WRONG"], "expected a function"),
        ([f"{HERE}:right_sum", "--arguments", "recon,x,mu"], "each of recon, x, mu, logvar once"),
        ([f"{HERE}:right_sum", "--batch", "1"], "'--batch': 1 is not in the range x>=2."),
        ([f"{HERE}:right_sum", "--input-dim", "0"], "'--input-dim': got '0'; expected a size such as 784, or 28x28x1."),
        ([f"{HERE}:right_sum", "--latent-dim", "x"], "'--latent-dim': 'x' is not a valid whole number"),
        ([f"{HERE}:right_sum", "--tensors", "mxnet"], "'--tensors': 'mxnet' is not one of"),
    ],
)
def test_command_explains_what_it_cannot_do(arguments: list[str], message: str) -> None:
    audited = _audited(*arguments)
    assert (audited.exit_code, audited.stdout) == (2, "")
    assert message in audited.stderr
    assert len(audited.stderr.splitlines()) == 1


def test_choices_are_those_of_the_examination() -> None:
    """The command repeats them, so that its help imports nothing."""
    choices = {p.name: list(p.type.choices) for p in audit.params if isinstance(p.type, click.Choice)}
    assert choices == {"tensors": [*tensors.NAMES, "auto"], "declare": [*DECLARATIONS]}
    assert {p.name: p.default for p in audit.params}["batch"] == BATCH


def test_order_of_arguments_can_be_told() -> None:
    found = examine(WRONG["cross-entropy swapped"].loss, arguments=["x", "recon", "mu", "logvar"])
    assert found.conforms, found.deviations


def test_page_shows_what_the_command_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the roundoff, which is the machine's."""
    (tmp_path / "losses.py").write_text(PAGE.split("```python\n")[1].split("```")[0], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    audited = _audited("losses:vae_loss")
    assert audited.exit_code == 1
    shown, printed = PAGE.split("```text\n")[1].split("```")[0], audited.stdout
    assert re.sub(r"\(\+- .*?\)", "", shown) == re.sub(r"\(\+- .*?\)", "", printed)


@pytest.mark.parametrize("name", published_losses.LOSSES)
def test_page_shows_the_recovered_table(name: str) -> None:
    case, found = published_losses.LOSSES[name], _of_published(name)
    assert found.effective_beta is not None
    assert found.reconstruction_scale is not None
    scale = ratio(found.reconstruction_scale, found.pixels)
    columns = (
        name,
        f"{case.input_dim}, {case.latent_dim}",
        f"{found.effective_beta:.6g}",
        found.batch_reduction,
        scale,
    )
    assert f"| {' | '.join((*columns, found.likelihood, found.second_latent, found.clamp))} |\n" in PAGE


LISTINGS = {  # the common published loss on probabilities, each log clamped at -100
    "torch": """
import torch
def vae_loss(recon_x, x, mu, logvar):
    bce = torch.nn.functional.binary_cross_entropy(recon_x, x, reduction="sum")
    return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
""",
    "tensorflow": """
import tensorflow as tf
def vae_loss(y_true, y_pred, z_mean, z_log_var):
    log_p, log_q = tf.maximum(tf.math.log(y_pred), -100.0), tf.maximum(tf.math.log1p(-y_pred), -100.0)
    kl = -0.5 * tf.reduce_sum(1 + z_log_var - z_mean**2 - tf.exp(z_log_var))
    return kl - tf.reduce_sum(y_true * log_p + (1 - y_true) * log_q)
""",
    "jax": """
import jax, jax.numpy as jnp
@jax.jit
def vae_loss(recon_x, x, mean, logvar):
    log_p, log_q = jnp.maximum(jnp.log(recon_x), -100.0), jnp.maximum(jnp.log1p(-recon_x), -100.0)
    return -jnp.sum(x * log_p + (1 - x) * log_q) - 0.5 * jnp.sum(1 + logvar - mean**2 - jnp.exp(logvar))
""",
}


@pytest.mark.parametrize("framework", LISTINGS)
def test_framework_is_found_out_by_trying(framework: str, tmp_path: Path) -> None:
    """In a process of its own, in a stranger's directory."""
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    (tmp_path / "their_losses.py").write_text(LISTINGS[framework], encoding="utf-8")
    call = [
        sys.executable,
        "-m",
        "vae_rosetta.conformance",
        "audit",
        "their_losses:vae_loss",
        "--declare",
        "probs-clamp100",
    ]
    path = os.pathsep.join([str(Path(vae_rosetta.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{framework} tensors, float64" in done.stdout
    assert "effective beta  1 " in done.stdout


def test_gradients_are_autodiffs_where_there_is_one() -> None:
    """P03: max(l, 0) - x l + log1p(exp(-|l|)) has a wrong one at 0 (pytorch/pytorch#20679); and a `where` hides NaN."""
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")

    def kinked(recon_x: Any, x: Any, mu: Any, logvar: Any) -> Any:
        bce = torch.clamp(recon_x, min=0) - recon_x * x + torch.log1p(torch.exp(-torch.abs(recon_x)))
        return bce.sum() - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())

    def smooth(recon_x: Any, x: Any, mu: Any, logvar: Any) -> Any:
        bce = torch.nn.functional.binary_cross_entropy_with_logits(recon_x, x, reduction="sum")
        return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())

    def trapped(recon_x: Any, x: Any, mu: Any, logvar: Any) -> Any:
        softplus = torch.where(recon_x > 50, recon_x, torch.log1p(torch.exp(recon_x)))
        return (softplus - recon_x * x).sum() - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())

    found = examine(kinked)
    assert [deviation.bug for deviation in found.deviations] == ["kink-at-zero"]
    assert found.faults[0].got == pytest.approx(0.0, abs=1e-6)  # target 1: 1 - x, and not 0.5 - x
    assert {fault.kind for fault in examine(trapped).faults} == {"nan gradient"}  # its value is right
    assert examine(smooth).conforms
