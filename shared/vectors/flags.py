"""The bugs that vectors catch: each flag says what goes wrong, what comes of it, and where it was met in public."""

from typing import Final, NamedTuple


class Flag(NamedTuple):
    """One classic way for a port to go wrong."""

    bug: str
    effect: str
    source: str  # a public report


_GITHUB: Final = "https://github.com"

FLAGS: Final = {
    "transposed-weights": Flag(
        "A weight is taken as (in, out) where the specification has (out, in).",
        "Square layers load without an error and compute something else.",
        f"{_GITHUB}/huggingface/transformers/issues/4514",
    ),
    "std-for-logvar": Flag(
        "logvar is read as the log of the standard deviation, or exp(logvar) as the standard deviation.",
        "z is spread by the square or the square root of what the encoder means.",
        f"{_GITHUB}/DeepTrackAI/DeepTrack2/pull/170",
    ),
    "clamped-log": Flag(
        "Cross-entropy on probabilities: the logarithm is clamped or its argument clipped.",
        "Saturated pixels report a loss capped at 100 or 15.9 and send no gradient back.",
        f"{_GITHUB}/pytorch/pytorch/issues/103316",
    ),
    "another-clamp": Flag(
        "The published loss on probabilities clamps its logs elsewhere than at -100, clips its input, or does neither.",
        "Infinities and NaN, or another loss than the listing's, as soon as a pixel saturates.",
        f"{_GITHUB}/ml-explore/mlx/pull/1280",
    ),
    "log-of-sigmoid": Flag(
        "The logarithm is taken of a sigmoid, or of 1 - exp of its logarithm.",
        "Infinite loss and NaN gradients at large logits; exactly zero loss where it is small.",
        f"{_GITHUB}/tensorflow/tensorflow/issues/118313",
    ),
    "kink-at-zero": Flag(
        "A hand-written stable cross-entropy, max(l, 0) - l x + log1p(exp(-|l|)), is differentiated through its kinks.",
        "The gradient at a logit of exactly 0 is 1 - x, -x or -1/2 - x instead of 1/2 - x.",
        f"{_GITHUB}/pytorch/pytorch/issues/20679",
    ),
    "swapped-arguments": Flag(
        "Logits and targets change places: (input, target), (y_true, y_pred) and (logits, labels) are all in use.",
        "A plausible loss of the wrong function: 1.18 instead of 1.51 on this vector.",
        f"{_GITHUB}/autonomousvision/sledge/issues/4",
    ),
    "wrong-reduction": Flag(
        "A sum over pixels, latents or images is a mean.",
        "The weight of the KL term is off by the number of pixels or latents, and Adam hides the scale from the eye.",
        f"{_GITHUB}/keras-team/keras/issues/6015",
    ),
    "inert-kl": Flag(
        "The KL term is computed but its weight is zero, or it is detached from the gradient.",
        "An autoencoder is trained under the name of a VAE.",
        f"{_GITHUB}/Lightning-Universe/lightning-bolts/issues/328",
    ),
    "kl-sign": Flag(
        "The KL term has the wrong sign, or is off by a constant.",
        "The posterior runs away from the prior, or the logged value is negative.",
        f"{_GITHUB}/AntixK/PyTorch-VAE/issues/68",
    ),
    "logvar-clamped": Flag(
        "logvar is clamped, or NaN and infinities are replaced.",
        "A diverging run looks healthy; the KL term of wide posteriors is wrong.",
        f"{_GITHUB}/yzhao062/pyod/issues/609",
    ),
    "relu-at-zero": Flag(
        "The derivative of relu at exactly 0 is 1/2 or 1.",
        "A black image with zero biases sends a gradient where there is none.",
        f"{_GITHUB}/pytorch/pytorch/issues/1792",
    ),
    "epsilon-hat": Flag(
        "Adam's epsilon is added before the bias correction, or is 1e-7.",
        "First updates are up to 32 times too short where gradients are near epsilon.",
        f"{_GITHUB}/google-deepmind/optax/issues/571",
    ),
    "gradient-underflow": Flag(
        "Small gradients are lost on the way to Adam: half precision without loss scaling, a threshold, a clean-up.",
        "Adam would move such a weight as far as any other; here it stands still.",
        "https://arxiv.org/abs/1710.03740",
    ),
    "bias-correction": Flag(
        "Adam's bias correction is missing or counts steps from 0.",
        "The first updates are 3 to 10 times too long or too short.",
        f"{_GITHUB}/pytorch/pytorch/issues/104857",
    ),
    "rounded-constants": Flag(
        "Adam's 1 - beta is the difference of 1 and a float32 beta.",
        "v is off by 1.3e-5 of itself from the first step on, a hundred times what float32 promises.",
        f"{_GITHUB}/pytorch/pytorch/pull/173224",
    ),
    "short-last-batch": Flag(
        "The short last batch is dropped, padded, or weighted like a full one.",
        "Some images never train or count twice, and epoch averages are off: 6.7 instead of 8.0 on this vector.",
        f"{_GITHUB}/tensorflow/tensorflow/issues/38596",
    ),
    "post-update-objective": Flag(
        "A step reports the objective after its update, or of another batch.",
        "Curves look one step ahead, and comparisons at equal steps are off.",
        f"{_GITHUB}/google/flax/issues/4087",
    ),
    "reused-noise": Flag(
        "The noise is not the one given, or the same in every row or step.",
        "Gradients of the reparameterised sample are biased; two runs cannot be compared.",
        f"{_GITHUB}/pytorch/pytorch/issues/80202",
    ),
    "coarse-products": Flag(
        "Matrix products run in TF32 or bfloat16 by default.",
        "Errors of 1e-3 where float32 promises 1e-7.",
        f"{_GITHUB}/jax-ml/jax/issues/10413",
    ),
    "wrong-initial-weights": Flag(
        "Weights are Glorot or LeCun normal, biases zero: the framework's default, not the specification's.",
        "Training curves of two frameworks differ from the first step.",
        f"{_GITHUB}/google/flax/issues/3125",
    ),
}
