"""Published rates for dynamically binarised MNIST, to stand beside ours."""

from dataclasses import dataclass
from typing import Final

BB_ANS: Final = "Townsend, Bird & Barber, Practical Lossless Compression with Latent Variables, ICLR 2019 (1901.04866)"
PROTOCOL: Final = "the 10,000 test images of MNIST, dynamically binarised by one draw of the authors' own"


@dataclass(frozen=True)
class Published:
    """A rate in bits per pixel, as printed: two digits."""

    name: str  # as in `generic.NAMES`, or what it is
    bits_per_pixel: float
    protocol: str
    source: str


FIGURES: Final = (
    Published("bits-back", 0.19, f"{PROTOCOL}; VAE with 784 pixels, 100 hidden units, 40 latents; net", BB_ANS),
    Published("bz2", 0.25, PROTOCOL, BB_ANS),
    Published("gzip", 0.33, PROTOCOL, BB_ANS),
    Published("PNG, image data alone", 0.78, PROTOCOL, BB_ANS),
)


def comparable(data: str, protocol: str, images: int) -> tuple[Published, ...]:
    """The figures that may stand beside an evaluation: all of MNIST's test images, dynamically binarised."""
    return FIGURES if data == "mnist" and protocol.startswith("dynamic") and images == 10_000 else ()
