"""Published figures, each with the protocol under which it may stand beside one of ours."""

from dataclasses import dataclass
from typing import Final

from vae_rosetta.applications.weights import Weights
from vae_rosetta.shared import spec
from vae_rosetta.shared.datasets import Dataset
from vae_rosetta.shared.spec import Sizes


@dataclass(frozen=True)
class Published:
    """A figure in nats per image."""

    measure: str
    low: float
    high: float
    protocol: str
    source: str


# Printed as 105.5585, 105.5890 and 105.6140 nats. Logs that end near 96.5 decode the mean instead of a sample of z, as
# the example did from ab7cb38 to 95d5fdd (2017-10 to 2018-10): no ELBO, so they are not here.
EXAMPLE_LOGS: Final = Published(
    measure="negative_elbo",
    low=105.56,
    high=105.61,
    protocol="grey MNIST, 10,000 test images, 784-400-20, 10 epochs, batch 128, Adam 1e-3, one sample of z",
    source="three public logs of pytorch/examples, vae",
)


def comparable(weights: Weights, data: Dataset, images: int, protocol: str) -> list[Published]:
    """The published figures whose protocol is that of an evaluation.

    Args:
        weights: that were evaluated; those of no known run compare with nothing.
        data: what they were evaluated on.
        images: how many of its held-out images.
        protocol: its name, `Protocol.words`.
    """
    if weights.run is None:
        return []
    settings, epochs_done = weights.run.settings, weights.run.config.epochs_done
    trained = (settings.data, settings.binarise, settings.batch_size, epochs_done, weights.sizes)
    as_published = trained == ("mnist", "none", spec.BATCH_SIZE, spec.EPOCHS, Sizes())
    whole = data.name == "mnist" and images == len(data.test) and protocol == "grey"
    return [EXAMPLE_LOGS] if as_published and whole else []
