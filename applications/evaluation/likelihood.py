"""The negative ELBO and the importance-weighted log-likelihood of images, by any model of the contract.

With z_s ~ q(z|x) and log w_s = log p(x|z_s) + log p(z_s) - log q(z_s|x):

* negative ELBO: the average over s of -log p(x|z_s), plus KL(q(z|x) || p(z)) in closed form (Kingma & Welling 2014,
  equation 10).
* log p(x) >= E[log (w_1 + ... + w_k) / k], which rises with k towards log p(x) (Burda, Grosse & Salakhutdinov 2016,
  "Importance weighted autoencoders", theorem 1); at k = 1 it is the ELBO.

Sample s of image i takes row i of the noise of stream (seed, EVALUATION, s). So every backend is asked about the same
z, the first samples are the same whatever their number, and sample 0 is what training reports.

Images go through in blocks and samples in turn, so that memory does not grow with either; sums over samples are kept in
float64. How the work is cut decides nothing but the last digits of the backend's own matrix products.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vae_rosetta.applications.evaluation import cross_entropy
from vae_rosetta.shared import binarisation, checks, oracle, stream
from vae_rosetta.shared.contract import Array, Model
from vae_rosetta.shared.stream import Purpose

Real = npt.NDArray[np.float64]
Reconstruction = Callable[[Array, Array], Real]  # x (B, D), what was decoded (S, B, D) -> -log p(x|z), (S, B)
Progress = Callable[[int], None]  # told how many more samples of images are done

_ROWS: Final = 2000  # samples decoded in one call: large enough to be fast, small enough for any memory


class Elbo(NamedTuple):
    """The terms of the negative ELBO of each image, in nats."""

    reconstruction: Real  # (N,), average over the samples
    kl: Real  # (N,)

    @property
    def objective(self) -> Real:
        """Their sum (N,)."""
        return self.reconstruction + self.kl


class Estimate(NamedTuple):
    """An average over images."""

    mean: float
    standard_error: float  # of the mean, between images; not a number where there is but one


def estimate(values: Real) -> Estimate:
    """The average of one number for each image (N,)."""
    count = len(values)
    error = float(np.std(values, ddof=1)) / count**0.5 if count > 1 else float("nan")
    return Estimate(float(np.mean(values)), error)


def bits_per_pixel(nats: float, pixels: int) -> float:
    """Nats per image as bits per pixel."""
    return nats / (pixels * float(np.log(2.0)))


def posterior(model: Model, x: Array) -> tuple[Real, Real]:
    """x (N, D) -> mu (N, L), logvar (N, L)."""
    parts = [model.encode(x[i : i + _ROWS]) for i in range(0, len(x), _ROWS)]
    mu, logvar = (np.concatenate(part).astype(np.float64) for part in zip(*parts, strict=True))
    return mu, logvar


def negative_elbo(
    model: Model,
    x: Array,
    *,
    samples: int = 1,
    seed: int = 0,
    first_image: int = 0,
    reconstruction: Reconstruction = cross_entropy.bernoulli,
    progress: Progress | None = None,
) -> Elbo:
    """The negative ELBO of the images x (N, D), z sampled.

    Args:
        samples: of z for each image.
        seed: of the noise.
        first_image: where x begins in its data set, if it is a part of one: the noise goes by that.
        reconstruction: -log p(x|z) from what the model decodes.
        progress: see `Progress`; N samples in all for each of `samples`.

    Raises:
        FloatingPointError: the model's answers are not finite.
        TypeError, ValueError: a bad argument; the message names it.
    """
    samples = checks.count("samples", samples)
    checks.float_array("x", x, ("N", "D"))
    found = Elbo(np.zeros(len(x)), np.empty(len(x)))
    for part in _parts(model, x, [samples], seed, first_image, reconstruction, progress):
        found.reconstruction[part.images] += np.sum(part.reconstruction, axis=0) / samples
        found.kl[part.images] = np.sum(oracle.kl_terms(part.mu, part.logvar), axis=1)
    return Elbo(_finite(found.reconstruction), _finite(found.kl))


def importance_weighted(
    model: Model,
    x: Array,
    *,
    ks: Sequence[int],
    seed: int = 0,
    first_image: int = 0,
    reconstruction: Reconstruction = cross_entropy.bernoulli,
    progress: Progress | None = None,
) -> Real:
    """Estimates of log p(x) for each image of x (N, D) and each k of `ks`, (len(ks), N), in nats.

    Args:
        ks: numbers of samples, ascending; a smaller one takes the first samples of a larger one.
        seed, first_image, reconstruction, progress: see `negative_elbo`.

    Raises:
        FloatingPointError: the model's answers are not finite.
        TypeError, ValueError: a bad argument; the message names it. Grey pixels are refused where a pixel is black or
            white to the likelihood: averaged over draws of bits, the cross-entropy of a grey pixel is right, because it
            is linear in the pixel; the log of a mean is not.
    """
    ks = [checks.count("ks", k) for k in ks]
    if not ks or ks != sorted(set(ks)):
        raise ValueError(f"ks: got {ks}; expected one number of samples or more, ascending")
    checks.float_array("x", x, ("N", "D"))
    if reconstruction is cross_entropy.bernoulli and not binarisation.is_binary(x):
        raise ValueError(
            "x: got grey pixels; expected 0 and 1: importance weighting takes the log of a mean, which is not linear "
            "in a pixel, so that of grey ones the result is no likelihood"
        )
    found = np.empty((len(ks), len(x)))
    top = np.full(len(x), -np.inf)  # the largest log weight so far
    total = np.zeros(len(x))  # the sum of the weights so far, over that one
    for part in _parts(model, x, ks, seed, first_image, reconstruction, progress):
        i, log_weights = part.images, part.log_weights()  # (S, B)
        risen = np.maximum(top[i], log_weights.max(axis=0))
        total[i] = total[i] * np.exp(top[i] - risen) + np.sum(np.exp(log_weights - risen), axis=0)
        top[i] = risen
        if part.samples.stop in ks:
            found[ks.index(part.samples.stop), i] = top[i] + np.log(total[i]) - np.log(part.samples.stop)
    return _finite(found)


class _Part(NamedTuple):
    """Some samples of some images."""

    images: slice
    samples: slice
    mu: Real  # (B, L)
    logvar: Real  # (B, L)
    noise: Real  # (S, B, L)
    z: Real  # (S, B, L)
    reconstruction: Real  # (S, B)

    def log_weights(self) -> Real:
        """log p(x|z) + log p(z) - log q(z|x), (S, B): of the last two, the constants cancel."""
        ratio = 0.5 * np.sum(self.noise**2 + self.logvar - self.z**2, axis=2)
        return np.asarray(ratio - self.reconstruction)


def _parts(
    model: Model,
    x: Array,
    ks: Sequence[int],
    seed: int,
    first_image: int,
    reconstruction: Reconstruction,
    progress: Progress | None,
) -> Iterator[_Part]:
    """All samples of a block of images, then of the next; for each k of `ks` some part ends there."""
    for first in range(0, len(x), _ROWS):
        images = slice(first, min(first + _ROWS, len(x)))
        mu, logvar = model.encode(x[images])
        for samples in _spans(ks, max(1, _ROWS // len(mu))):
            noise = _noise(seed, samples, first_image + first, mu.shape)  # (S, B, L)
            shape, rows = noise.shape, (-1, noise.shape[2])
            means, logvars = (np.broadcast_to(value, shape).reshape(rows) for value in (mu, logvar))
            z = _finite(model.reparameterize(means, logvars, noise.reshape(rows)))  # (S B, L)
            decoded = model.decode(z).reshape(*shape[:2], -1)  # (S, B, D)
            of_q = _exact(mu), _exact(logvar)
            of_z = _exact(noise), _exact(z.reshape(shape))
            yield _Part(images, samples, *of_q, *of_z, reconstruction(x[images], decoded))
            if progress is not None:
                progress(shape[0] * shape[1])


def _spans(ks: Sequence[int], longest: int) -> Iterator[slice]:
    """0 to the last of `ks` in stretches, of which one ends at each of them."""
    start = 0
    for k in ks:
        while start < k:
            stop = min(start + longest, k)
            yield slice(start, stop)
            start = stop


def _noise(seed: int, samples: slice, first: int, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """(S, B, L), where `shape` is (B, L) and `first` the number of the first image in its data set."""
    numbers = range(samples.start, samples.stop)
    return np.stack([stream.normal(seed, Purpose.EVALUATION, s, shape, start=first * shape[1]) for s in numbers])


def _exact(values: Array) -> Real:
    return values.astype(np.float64)


def _finite(values: Array) -> Array:
    if not np.isfinite(values).all():
        raise FloatingPointError("the losses of these weights on these images are not finite")
    return values
