"""The images that generated ones are shown beside: those that `--data` names, or the run's own."""

import dataclasses
from pathlib import Path

from applications import runs
from applications.weights import Weights
from shared import binarisation, datasets
from shared.datasets import Dataset


def known(weights: Weights) -> bool:
    """Whether the weights' run tells which data it was trained on."""
    return "data" in (weights.config or {})


def load(weights: Weights, data: str | None, data_dir: Path | None) -> Dataset:
    """The data called `data`, default: those that the weights' run was trained on, grey whatever the run made of them.

    Raises:
        FileNotFoundError: they are gone.
        ValueError: nothing tells which, or they are not images of the model's size.
    """
    if data is None:
        if not known(weights):
            raise ValueError(f"data: no {runs.CONFIG} beside {weights.file} tells the run's own; give --data")
        config = weights.config or {}
        data, data_dir = str(config["data"]), data_dir or config.get("data_dir")
    loaded = datasets.load(data, data_dir=data_dir)
    pixels = loaded.train.shape[1]
    if pixels != weights.sizes.input_dim:
        raise ValueError(
            f"data: got {data}, images of {pixels} pixels; expected {weights.sizes.input_dim}, as the model has"
        )
    return loaded


def as_seen(weights: Weights, data: Dataset) -> Dataset:
    """The data as the weights' run saw them: as bits, if it trained on pixels that were drawn anew for every epoch.

    Held-out images as the one draw that it was tested on, training images as its first epoch had them.
    """
    config = weights.config or {}
    if config.get("binarise", "none") == "none":
        return data
    seed = int(config["seed"])
    train, test = binarisation.dynamic(data.train, seed, 0), binarisation.drawn(data.test, seed)
    return dataclasses.replace(data, train=train, test=test)
