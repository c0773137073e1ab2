"""Passes over many images, some at a time: losses, posteriors, negative ELBOs and importance weights of any model.

With z_s ~ q(z|x) and log w_s = log p(x|z_s) + log p(z_s) - log q(z_s|x):

* negative ELBO: the average over s of -log p(x|z_s), plus KL(q(z|x) || p(z)) in closed form (Kingma & Welling 2014,
  equation 10).
* log p(x) >= E[log (w_1 + ... + w_k) / k], which rises with k towards log p(x) (Burda, Grosse & Salakhutdinov 2016,
  "Importance weighted autoencoders", theorem 1); at k = 1 it is the ELBO.

Sample s of image i takes row i of the noise of stream (seed, EVALUATION, s). So every backend is asked about the same
z, the first samples are the same whatever their number, and sample 0 is what training reports.

`losses` asks the model for its own losses, z drawn once for each image. `negative_elbo` and `importance_weighted` are
for many z of each image: the image is encoded once, and the cross-entropy of what is decoded is taken here. Sums over
images and samples are kept in float64, so that how the work is cut decides nothing but the last digits of the backend's
own matrix products.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vae_rosetta.shared import binarisation, checks, cross_entropy, oracle, stream
from vae_rosetta.shared.contract import Array, Losses, Model
from vae_rosetta.shared.stream import Purpose

# Rows in a call to a model: large enough to be fast, small enough for any memory. There are three numbers because the
# last digits of a published figure may depend on them.
ROWS: Final = 1000  # images, or latents to decode
SAMPLED_ROWS: Final = 2000  # z, where each image has many
SCORED_ROWS: Final = 500  # images of a file of any size: they stay in the cache while all samples are drawn

Real = npt.NDArray[np.float64]
Reconstruction = Callable[[Array, Array], Real]  # x (B, D), what was decoded (S, B, D) -> -log p(x|z), (S, B)
Progress = Callable[[int], None]  # takes how many more samples of images are done


class Elbo(NamedTuple):
    """The terms of the negative ELBO of each image, in nats."""

    reconstruction: Real  # (N,), average over the samples
    kl: Real  # (N,)

    @property
    def objective(self) -> Real:
        """Their sum (N,)."""
        return self.reconstruction + self.kl


class Posterior(NamedTuple):
    """q(z|x) of each image."""

    mu: Real  # (N, L)
    logvar: Real  # (N, L)

    def kl_of_latents(self) -> Real:
        """KL(q(z_j|x) || N(0, 1)) of each latent j, averaged over images, in nats, (L,).

        Kingma & Welling 2014, appendix B, without the sum over latents: what a latent tells about an image.
        """
        return np.asarray(np.mean(oracle.kl_terms(self.mu, self.logvar), axis=0))


def batches(count: int, rows: int | None = None) -> Iterator[slice]:
    """0 to `count` in slices of `rows` (by default `ROWS`), of which the last may be short."""
    step = ROWS if rows is None else rows
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def noise(seed: int, draw: int, rows: int, latents: int, *, first: int = 0) -> npt.NDArray[np.float32]:
    """The noise of draw `draw` for `rows` images from number `first` of their data set on, (rows, latents)."""
    return stream.normal(seed, Purpose.EVALUATION, draw, (rows, latents), start=first * latents)


def batched_losses(model: Model, x: Array, noise: Array) -> Iterator[tuple[slice, Losses]]:
    """The losses of images x (N, D) with noise (N, L), batch by batch: which rows, and what the model returns.

    Raises:
        TypeError, ValueError: see `contract.Model.losses`.
    """
    for rows in batches(len(x)):
        yield rows, model.losses(x[rows], noise[rows])


def losses(model: Model, x: Array, noise: Array) -> Elbo:
    """The losses of each image of x (N, D), z drawn once by noise (N, L).

    Raises:
        TypeError, ValueError: see `contract.Model.losses`.
    """
    found = Elbo(np.empty(len(x)), np.empty(len(x)))
    for rows, (reconstruction, kl) in batched_losses(model, x, noise):
        found.reconstruction[rows], found.kl[rows] = reconstruction, kl
    return found


def posterior(model: Model, x: Array) -> Posterior:
    """q(z|x) of images x (N, D).

    Raises:
        TypeError, ValueError: see `contract.Model.encode`.
    """
    parts = [model.encode(x[rows]) for rows in batches(len(x))]
    return Posterior(*(np.concatenate(part).astype(np.float64) for part in zip(*parts, strict=True)))


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
    mean = LogMeanExp(0)
    for part in _parts(model, x, ks, seed, first_image, reconstruction, progress):
        if part.samples.start == 0:
            mean = LogMeanExp(len(part.mu))
        mean.add(log_ratio(part.noise, part.z, part.logvar) - part.reconstruction)
        if part.samples.stop in ks:
            found[ks.index(part.samples.stop), part.images] = mean.value()
    return _finite(found)


def log_ratio(noise: Real, z: Real, logvar: Real) -> Real:
    """log p(z) - log q(z|x): noise and z (S, B, L), logvar (B, L) -> (S, B). The constants of both cancel."""
    return np.asarray(0.5 * np.sum(noise**2 + logvar - z**2, axis=-1))


class LogMeanExp:
    """log (exp(a_1) + ... + exp(a_k)) / k for each of B images, of terms that come a few at a time.

    Neither large nor small terms overflow or vanish: all are taken relative to the largest so far.
    """

    def __init__(self, images: int) -> None:
        self._terms = 0
        self._top = np.full(images, -np.inf)  # the largest term so far
        self._total = np.zeros(images)  # the sum of the exponentials so far, over that of the largest term

    def add(self, terms: Real) -> None:
        """Takes S more terms of each image, (S, B)."""
        risen = np.maximum(self._top, terms.max(axis=0))
        self._total = self._total * np.exp(self._top - risen) + np.sum(np.exp(terms - risen), axis=0)
        self._top = risen
        self._terms += len(terms)

    def value(self) -> Real:
        """The logarithms, (B,)."""
        return np.asarray(self._top + np.log(self._total) - np.log(self._terms))


def log_mean_exp(terms: Real) -> Real:
    """log (exp(a_1) + ... + exp(a_S)) / S of terms (S, B), (B,)."""
    mean = LogMeanExp(terms.shape[1])
    mean.add(terms)
    return mean.value()


class _Part(NamedTuple):
    """Some samples of some images."""

    images: slice
    samples: slice
    mu: Real  # (B, L)
    logvar: Real  # (B, L)
    noise: Real  # (S, B, L)
    z: Real  # (S, B, L)
    reconstruction: Real  # (S, B)


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
    for images in batches(len(x), SAMPLED_ROWS):
        mu, logvar = model.encode(x[images])
        for samples in _spans(ks, max(1, SAMPLED_ROWS // len(mu))):
            drawn = range(samples.start, samples.stop)
            normals = np.stack([noise(seed, s, *mu.shape, first=first_image + images.start) for s in drawn])
            shape, rows = normals.shape, (-1, normals.shape[2])  # (S, B, L), (S B, L)
            means, logvars = (np.broadcast_to(value, shape).reshape(rows) for value in (mu, logvar))
            z = _finite(model.reparameterize(means, logvars, normals.reshape(rows)))  # (S B, L)
            decoded = model.decode(z).reshape(*shape[:2], -1)  # (S, B, D)
            of_q = _exact(mu), _exact(logvar)
            of_z = _exact(normals), _exact(z.reshape(shape))
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


def _exact(values: Array) -> Real:
    return values.astype(np.float64)


def _finite(values: Array) -> Array:
    if not np.isfinite(values).all():
        raise FloatingPointError("the losses of these weights on these images are not finite")
    return values
