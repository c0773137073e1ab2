"""The images that generated ones are shown beside, as the run saw them."""

import dataclasses

from vae_rosetta.applications import protocol, runs
from vae_rosetta.applications.weights import Weights
from vae_rosetta.shared import binarisation
from vae_rosetta.shared.datasets import Dataset


def as_seen(weights: Weights, data: Dataset) -> Dataset:
    """The data as the weights' run saw them: as bits, if it trained on pixels that were drawn anew for every epoch.

    Held-out images as the one draw that it was tested on, training images as its first epoch had them.
    """
    config = weights.config or {}
    if runs.binarise(config) == "none":
        return data
    seed = int(config["seed"])
    test = protocol.held_out(runs.binarise(config), seed).apply(data.test)
    return dataclasses.replace(data, train=binarisation.dynamic(data.train, seed, 0), test=test)
