"""The classic VAE in PyTorch.

This file stands alone: copy it, and it works beside nothing but PyTorch. Symbols: B images, D pixels, H hidden units,
L latents. PyTorch's own initial weights are the specification's (uniform in +-1/sqrt(fan_in)), and so is its Adam.
"""

from collections.abc import Iterable, Sequence
from itertools import repeat

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Encoder(nn.Module):
    """q(z|x): images to the mean and log-variance of a normal distribution."""

    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(input_dim, hidden_dim)
        self.fc2_mu = nn.Linear(hidden_dim, latent_dim)
        self.fc2_logvar = nn.Linear(hidden_dim, latent_dim)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, D) -> mu (B, L), logvar (B, L)."""
        hidden = F.relu(self.fc1(x))  # (B, H)
        return self.fc2_mu(hidden).to(x.dtype), self.fc2_logvar(hidden).to(x.dtype)  # bfloat16 under autocast


class Decoder(nn.Module):
    """p(x|z): latents to the logits of a Bernoulli distribution for each pixel."""

    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.fc3 = nn.Linear(latent_dim, hidden_dim)
        self.fc4 = nn.Linear(hidden_dim, input_dim)

    def decode(self, z: Tensor) -> Tensor:
        """z (B, L) -> logits (B, D)."""
        hidden = F.relu(self.fc3(z))  # (B, H)
        logits: Tensor = self.fc4(hidden)  # (B, D)
        return logits.to(z.dtype)


class VAE(nn.Module):
    """Encoder and decoder, joined by the reparameterisation z = mu + exp(logvar / 2) noise."""

    def __init__(self, input_dim: int = 784, latent_dim: int = 20, hidden_dim: int = 400) -> None:
        super().__init__()
        self.encoder = Encoder(input_dim, hidden_dim, latent_dim)
        self.decoder = Decoder(input_dim, hidden_dim, latent_dim)

    def reparameterize(self, mu: Tensor, logvar: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B, L) each -> z (B, L); noise from PyTorch's generator where none is given."""
        noise = torch.randn_like(mu) if noise is None else noise
        return mu + torch.exp(logvar / 2) * noise

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, D) -> recon_x (B, D) probabilities, mu (B, L), logvar (B, L)."""
        mu, logvar = self.encoder.encode(x)
        logits = self.decoder.decode(self.reparameterize(mu, logvar, noise))
        return torch.sigmoid(logits), mu, logvar

    def negative_elbo(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, D) -> its two terms, reconstruction (B,) and kl (B,), on logits: what training minimises."""
        mu, logvar = self.encoder.encode(x)
        logits = self.decoder.decode(self.reparameterize(mu, logvar, noise))
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=1)  # (B,)
        return reconstruction, kl_divergence(mu, logvar)

    def generate(self, z: Tensor) -> Tensor:
        """z (B, L) -> probabilities (B, D)."""
        return torch.sigmoid(self.decoder.decode(z))


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(q(z|x) || N(0, I)) per image: (B, L) -> (B,). Kingma & Welling 2014, appendix B."""
    return 0.5 * (mu.square() + logvar.exp() - 1.0 - logvar).sum(dim=1)


def loss_function(recon_x: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """The common published loss on probabilities, summed over the batch: PyTorch clamps each log at -100.

    Where a pixel saturates, that clamp loses the gradient: `VAE.negative_elbo` works on logits, and training uses it.
    """
    return F.binary_cross_entropy(recon_x, x, reduction="sum") + kl_divergence(mu, logvar).sum()


def train(
    model: VAE,
    data_loader: Iterable[Tensor | Sequence[Tensor]],
    optimizer: torch.optim.Optimizer,
    noise: Iterable[Tensor] | None = None,
) -> float:
    """One epoch over a loader of images (B, D), alone or before their labels. Returns the average loss per image.

    noise: (B, L) for each batch, where two runs are to be the same; else PyTorch's generator draws it.
    """
    model.train()
    total, images = 0.0, 0
    for batch, batch_noise in zip(data_loader, repeat(None) if noise is None else noise, strict=noise is not None):
        x = (batch if isinstance(batch, Tensor) else batch[0]).flatten(start_dim=1)  # (B, D)
        total += update(model, optimizer, x, batch_noise).item()
        images += len(x)
    return total / images


def update(model: VAE, optimizer: torch.optim.Optimizer, x: Tensor, noise: Tensor | None = None) -> Tensor:
    """One step of the optimizer. Returns the objective, summed over the batch, as it was before."""
    optimizer.zero_grad()
    reconstruction, kl = model.negative_elbo(x, noise)
    objective = (reconstruction + kl).sum()
    objective.backward()  # type: ignore[no-untyped-call]  # torch 2.13 leaves Tensor.backward untyped
    optimizer.step()
    return objective.detach()
