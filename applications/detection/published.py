"""Published results of leave-one-digit-out on MNIST, with their sources, to stand beside ours.

All are VAEs trained on nine digits, with the tenth as the anomaly. They differ from this model in architecture,
decoder, latent size and training. Where the share of anomalies among the test images is not told, an area under the
precision-recall curve says little: chance has that share.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Published(NamedTuple):
    """One published column: a metric for each digit."""

    name: str
    metric: str  # "auroc" or "auprc"
    values: Mapping[int, float]  # by the digit left out
    source: str

    def mean(self) -> float:
        """Over the digits."""
        return sum(self.values.values()) / len(self.values)


_TONNAER: Final = (
    "Tonnaer, PhD thesis, Eindhoven University of Technology, tables 3.3 and 3.4 "
    "(books.ipskampprinting.nl/thesis/603556-Tonnaer/65): negative ELBO of 128 samples, Gaussian decoder"
)
_ZENATI: Final = (
    "Zenati et al. 2018 (EGBAD), row VAE, as quoted in table 4 of the EnGAN paper; the share of anomalies is not told"
)


def _digits(*values: float) -> Mapping[int, float]:
    return dict(enumerate(values))


PUBLISHED: Final = (
    Published("VAE, 2-d", "auroc", _digits(0.96, 0.73, 0.97, 0.94, 0.73, 0.92, 0.95, 0.77, 0.92, 0.66), _TONNAER),
    Published("VAE, 32-d", "auroc", _digits(0.81, 0.09, 0.92, 0.87, 0.78, 0.86, 0.87, 0.51, 0.89, 0.58), _TONNAER),
    Published("VAE, 2-d", "auprc", _digits(0.75, 0.21, 0.76, 0.64, 0.23, 0.45, 0.69, 0.27, 0.47, 0.15), _TONNAER),
    Published("VAE, 32-d", "auprc", _digits(0.27, 0.06, 0.57, 0.38, 0.24, 0.31, 0.46, 0.11, 0.45, 0.17), _TONNAER),
    Published("VAE, EGBAD", "auprc", {1: 0.063, 4: 0.337, 5: 0.325, 7: 0.148, 9: 0.104}, _ZENATI),
)
