"""The surface that a reader lifts out of a backend file: Encoder, Decoder, VAE, loss_function, train, generate."""

import inspect
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vae_rosetta.implementations.ports import FRAMEWORKS
from vae_rosetta.shared import oracle, spec
from vae_rosetta.shared.contract import Array

_HIDE_OURS = "import sys; sys.modules['vae_rosetta'] = None; import lifted; vae = lifted.VAE(784, 20)"
_TRAINS = "first, *_, last = [lifted.train(vae, loader, optimizer) for _ in range(30)]; print(first, last)"
PACKAGES = {port.word: set(port.packages) for port in FRAMEWORKS}


def test_default_size_is_the_classic_one(framework: Any) -> None:
    vae = framework.model()
    x = framework.tensor(np.full((3, 784), 0.5, np.float32))
    recon_x, mu, logvar = vae(x)
    assert (recon_x.shape, mu.shape, logvar.shape) == ((3, 784), (3, 20), (3, 20))
    assert vae.encoder.encode(x)[0].shape == (3, 20)
    assert vae.decoder.decode(mu).shape == (3, 784)


def test_input_dim_then_latent_dim(framework: Any) -> None:
    vae = framework.model(12, 3)
    assert vae.generate(framework.tensor(np.zeros((2, 3), np.float32))).shape == (2, 12)


def test_generate_gives_probabilities_of_the_logits(framework: Any) -> None:
    vae = framework.model(12, 3, 8)
    z = framework.tensor(np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32))
    probabilities, logits = (np.asarray(_plain(value)) for value in (vae.generate(z), vae.decoder.decode(z)))
    np.testing.assert_allclose(probabilities, oracle.sigmoid(logits.astype(np.float64)), rtol=1e-5)


def test_own_initial_weights_are_the_specifications_range(framework: Any) -> None:
    """Uniform in +-1/sqrt(fan_in), biases too: moments within 5.2 standard errors (2e-7), in the two large layers."""
    vae = framework.model()
    for layer, fan_in in ((vae.encoder.fc1, 784), (vae.decoder.fc4, 400)):
        kernel = layer.weight if hasattr(layer, "weight") else layer.kernel
        for tensor in (kernel, layer.bias):
            unit = np.asarray(_plain(tensor), dtype=np.float64).ravel() * math.sqrt(fan_in)
            assert np.abs(unit).max() <= 1 + 1e-6
            assert abs(unit.mean()) < 5.2 * math.sqrt(1 / 3 / unit.size)
            assert abs((unit**2).mean() - 1 / 3) < 5.2 * math.sqrt(4 / 45 / unit.size)


@pytest.mark.parametrize(
    ("recon_x", "x"), [(0.5, 1.0), (0.25, 0.3), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (1e-30, 1.0), (0.0, 0.0)], ids=str
)
def test_loss_function_clamps_each_log_at_minus_100(framework: Any, recon_x: float, x: float) -> None:
    arrays = [np.full((2, 3), recon_x), np.full((2, 3), x), np.full((2, 4), 0.5), np.full((2, 4), -0.7)]
    found = framework.module.loss_function(*(framework.tensor(a.astype(np.float32)) for a in arrays))
    exact = oracle.loss_on_probabilities(*(a.astype(np.float32).astype(np.float64) for a in arrays))
    assert float(_plain(found)) == pytest.approx(exact, rel=1e-5)  # 14 float32 terms


def test_loss_function_is_the_training_loss_away_from_saturation(framework: Any, images: Array) -> None:
    vae = framework.model(12, 3, 8)
    x, noise = framework.tensor(images), framework.tensor(np.zeros((50, 3), np.float32))
    recon_x, mu, logvar = vae(x, noise)
    reconstruction, kl = vae.negative_elbo(x, noise)
    total = float(np.sum(_plain(reconstruction)) + np.sum(_plain(kl)))
    assert float(_plain(framework.module.loss_function(recon_x, x, mu, logvar))) == pytest.approx(total, rel=1e-5)


def test_noise_is_fresh_at_every_call(framework: Any) -> None:
    vae = framework.model(12, 3, 8)
    mu = framework.tensor(np.zeros((4, 3), np.float32))
    drawn = [np.asarray(_plain(vae.reparameterize(mu, mu))) for _ in range(2)]
    assert len(np.unique(np.concatenate(drawn))) == 24


@pytest.mark.parametrize("labelled", [False, True], ids=["images alone", "with labels"])
def test_train_learns_and_averages_over_images(framework: Any, images: Array, labelled: bool) -> None:
    vae = framework.model(12, 3, 8)
    optimizer = framework.optimizer(vae)
    batches = [framework.tensor(images[rows]) for rows in (slice(0, 20), slice(20, 40), slice(40, 50))]
    loader = [(batch, list(range(len(batch)))) for batch in batches] if labelled else batches
    averages = [framework.module.train(vae, loader, optimizer) for _ in range(100)]
    assert all(isinstance(average, float) for average in averages)
    assert averages[0] == pytest.approx(12 * math.log(2), rel=0.2), "nats per image, not per batch or pixel"
    assert averages[-1] < 0.9 * averages[0]


def test_train_counts_a_short_last_batch_by_its_images(framework: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four images that cost 10 nats and one that costs none, in batches of two: 8.0, where batch means average 6.7."""

    def negative_elbo(vae: Any, x: Any, noise: Any = None) -> tuple[Any, Any]:
        mu, logvar = vae.encoder.encode(x)  # keeps every parameter's gradient defined, and zero
        nothing = 0 * (vae.decoder.decode(mu)[:, 0] + mu[:, 0] + logvar[:, 0])
        return 10 * (1 - x[:, 0]) + nothing, nothing

    monkeypatch.setattr(framework.module.VAE, "negative_elbo", negative_elbo)
    vae = framework.model(1, 1, 1)
    loader = [framework.tensor(np.array(rows, np.float32)) for rows in ([[0], [0]], [[0], [0]], [[1]])]
    assert framework.module.train(vae, loader, framework.optimizer(vae)) == pytest.approx(8.0)


def test_train_heeds_the_seed(framework: Any, images: Array) -> None:
    averages = []
    for _ in range(2):
        framework.seed(3)
        vae = framework.model(12, 3, 8)
        optimizer = framework.optimizer(vae)
        averages.append([framework.module.train(vae, [framework.tensor(images)], optimizer) for _ in range(3)])
    assert averages[0] == averages[1]
    assert len(set(averages[0])) == 3


def test_defaults_are_the_specifications(framework: Any) -> None:
    """`model.py` holds the numbers themselves; here they are compared with the specification's."""
    defaults = {name: p.default for name, p in inspect.signature(framework.module.VAE.__init__).parameters.items()}
    sizes = defaults["input_dim"], defaults["hidden_dim"], defaults["latent_dim"]
    assert sizes == (spec.INPUT_DIM, spec.HIDDEN_DIM, spec.LATENT_DIM)
    if framework.name == "jax":
        adam = [p.default for p in inspect.signature(framework.module.adam).parameters.values()]
        assert adam == [spec.LEARNING_RATE, spec.BETA1, spec.BETA2, spec.EPSILON]
    if framework.name == "tensorflow":
        adam = framework.module.Adam()
        found = [float(adam.learning_rate), adam.beta_1, adam.beta_2, adam.epsilon]
        assert found == pytest.approx([spec.LEARNING_RATE, spec.BETA1, spec.BETA2, spec.EPSILON], rel=1e-7)


def test_model_file_stands_alone_and_trains(framework: Any, tmp_path: Path) -> None:
    """The whole file, copied into an empty folder, where this project cannot be imported."""
    source = Path(framework.module.__file__).with_name("model.py")
    (tmp_path / "lifted.py").write_bytes(source.read_bytes())
    (tmp_path / "run.py").write_text(f"{_HIDE_OURS}\n{framework.LIFTED}{_TRAINS}", encoding="utf-8")
    run = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    first, last = map(float, run.stdout.split())
    assert last < 0.9 * first


def test_import_brings_no_other_framework(framework: Any) -> None:
    """None that the framework does not bring itself: TensorFlow imports JAX wherever it finds it."""
    own, others = PACKAGES[framework.name], set().union(*PACKAGES.values()) - PACKAGES[framework.name]
    loaded = _loaded(framework.module.__name__)
    assert loaded >= own
    if foreign := loaded & others:
        assert foreign <= _loaded(*own)


def test_importing_the_package_imports_no_framework() -> None:
    assert not _loaded("vae_rosetta.implementations") & {"numpy"}.union(*PACKAGES.values())


def test_sizes_default_to_the_specification() -> None:
    assert spec.Sizes() == (784, 400, 20)


def _loaded(*modules: str) -> set[str]:
    """The top-level packages in a fresh process that has imported these modules."""
    code = f"import sys, {', '.join(sorted(modules))}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return {name.split(".")[0] for name in run.stdout.split()}


def _plain(tensor: Any) -> Any:
    return tensor.detach().numpy() if hasattr(tensor, "detach") else tensor
