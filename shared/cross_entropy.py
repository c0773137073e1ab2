"""-log p(x|z) of a Bernoulli decoder, from logits: fast enough for thousands of samples per image.

Per pixel it is max(l, 0) - x l + log(1 + exp(-|l|)). The factors 1 + exp(-|l|) lie in [1, 2], so sixteen of them are
multiplied before one logarithm is taken, which saves most of the time. In float32 the error is at most a few 2^-24 for
each pixel, of either sign: of an image of 784 pixels that costs 80 nats, about one part in ten million.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from vae_rosetta.shared.contract import Array

_HALVINGS: Final = 4  # products of 2^4 factors, each at most 2: far from overflow
_CACHED: Final = 98_304  # pixels worked on at a time, so that what is in between stays in the cache


def bernoulli(x: Array, logits: Array) -> npt.NDArray[np.float64]:
    """x (B, D) in [0, 1], logits (S, B, D) for S samples of each image -> -log p(x|z) in nats, (S, B)."""
    samples, images, width = logits.shape
    rows = max(1, _CACHED // width)
    some_images = min(rows, images)
    some_samples = min(max(1, rows // images), samples)
    linear, work = (np.empty((some_samples, some_images, width), dtype=logits.dtype) for _ in range(2))
    x = x.astype(logits.dtype, copy=False)
    found = np.empty((samples, images))
    for first_image in range(0, images, some_images):
        b = slice(first_image, first_image + some_images)
        for first_sample in range(0, samples, some_samples):
            s = slice(first_sample, first_sample + some_samples)
            part = logits[s, b]
            fitting = (slice(part.shape[0]), slice(part.shape[1]))
            found[s, b] = _block(x[b], part, linear[fitting], work[fitting])
    return found


def _block(x: Array, logits: Array, linear: Array, work: Array) -> npt.NDArray[np.float64]:
    """`bernoulli` of a few rows; `linear` and `work` are room for numbers in between, as large as `logits`."""
    np.maximum(logits, 0.0, out=linear)
    np.multiply(x, logits, out=work)
    linear -= work  # before they are summed: for a black or white pixel nothing cancels
    np.abs(logits, out=work)
    np.negative(work, out=work)
    np.exp(work, out=work)
    work += 1.0
    width = work.shape[-1]
    for _ in range(_HALVINGS):
        half = width // 2
        work[..., :half] *= work[..., width - half : width]  # the last onto the first; an odd one in the middle stays
        width -= half
    logs = np.log(work[..., :width])
    total: npt.NDArray[np.float64] = linear.sum(axis=-1) + logs.sum(axis=-1, dtype=np.float64)
    return total
