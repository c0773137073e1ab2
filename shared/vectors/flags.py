"""The bugs that vectors are made to catch, by the flags that the manifest names.

A flag stands for one row of the catalogue (`shared.bugs`) or for several of a kind, the most typical first.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from vae_rosetta.shared.bugs import BUGS, link


class Flag(NamedTuple):
    """What a vector is made to catch. The text is the manifest's, word for word."""

    bugs: tuple[str, ...]  # ids in the catalogue
    effect: str  # what comes of it
    kind: str = ""  # what the bugs have in common; empty where the first row says all

    @property
    def bug(self) -> str:
        """What goes wrong."""
        return self.kind or f"{BUGS[self.bugs[0]].what}."

    @property
    def source(self) -> str:
        """The address of a public report."""
        return link(BUGS[self.bugs[0]].report)


FLAGS: Final[Mapping[str, Flag]] = MappingProxyType(
    {
        "transposed-weights": Flag(
            ("transposed-weights",), "Square layers load without an error and compute something else."
        ),
        "std-for-logvar": Flag(
            ("std-is-exp-logvar", "std-is-root-of-std", "std-slope", "kl-reads-log-std", "log-std-throughout"),
            "z is spread by the square or the square root of what the encoder means.",
            "logvar is read as the log of the standard deviation, or exp(logvar) as the standard deviation.",
        ),
        "clamped-log": Flag(
            ("probabilities-clamped-at-100", "probabilities-clipped"),
            "Saturated pixels report a loss capped at 100 or 15.9 and send no gradient back.",
            "Cross-entropy on probabilities: the logarithm is clamped or its argument clipped.",
        ),
        "another-clamp": Flag(
            ("another-clamp",), "Infinities and NaN, or another loss than the listing's, as soon as a pixel saturates."
        ),
        "log-of-sigmoid": Flag(
            ("log-of-sigmoid",), "Infinite loss and NaN gradients at large logits; exactly zero loss where it is small."
        ),
        "kink-at-zero": Flag(
            ("kink-at-zero",), "The gradient at a logit of exactly 0 is 1 - x, -x or -1/2 - x instead of 1/2 - x."
        ),
        "swapped-arguments": Flag(
            ("swapped-arguments",), "A plausible loss of the wrong function: 1.18 instead of 1.51 on this vector."
        ),
        "wrong-reduction": Flag(
            ("pixel-mean", "batch-mean", "whole-mean", "batch-total", "kl-latent-mean", "kl-pixel-mean"),
            "The weight of the KL term is off by the number of pixels or latents, "
            "and Adam hides the scale from the eye.",
            "A sum over pixels, latents or images is a mean.",
        ),
        "inert-kl": Flag(("inert-kl",), "An autoencoder is trained under the name of a VAE."),
        "kl-sign": Flag(
            ("kl-sign", "kl-term-missing"),
            "The posterior runs away from the prior, or the logged value is negative.",
            "The KL term has the wrong sign, or is off by a constant.",
        ),
        "logvar-clamped": Flag(
            ("logvar-clamped", "nan-replaced"),
            "A diverging run looks healthy; the KL term of wide posteriors is wrong.",
            "logvar is clamped, or NaN and infinities are replaced.",
        ),
        "relu-at-zero": Flag(("relu-at-zero",), "A black image with zero biases sends a gradient where there is none."),
        "epsilon-hat": Flag(
            ("epsilon-hat", "epsilon-value"),
            "First updates are up to 32 times too short where gradients are near epsilon.",
            "Adam's epsilon is added before the bias correction, or is 1e-7.",
        ),
        "gradient-underflow": Flag(
            ("gradient-underflow",), "Adam would move such a weight as far as any other; here it stands still."
        ),
        "bias-correction": Flag(
            ("no-bias-correction", "bias-correction-late"),
            "The first updates are 3 to 10 times too long or too short.",
            "Adam's bias correction is missing or counts steps from 0.",
        ),
        "rounded-constants": Flag(
            ("rounded-constants",),
            "v is off by 1.3e-5 of itself from the first step on, a hundred times what float32 promises.",
        ),
        "short-last-batch": Flag(
            ("short-batch-dropped", "short-batch-padded", "short-batch-reweighted"),
            "Some images never train or count twice, and epoch averages are off: 6.7 instead of 8.0 on this vector.",
            "The short last batch is dropped, padded, or weighted like a full one.",
        ),
        "post-update-objective": Flag(
            ("post-update-objective",), "Curves look one step ahead, and comparisons at equal steps are off."
        ),
        "reused-noise": Flag(
            ("noise-shared-by-rows", "noise-shared-by-steps", "noise-misplaced", "noise-ignored", "own-noise"),
            "Gradients of the reparameterised sample are biased; two runs cannot be compared.",
            "The noise is not the one given, or the same in every row or step.",
        ),
        "coarse-products": Flag(
            ("coarse-products",),
            "Errors of 1e-3 where float32 promises 1e-7.",
            "Matrix products run in TF32 or bfloat16 by default.",
        ),
        "wrong-initial-weights": Flag(
            ("wrong-initial-weights",), "Training curves of two frameworks differ from the first step."
        ),
    }
)
