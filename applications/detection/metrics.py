"""How well scores tell anomalies from the rest, with bootstrap intervals.

AUROC: the probability that an anomaly scores above a normal image, ties half (scikit-learn's `roc_auc_score`). AUPRC:
average precision (`average_precision_score`); a ranking by chance has the share of anomalies, which therefore stands
beside it. FPR at 95 % TPR: the share of normal images flagged by the highest threshold that finds 95 % of the
anomalies.

Intervals: the middle 95 % of a stratified bootstrap (Efron & Tibshirani 1993): anomalies and normal images drawn again
each, with replacement, as many as there are. Scores are taken as given: how much another seed of training would move
them is no part of it.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

from vae_rosetta.applications.detection.scores import Scores

RESAMPLES: Final = 1000
TPR: Final = 0.95
METRICS: Final = ("auroc", "auprc", "fpr_at_95_tpr")
_TOGETHER: Final = 100  # resamples worked on at a time: 8 MB for 10,000 images

Weights = npt.NDArray[np.float64]  # (R, N): how often a resample has each image
Anomalous = npt.NDArray[np.bool_]  # (N,)


class Estimate(NamedTuple):
    """A metric with its 95 % interval."""

    value: float
    low: float
    high: float


def evaluate(values: Scores, anomalous: Anomalous, *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Estimate]:
    """The metrics of scores (N,), higher being more anomalous, by name.

    Args:
        anomalous: which images are anomalies (N,).
        resamples: of the bootstrap.
        seed: of the bootstrap; equal ones draw the same images, so that scores can be compared by pairs.

    Raises:
        ValueError: all images are anomalies, or none.
    """
    count = int(anomalous.sum())
    if not 0 < count < len(anomalous):
        raise ValueError(f"anomalous: got {count} anomalies of {len(anomalous)} images; expected some of each kind")
    ranking = _Ranking(values, anomalous)
    found = {
        "auroc": float(roc_auc_score(anomalous, values)),
        "auprc": float(average_precision_score(anomalous, values)),
        "fpr_at_95_tpr": float(ranking.metrics(np.ones((1, len(values))))["fpr_at_95_tpr"][0]),
    }
    random = np.random.default_rng(seed)
    drawn: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in METRICS}
    for first in range(0, resamples, _TOGETHER):
        weights = resampled(random, anomalous, min(_TOGETHER, resamples - first))
        for name, part in ranking.metrics(weights).items():
            drawn[name].append(part)
    bounds = {name: np.quantile(np.concatenate(parts), (0.025, 0.975)) for name, parts in drawn.items()}
    return {name: Estimate(found[name], float(bounds[name][0]), float(bounds[name][1])) for name in METRICS}


def resampled(random: np.random.Generator, anomalous: Anomalous, count: int) -> Weights:
    """How often each image is in each of `count` stratified resamples, (R, N)."""
    weights = np.empty((count, len(anomalous)))
    for kind in (anomalous, ~anomalous):
        size = int(kind.sum())
        weights[:, kind] = random.multinomial(size, np.full(size, 1.0 / size), size=count)
    return weights


class _Ranking:
    """Images from the most anomalous to the least, and where a run of equal scores ends."""

    def __init__(self, values: Scores, anomalous: Anomalous) -> None:
        self._order = np.argsort(-values, kind="stable")
        self._anomalous = anomalous[self._order]
        ordered = values[self._order]
        self._ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))  # thresholds that can be told apart

    def metrics(self, weights: Weights) -> Mapping[str, npt.NDArray[np.float64]]:
        """Each metric, (R,), with images counted as often as weights (R, N) say."""
        ordered = weights[:, self._order]
        found = np.cumsum(ordered * self._anomalous, axis=1)[:, self._ends]  # (R, T): anomalies above each threshold
        alarms = np.cumsum(ordered * ~self._anomalous, axis=1)[:, self._ends]
        tpr, fpr = found / found[:, -1:], alarms / alarms[:, -1:]
        before = [np.pad(rate, ((0, 0), (1, 0)))[:, :-1] for rate in (tpr, fpr)]
        flagged = found + alarms
        precision = np.divide(found, flagged, out=np.zeros_like(found), where=flagged > 0)
        first = np.argmax(tpr >= TPR, axis=1)
        return {
            "auroc": np.sum((fpr - before[1]) * (tpr + before[0]) / 2.0, axis=1),
            "auprc": np.sum((tpr - before[0]) * precision, axis=1),
            "fpr_at_95_tpr": fpr[np.arange(len(fpr)), first],
        }
