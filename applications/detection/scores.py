"""Anomaly scores of images: in nats, higher is more anomalous, the same for every backend up to rounding.

Notation: z_1 .. z_L are samples of q(z|x), r_l = -log p(x|z_l) the cross-entropy of the image with the decoded pixels.

| name                           | score                                                                              |
|--------------------------------|------------------------------------------------------------------------------------|
| `reconstruction-at-mean`       | r at z = mu: no sample is drawn                                                    |
| `elbo`                         | 1/L sum r_l + kl: the negative ELBO                                                |
| `elbo-deviance`                | the same, less the least that any decoder could reach: the entropy of the pixels   |
| `reconstruction-log-prob`      | 1/L sum r_l = -E_q[log p(x|z)]: the reconstruction probability as it is defined    |
| `reconstruction-log-mean-prob` | -log (1/L sum p(x|z_l)): the same, as the algorithm of that paper averages         |
| `iwae-k`                       | -log (1/k sum p(x|z_l) p(z_l) / q(z_l|x)), k = L: importance-weighted bound        |

An & Cho ("Variational autoencoder based anomaly detection using reconstruction probability", SNUDM-TR-2015-03) define
an expected log, and average probabilities in their algorithm 4. Public code has both, and more: deeplearning4j averages
logs; Michedev/VAE_anomaly_detection (#3, #13) averages densities over samples and then over pixels, which is neither
and is not offered. The average of probabilities is decided by the best of the samples, that of logs by all of them.

The cross-entropy of a grey pixel x is never below its entropy -x log x - (1 - x) log(1 - x), which an image has many
nats of and which says nothing of the model: `elbo-deviance` leaves it out (half the deviance of statistics, McCullagh &
Nelder 1989, plus kl), and so is 0 at a perfect reconstruction as the squared error of a Gaussian decoder is. For black
and white pixels it is `elbo`.

With grey pixels p(x|z) is no probability of x, so that `iwae-k` is a score there, not a likelihood; `elbo` is linear in
x, and so is still the expected negative ELBO of the image made black and white at random.

Noise: row i of sample l is row i of stream (seed, EVALUATION, l), i counted from the start of the file. A score thus
depends on weights, seed and row number, and on nothing else.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import entr

from vae_rosetta.shared import checks, parameters, passes
from vae_rosetta.shared.contract import Array, Model

NAMES: Final = (
    "reconstruction-at-mean",
    "elbo",
    "elbo-deviance",
    "reconstruction-log-prob",
    "reconstruction-log-mean-prob",
    "iwae-k",
)
SAMPLES: Final = 16  # L

Scores = npt.NDArray[np.float64]  # (N,)


def score(
    model: Model, x: Array, name: str = "elbo", *, samples: int = SAMPLES, seed: int = 0, start: int = 0, draw: int = 0
) -> Scores:
    """The score called `name` of each image: x (N, D) -> (N,). See `scores`."""
    return scores(model, x, (name,), samples=samples, seed=seed, start=start, draw=draw)[name]


def scores(
    model: Model,
    x: Array,
    names: Collection[str] = NAMES,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    start: int = 0,
    draw: int = 0,
) -> dict[str, Scores]:
    """Several scores of each image from the same samples: x (N, D) -> (N,) each.

    Args:
        model: anything that has the contract's `Model`.
        names: some of `NAMES`.
        samples: L, of z for each image.
        seed: of the noise.
        start: row number of the first image: a file scored part by part has the scores of the whole.
        draw: number of the first sample's stream, for samples that are independent of those from 0 on.

    Raises:
        FloatingPointError: a score is not finite; the message names the row.
        TypeError, ValueError: a bad argument; the message names it.
    """
    for name in names:
        checks.one_of("score", name, NAMES)
    samples, start = checks.count("samples", samples), checks.count("start", start, least=0)
    latent_dim, draws = parameters.sizes_of_model(model).latent_dim, range(draw, draw + samples)
    parts = []
    for at, block in _blocks(x, start):
        noises = (passes.noise(seed, each, len(block), latent_dim, first=at) for each in draws)
        parts.append(_block(model, block, names, noises, latent_dim))
    found = {name: np.concatenate([part[name] for part in parts]) for name in names}
    for name, values in found.items():
        if not (good := np.isfinite(values)).all():
            row = int(np.argmin(good))
            raise FloatingPointError(f"row {start + row}: the score {name} is {values[row]}; expected a finite number")
    return found


def _blocks(x: Array, start: int) -> Iterator[tuple[int, Array]]:
    """Parts of x (N, D) with the row number of each one's first image, cut at multiples of `SCORED_ROWS` of it."""
    first = 0
    while first < len(x):
        last = first + passes.SCORED_ROWS - (start + first) % passes.SCORED_ROWS
        yield start + first, x[first:last]
        first = last


def _block(
    model: Model, x: Array, names: Collection[str], noises: Iterable[Array], latent_dim: int
) -> Mapping[str, Scores]:
    """The scores of x (B, D); each of `noises` is (B, L)."""
    found: dict[str, Scores] = {}
    if "reconstruction-at-mean" in names:
        at_mean = model.losses(x, np.zeros((len(x), latent_dim), dtype=np.float32)).reconstruction
        found["reconstruction-at-mean"] = at_mean.astype(np.float64)
    if set(names) <= found.keys():
        return found
    if weighted := "iwae-k" in names:
        mu, logvar = (part.astype(np.float64) for part in model.encode(x))  # (B, L) each
    losses, log_ratios = [], []  # (B,) of each sample
    for noise in noises:
        reconstruction, kl = model.losses(x, noise)
        losses.append(reconstruction.astype(np.float64))
        if weighted:
            exact = noise.astype(np.float64)
            log_ratios.append(passes.log_ratio(exact, mu + np.exp(logvar / 2.0) * exact, logvar))
    nats = np.array(losses)  # (L, B)
    found["reconstruction-log-prob"] = nats.mean(axis=0)
    found["elbo"] = found["reconstruction-log-prob"] + kl
    if "elbo-deviance" in names:
        found["elbo-deviance"] = found["elbo"] - _entropy(x)
    found["reconstruction-log-mean-prob"] = -passes.log_mean_exp(-nats)
    if weighted:
        found["iwae-k"] = -passes.log_mean_exp(np.array(log_ratios) - nats)
    return found


def _entropy(x: Array) -> Scores:
    """Of Bernoulli pixels x (B, D), summed over an image, in nats: (B,)."""
    exact = x.astype(np.float64)
    total: Scores = np.sum(entr(exact) + entr(1.0 - exact), axis=1)
    return total
