"""Chapter forward: encode, reparameterize, decode."""

import numpy as np
import pytest

from vae_rosetta.conformance.grader import Grader
from vae_rosetta.shared.vectors import Vector

pytestmark = pytest.mark.clause("arch.encoder", "arch.reparameterize", "arch.decoder")


@pytest.mark.chapter("forward")
def test_vector(grader: Grader, vector: Vector) -> None:
    grader.check(vector)


def test_rows_do_not_see_each_other(grader: Grader) -> None:
    """A row has its own answer in any batch, up to the order of sums that a batch size may change."""
    model = grader.untouched()
    x = np.random.default_rng(0).random((6, 12)).astype(np.float32)
    mu, logvar = model.encode(x)
    alone = [model.encode(x[row : row + 1]) for row in range(6)]
    # 12 and 8 terms, each rounded once: 20 units in the last place of the largest sum are out of reach.
    room = 20 * grader.eps * max(np.abs(mu).max(), np.abs(logvar).max(), 1.0)
    assert np.abs(mu - np.concatenate([m for m, _ in alone])).max() <= room
    assert np.abs(logvar - np.concatenate([v for _, v in alone])).max() <= room
