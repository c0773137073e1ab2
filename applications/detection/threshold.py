"""A threshold from normal data at a stated false-alarm rate, and which decisions rounding could turn.

Threshold. Of n normal scores, the k-th smallest with k = ceil((n + 1)(1 - alpha)). An image that is as normal as those
is above it with a probability of at most alpha, for any distribution of scores and any n (split conformal prediction:
Vovk, Gammerman & Shafer, "Algorithmic Learning in a Random World", 2005; Angelopoulos & Bates, arXiv:2107.07511). No
anomaly is needed to choose it.

Margin. Two backends err by rounding. Be e the most that a float32 backend is off the exact score, for scores near the
threshold. Backends A and B decide alike unless

    |s_A - t_A| <= |s_A - s_B| + |t_A - t_B| <= 2 e + 2 e,

as an order statistic moves by no more than the scores it is taken from; with a threshold that is given, 2 e. What is
within is `near`: there, and nowhere else, backends may disagree. e comes from the model at hand: it is the tolerance of
the score as `shared.rounding` derives it, ten root mean squares of what float32 does to every operation of the oracle,
at images whose scores are nearest the threshold, absolute or relative to the score, whichever is greater.
"""

import math
from fractions import Fraction
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vae_rosetta.applications.detection import scores
from vae_rosetta.applications.detection.scores import Scores
from vae_rosetta.shared import rounding
from vae_rosetta.shared.contract import Array, Tensors
from vae_rosetta.shared.oracle import Arithmetic, Oracle

FALSE_ALARM: Final = 0.01  # alpha
_MARGIN_ROWS: Final = 16  # images at which the margin is derived: the nearest to the threshold
_MARGIN_SAMPLES: Final = 4  # of z: rounding of the mean of more is no larger


class Decisions(NamedTuple):
    """What a threshold says of each image, (N,) each."""

    flagged: npt.NDArray[np.bool_]  # above the threshold
    near: npt.NDArray[np.bool_]  # within the margin of it: another backend may decide otherwise


def conformal(normal: Scores, false_alarm: float = FALSE_ALARM) -> float:
    """The threshold, from scores of normal images (n,), that a normal image exceeds with at most that probability.

    Raises:
        ValueError: a rate outside (0, 1), or too few scores for it.
    """
    if not 0.0 < false_alarm < 1.0:
        raise ValueError(f"false-alarm: got {false_alarm:g}; expected a rate between 0 and 1, such as {FALSE_ALARM}")
    alpha = Fraction(str(false_alarm))  # as it was written: 0.29 * 100 is not 29 in binary
    rank = math.ceil((len(normal) + 1) * (1 - alpha))
    if rank > len(normal):
        least = math.ceil(1 / alpha) - 1
        raise ValueError(f"normal: got {len(normal)} images; expected at least {least} for a rate of {false_alarm:g}")
    return float(np.partition(normal, rank - 1)[rank - 1])


def decide(values: Scores, threshold: float, margin: float) -> Decisions:
    """Scores (N,) -> flagged (N,), near (N,)."""
    return Decisions(values > threshold, np.abs(values - threshold) <= margin)


def nearest(values: Scores, threshold: float) -> npt.NDArray[np.int64]:
    """The rows at which `margin` should be derived, in ascending order: those with scores nearest the threshold."""
    return np.sort(np.argsort(np.abs(values - threshold), kind="stable")[:_MARGIN_ROWS])


def margin(
    params: Tensors,
    x: Array,
    threshold: float,
    name: str,
    *,
    samples: int = scores.SAMPLES,
    seed: int = 0,
    calibrated: bool = True,
) -> float:
    """The distance from `threshold`, in nats, within which two float32 backends may decide differently.

    Args:
        params: the model's.
        x: some images (n, D) with scores near the threshold; see `nearest`.
        name: of the score.
        samples: of z for a score.
        seed: of the noise.
        calibrated: each backend takes the threshold from its own scores; false: it is given to both.
    """
    single = {key: value.astype(np.float32) for key, value in params.items()}
    few = min(samples, _MARGIN_SAMPLES)

    def compute(arithmetic: Arithmetic) -> dict[str, Array]:
        return scores.scores(Oracle(single, "float64", arithmetic), x, (name,), samples=few, seed=seed)

    exact = compute(Arithmetic())[name]
    tolerance = rounding.tolerances(compute, "float32")[name]
    relative = np.max(tolerance / np.maximum(np.abs(exact), np.finfo(np.float64).tiny))
    return (4.0 if calibrated else 2.0) * float(max(np.max(tolerance), relative * abs(threshold)))
