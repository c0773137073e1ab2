"""The loop that most published PyTorch listings share, with its images in one tensor.

Eager, a DataLoader, cross-entropy on probabilities: written anew in the manner of the pytorch/examples VAE
(github.com/pytorch/examples, folder vae).
"""

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, TensorDataset

from vae_rosetta.benchmarks import peers
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes

_ROWS: Final = 1000  # images a call when testing


class Network(nn.Module):
    """784-400-20, with the layers' own initial weights."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.fc1 = nn.Linear(sizes.input_dim, sizes.hidden_dim)
        self.fc21 = nn.Linear(sizes.hidden_dim, sizes.latent_dim)
        self.fc22 = nn.Linear(sizes.hidden_dim, sizes.latent_dim)
        self.fc3 = nn.Linear(sizes.latent_dim, sizes.hidden_dim)
        self.fc4 = nn.Linear(sizes.hidden_dim, sizes.input_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, D) -> probabilities (B, D), mu (B, L), logvar (B, L)."""
        hidden = torch.relu(self.fc1(x))  # (B, H)
        mu, logvar = self.fc21(hidden), self.fc22(hidden)  # (B, L)
        std = torch.exp(0.5 * logvar)
        z = mu + torch.randn_like(std) * std  # (B, L)
        return torch.sigmoid(self.fc4(torch.relu(self.fc3(z)))), mu, logvar


def objective(probabilities: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """Summed over the batch, in nats."""
    cross_entropy = functional.binary_cross_entropy(probabilities, x, reduction="sum")
    return cross_entropy - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


class PeerModel:
    """See `benchmarks.peers.Peer`."""

    versions = peers.versions("torch")
    differs = "cross-entropy on probabilities, each log clamped at -100; PyTorch's own random numbers"

    def __init__(self, device: str = "cpu") -> None:
        """`device` as PyTorch names it: images go there batch by batch, as the listing sends them."""
        self._device = torch.device(device)

    def images(self, x: Array) -> Dataset[Any]:
        """x (N, D) -> what the DataLoader draws from: images with labels."""
        return TensorDataset(torch.tensor(x), torch.zeros(len(x)))

    def start(self, x: Array, batch: int) -> None:
        torch.manual_seed(0)
        self._network = Network(Sizes(input_dim=x.shape[1])).to(self._device)
        self._loss: Callable[[Tensor], Tensor] = self.loss
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=1e-3)
        self._loader: DataLoader[Any] = DataLoader(self.images(x), batch_size=batch, shuffle=True)
        self._images = len(x)

    def loss(self, x: Tensor) -> Tensor:
        """x (B, D) -> the objective, summed over the batch."""
        probabilities, mu, logvar = self._network(x)
        return objective(probabilities, x, mu, logvar)

    def epoch(self) -> float:
        self._network.train()
        total = 0.0
        for pictures, _ in self._loader:
            x = pictures.to(self._device).flatten(start_dim=1)  # (B, D)
            self._optimizer.zero_grad()
            loss = self._loss(x)
            loss.backward()  # type: ignore[no-untyped-call]  # torch 2.13 leaves Tensor.backward untyped
            total += loss.item()
            self._optimizer.step()
        return total / self._images

    @torch.no_grad()
    def test(self, x: Array) -> float:
        self._network.eval()
        total = 0.0
        for first in range(0, len(x), _ROWS):
            part = torch.tensor(x[first : first + _ROWS], device=self._device)
            total += self.loss(part).item()
        return total / len(x)
