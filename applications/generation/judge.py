"""A small classifier as judge of images: its hidden layer is the space in which sets of images are compared.

The usual judge, an Inception network, is a download made for photographs. This one is trained on the training images
and their labels, always in the same way, whatever the seed of what it judges: 128 hidden ReLU units, Adam, batches of
128, as many steps as ten epochs of MNIST have. It has seen the training images and not the others, which is in the
floor. Figures are comparable only under the same judge, so each result states its accuracy and the SHA-256 of its
parameters: another number of threads rounds differently and trains a slightly different one, which moves distances by
a thousandth.
"""

import hashlib
import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vae_rosetta.shared.contract import Array

HIDDEN: Final = 128
BATCH_SIZE: Final = 128
STEPS: Final = 4690  # ten epochs of MNIST: 97.9 % of the test images right, and more steps gain little
_SEED: Final = 0
_LEAST_ACTIVE: Final = 0.01  # share of the training images that switch a hidden unit on, if it is to be a feature
_ROWS: Final = 10_000  # images worked on at a time

Real = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


class Verdict(NamedTuple):
    """What the judge takes images for."""

    labels: Labels  # (N,)
    confidence: Real  # (N,), the probability that it gives that label


class Judge:
    """A trained classifier; the features are standardised by the images that it was trained on."""

    def __init__(self, classifier: Any, x: Array) -> None:
        self._classifier = classifier  # a fitted sklearn.neural_network.MLPClassifier
        self._weight, self._bias = classifier.coefs_[0].astype(np.float64), classifier.intercepts_[0].astype(np.float64)
        self._mean, self._scale = np.zeros(len(self._bias)), np.ones(len(self._bias))
        hidden = self.features(x)
        self._mean, self._scale = hidden.mean(axis=0), hidden.std(axis=0)
        # A unit that hardly any image switches on says nothing, and standardised it drowns the others: MNIST's judge
        # has one that 4 images of 60,000 do, which alone would make more than half of the distance of the floor.
        alive = ((hidden > 0.0).mean(axis=0) >= _LEAST_ACTIVE) & (self._scale > 0.0)
        self.layers = (x.shape[1], HIDDEN, len(classifier.classes_))
        self.idle = int(np.count_nonzero(~alive))  # hidden units that are not among the features
        self._weight, self._bias = self._weight[:, alive], self._bias[alive]
        self._mean, self._scale = self._mean[alive], self._scale[alive]

    def features(self, x: Array) -> Real:
        """Images x (N, D) -> their hidden units, standardised, (N, F)."""
        hidden = [np.maximum(x[i : i + _ROWS] @ self._weight + self._bias, 0.0) for i in range(0, len(x), _ROWS)]
        return (np.concatenate(hidden) - self._mean) / self._scale

    def verdict(self, x: Array) -> Verdict:
        """The label of each image of x (N, D), and how sure that is."""
        shares = np.concatenate(
            [self._classifier.predict_proba(x[i : i + _ROWS]) for i in range(0, len(x), _ROWS)]
        )  # (N, C)
        return Verdict(self._classifier.classes_[shares.argmax(axis=1)], shares.max(axis=1).astype(np.float64))

    def accuracy(self, x: Array, labels: Labels) -> float:
        """The share of images x (N, D) that it takes for what they are."""
        return float(np.mean(self.verdict(x).labels == labels))

    def sha256(self) -> str:
        """Of weights and biases, layer by layer, in C order as float32, little end first."""
        digest = hashlib.sha256()
        for layer in zip(self._classifier.coefs_, self._classifier.intercepts_, strict=True):
            for tensor in layer:
                digest.update(np.ascontiguousarray(tensor, dtype="<f4").data)
        return digest.hexdigest()


def train(x: Array, labels: Labels, *, steps: int = STEPS, progress: Callable[[int], None] | None = None) -> Judge:
    """A judge trained on images x (N, D) and their labels (N,) for whole epochs, `steps` steps or a few more.

    Args:
        progress: called after every epoch with the steps that it had.

    Raises:
        ValueError: all labels are the same.
    """
    from sklearn.neural_network import MLPClassifier

    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError(f"labels: got {classes[0]} for every image; expected at least two classes")
    classifier = MLPClassifier((HIDDEN,), batch_size=min(BATCH_SIZE, len(x)), random_state=_SEED)
    an_epoch = math.ceil(len(x) / BATCH_SIZE)
    for _ in range(math.ceil(steps / an_epoch)):
        classifier.partial_fit(x, labels, classes=classes)  # one epoch, in an order of its own
        if progress is not None:
            progress(an_epoch)
    return Judge(classifier, x)
