"""pythae (github.com/clementchadebec/benchmark_VAE, Apache 2.0): its VAE and its trainer, with networks of 400 units.

Its default networks have 512; the rest is the library's own: model, loss, DataLoader, trainer.
"""

import tempfile
from typing import Any, Final

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor, nn

from vae_rosetta.benchmarks import peers
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes

_ROWS: Final = 1000  # images a call when testing


class Encoder(BaseEncoder):
    """Images to the mean and log-variance."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(sizes.input_dim, sizes.hidden_dim), nn.ReLU())
        self.embedding = nn.Linear(sizes.hidden_dim, sizes.latent_dim)
        self.log_var = nn.Linear(sizes.hidden_dim, sizes.latent_dim)

    def forward(self, x: Tensor) -> Any:
        """x (B, D) -> embedding and log_covariance, (B, L) each."""
        hidden = self.hidden(x)  # (B, H)
        return ModelOutput(embedding=self.embedding(hidden), log_covariance=self.log_var(hidden))


class Decoder(BaseDecoder):
    """Latents to probabilities."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(sizes.latent_dim, sizes.hidden_dim),
            nn.ReLU(),
            nn.Linear(sizes.hidden_dim, sizes.input_dim),
            nn.Sigmoid(),
        )

    def forward(self, z: Tensor) -> Any:
        """z (B, L) -> reconstruction (B, D)."""
        return ModelOutput(reconstruction=self.layers(z))


class PeerModel:
    """See `benchmarks.peers.Peer`."""

    versions = peers.versions("pythae", "torch")
    differs = (
        "the mean over the batch is minimised, of cross-entropy on probabilities, each log clamped at -100; PyTorch's "
        "own random numbers"
    )

    def start(self, x: Array, batch: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="pythae-")
        sizes = Sizes(input_dim=x.shape[1])
        config = VAEConfig(input_dim=(sizes.input_dim,), latent_dim=sizes.latent_dim, reconstruction_loss="bce")
        self._model = VAE(model_config=config, encoder=Encoder(sizes), decoder=Decoder(sizes))
        self._trainer = BaseTrainer(
            model=self._model,
            train_dataset=BaseDataset(torch.tensor(x), torch.zeros(len(x))),
            training_config=BaseTrainerConfig(
                output_dir=self._folder.name,
                num_epochs=1,
                learning_rate=1e-3,
                per_device_train_batch_size=batch,
                optimizer_cls="Adam",
                seed=0,
            ),
        )
        self._trainer.prepare_training()
        self._epochs = 0

    def epoch(self) -> float:
        self._epochs += 1
        return float(self._trainer.train_step(self._epochs))

    @torch.no_grad()
    def test(self, x: Array) -> float:
        self._model.eval()
        total = 0.0
        for first in range(0, len(x), _ROWS):
            part = torch.tensor(x[first : first + _ROWS])
            total += float(self._model({"data": part}).loss) * len(part)  # its loss is a mean
        return total / len(x)
