"""The integer network in a backend: images to posteriors and latents to probabilities, the same bits everywhere.

The backend's own `encode` and `decode` do the work, in float64 on whole numbers; what is left to do here is shifts and
table look-ups. Rows are given to the backend in calls of one length, filled up with zeros, so that compiling frameworks
compile once; the result does not depend on that length.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vae_rosetta.applications.compression import tables
from vae_rosetta.applications.compression.quantisation import IntegerNetwork
from vae_rosetta.shared import passes
from vae_rosetta.shared.contract import Array, Model

Bits = npt.NDArray[np.uint8]  # (N, D), of 0 and 1
Grid = npt.NDArray[np.int32]  # (N, L), grid positions of latents

_PROBE_ROWS: Final = 4


class Posterior(NamedTuple):
    """q(z|x) of each image, in grid steps. The mean is `centre + offset`."""

    centre: Grid  # (N, L), the mean rounded to a grid position
    offset: npt.NDArray[np.float64]  # (N, L), -1/2 to 1/2
    deviation: npt.NDArray[np.float64]  # (N, L), out of the table


class ExactModel:
    """An integer network, in the model of a backend that holds its `params()` in float64."""

    def __init__(self, network: IntegerNetwork, model: Model) -> None:
        """Checks the backend.

        Raises:
            ArithmeticError: its float64 products are not exact on whole numbers.
        """
        self._network, self._model, self.sizes = network, model, network.sizes
        self._probabilities, self._deviations = tables.probabilities(), tables.deviations()
        self._check()

    def posterior(self, x: Bits, length: int) -> Posterior:
        """x (N, D) -> q(z|x), in grid steps; `length` rows a call to the backend."""
        mean = np.empty((len(x), self.sizes.latent_dim))
        deviation = np.empty_like(mean)
        for rows in passes.batches(len(x), length):
            mu, logvar = (part[: rows.stop - rows.start] for part in self._model.encode(_filled(x[rows], length)))
            mu = np.ldexp(mu, tables.GRID_BITS - self._network.shifts["encoder.fc2_mu"])  # exact: a power of two
            mean[rows] = np.clip(mu, -tables.MEAN_LIMIT, tables.MEAN_LIMIT)
            index = self._index(logvar, "encoder.fc2_logvar", tables.LOGVAR_BITS)
            index = np.clip(index, tables.LOGVAR_LOW, tables.LOGVAR_HIGH)
            deviation[rows] = self._deviations[index - tables.LOGVAR_LOW]
        centre = np.rint(mean)
        return Posterior(centre.astype(np.int32), mean - centre, deviation)

    def logits(self, z: Grid, length: int) -> npt.NDArray[np.int64]:
        """z (N, L) -> logits (N, D) in steps of 2^-LOGIT_BITS, -LOGIT_LIMIT to LOGIT_LIMIT."""
        indices = np.empty((len(z), self.sizes.input_dim), dtype=np.int64)
        for rows in passes.batches(len(z), length):
            logits = self._model.decode(_filled(z[rows], length))[: rows.stop - rows.start]
            index = self._index(logits, "decoder.fc4", tables.LOGIT_BITS)
            np.clip(index, -tables.LOGIT_LIMIT, tables.LOGIT_LIMIT, out=indices[rows])
        return indices

    def probabilities(self, z: Grid, length: int) -> npt.NDArray[np.float32]:
        """z (N, L) -> probabilities (N, D) of white pixels."""
        return self._probabilities[self.logits(z, length) + tables.LOGIT_LIMIT]

    def _index(self, value: Array, layer: str, bits: int) -> npt.NDArray[np.int64]:
        """Whole numbers of which `shifts[layer]` binary digits are fraction -> steps of 2^-bits, halves rounded up."""
        shift = self._network.shifts[layer] - bits
        whole = value.astype(np.int64)
        return (whole + (1 << shift >> 1)) >> shift if shift >= 0 else whole << -shift

    def _check(self) -> None:
        """Compares the backend with integer arithmetic on a few rows: coarser products would go unnoticed else."""
        sizes, tensors = self._network.sizes, self._network.tensors
        random = np.random.Generator(np.random.PCG64(0))
        x = random.integers(0, 2, (_PROBE_ROWS, sizes.input_dim))
        z = random.integers(-tables.GRID_LIMIT, tables.GRID_LIMIT + 1, (_PROBE_ROWS, sizes.latent_dim))

        def layer(name: str, inputs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
            return inputs @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

        hidden, hidden3 = (np.maximum(layer(*step), 0) for step in (("encoder.fc1", x), ("decoder.fc3", z)))
        mu, logvar = self._model.encode(x.astype(np.float64))
        found = {
            "encoder.fc2_mu": mu,
            "encoder.fc2_logvar": logvar,
            "decoder.fc4": self._model.decode(z.astype(np.float64)),
        }
        for name, value in found.items():
            expected = layer(name, hidden3 if name == "decoder.fc4" else hidden)
            if not np.array_equal(value, expected):
                raise ArithmeticError(
                    f"backend: its float64 products of whole numbers are not exact ({name}); expected IEEE float64"
                )


def _filled(rows: npt.NDArray[np.uint8] | Grid, length: int) -> Array:
    """`rows` in float64, and zeros below them up to `length`."""
    filled = np.zeros((length, rows.shape[1]))
    filled[: len(rows)] = rows
    return filled
