"""The specification in numbers and clauses: every constant of the classic VAE once, with its reason.

The prose of each clause is normative. Golden vectors and chapters of the conformance suite name the clauses they stand
on, so that a failure can be looked up here.

Sources: Kingma & Welling, "Auto-Encoding Variational Bayes" (arXiv:1312.6114), appendix B for the KL term and section
2.4 for the reparameterisation; Kingma & Ba, "Adam" (arXiv:1412.6980), Algorithm 1.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

VERSION: Final = "1.0"  # of the specification; a change that makes a correct port wrong raises the first number

INPUT_DIM: Final = 784  # D: MNIST, 28 x 28
HIDDEN_DIM: Final = 400  # H: the width of the widely copied public example
LATENT_DIM: Final = 20  # L

BATCH_SIZE: Final = 128
EPOCHS: Final = 10

LEARNING_RATE: Final = 1e-3
BETA1: Final = 0.9
BETA2: Final = 0.999
EPSILON: Final = 1e-8  # added to sqrt(v_hat), after the bias correction; Keras' own Adam adds it before (not this spec)

PROBABILITY_LOG_CLAMP: Final = -100.0  # lower bound of each log in the loss on probabilities, as in torch.nn.BCELoss


class Sizes(NamedTuple):
    """The three numbers that fix a model's shapes."""

    input_dim: int = INPUT_DIM  # D
    hidden_dim: int = HIDDEN_DIM  # H
    latent_dim: int = LATENT_DIM  # L


def parameter_shapes(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """Canonical tensor names and shapes, in canonical order: weights are (out, in), biases (out,)."""
    d, h, l = sizes  # noqa: E741 -- D, H, L are the specification's
    return {
        "encoder.fc1.weight": (h, d),
        "encoder.fc1.bias": (h,),
        "encoder.fc2_mu.weight": (l, h),
        "encoder.fc2_mu.bias": (l,),
        "encoder.fc2_logvar.weight": (l, h),
        "encoder.fc2_logvar.bias": (l,),
        "decoder.fc3.weight": (h, l),
        "decoder.fc3.bias": (h,),
        "decoder.fc4.weight": (d, h),
        "decoder.fc4.bias": (d,),
    }


PARAMETER_NAMES: Final = tuple(parameter_shapes(Sizes()))

CLAUSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "arch.encoder": "h = relu(x W1^T + b1); mu = h W21^T + b21; logvar = h W22^T + b22.",
        "arch.reparameterize": "z = mu + exp(logvar / 2) * noise: logvar is the log of the variance.",
        "arch.decoder": "h3 = relu(z W3^T + b3); logits = h3 W4^T + b4; probabilities = sigmoid(logits).",
        "arch.relu": "relu'(0) = 0.",
        "names": "Ten tensors, `encoder.fc1.weight` to `decoder.fc4.bias`; weights (out, in), biases (out,), C order.",
        "loss.bce.logits": "reconstruction = sum_d softplus(logit_d) - x_d logit_d, per sample, finite at every "
        "finite logit, with gradient sigmoid(logit_d) - x_d everywhere, logit 0 included.",
        "loss.kl": "kl = 1/2 sum_j (mu_j^2 + exp(logvar_j) - 1 - logvar_j), per sample.",
        "loss.objective": "objective = sum over the batch of reconstruction + kl (beta = 1): the negative "
        "ELBO, which is minimised (the literature's L is the ELBO, and maximised).",
        "loss.reported": "A reported loss is the objective over the number of images, so that a short last batch "
        "weighs by its images.",
        "loss.probabilities": "loss_function(recon_x, x, mu, logvar): summed cross-entropy on probabilities, each log "
        "clamped at -100, plus kl. Never used for training.",
        "adam": "Adam, Algorithm 1 of Kingma & Ba: lr 1e-3, beta 0.9 / 0.999, epsilon 1e-8 added to sqrt(v_hat) "
        "after the bias correction. 1 - beta1 and 1 - beta2 are constants of their own, 0.1 and 0.001, rounded once: a "
        "port writes them so or forms them in float64 (1 - 0.999 in float32 is off by 1.3e-5). The bias correction's "
        "1 - beta^t may be float32. A gradient that has always been zero moves nothing.",
        "init": "Every weight and bias is uniform in +-1/sqrt(fan_in), drawn from the portable stream.",
        "stream": "Philox4x64-10 keyed by (seed, purpose), counted by (block, 0, index, 0): uniforms, Box-Muller "
        "normals and permutations derived from raw 64-bit words.",
        "recipe": "Per epoch: order of images and noise from the stream; batch 128; a short last batch is kept.",
        "input": "x is float32 or float64, finite, in [0, 1], of shape (B, D) with B >= 1. Anything else is a "
        "TypeError or ValueError that names the argument. Arguments are never changed.",
        "precision": "float32 means IEEE float32 matrix products (no TF32, no bfloat16); float64 means float64 "
        "throughout.",
        "state": "state() holds the parameters, Adam's m and v and the step count: loading it resumes exactly.",
        "sampling": "sample(x, seed) draws from q(z|x), generate(n, seed) from the prior; equal seeds draw alike.",
    }
)

# No clause: a port without this mode conforms, and one with it is graded apart, by `vae conformance mixed`.
MIXED_PRECISION: Final = (
    "load(params, dtype='mixed_bfloat16'): layers compute in bfloat16. What goes into their products and what comes "
    "out, forward and backward, is rounded to bfloat16, to nearest; the sums within are float32. Everything else is "
    "float32: parameters, what is computed between the layers, losses, Adam, and the arrays that go in and out."
)
