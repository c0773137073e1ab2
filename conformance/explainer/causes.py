"""Every cause that the explainer can name: what is wrong, which clause it breaks, where it was met, how it is mended.

`P04` and the like are the numbers of the project's list of pitfalls.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

_GITHUB: Final = "https://github.com"


class Cause(NamedTuple):
    """One way of being wrong."""

    bug: str  # what is wrong, as a clause: "the KL term is averaged over the latents"
    clause: str  # of shared/spec.py
    pitfall: str
    report: str  # where it was met in public: owner/repo#number, or a document
    fix: str


CAUSES: Final[Mapping[str, Cause]] = MappingProxyType(
    {
        "std-is-exp-logvar": Cause(
            "exp(logvar) is taken as the standard deviation, as if logvar were the log of it",
            "arch.reparameterize",
            "P05",
            "DeepTrackAI/DeepTrack2#170",
            "z = mu + exp(logvar / 2) * noise",
        ),
        "std-is-root-of-std": Cause(
            "logvar is halved twice: z is spread by the square root of the standard deviation",
            "arch.reparameterize",
            "P05",
            "keras-team/keras#3283",
            "z = mu + exp(logvar / 2) * noise, halved once",
        ),
        "std-is-logvar": Cause(
            "the output named logvar is used as the standard deviation itself",
            "arch.reparameterize",
            "P05",
            "keras-team/keras#9972",
            "z = mu + exp(logvar / 2) * noise",
        ),
        "std-is-root-of-logvar": Cause(
            "the output named logvar is used as the variance itself",
            "arch.reparameterize",
            "P05",
            "keras-team/keras#9972",
            "z = mu + exp(logvar / 2) * noise",
        ),
        "std-is-softplus": Cause(
            "the standard deviation is softplus(logvar)",
            "arch.reparameterize",
            "P05",
            "keras-team/keras#9972",
            "z = mu + exp(logvar / 2) * noise",
        ),
        "noise-subtracted": Cause(
            "the noise is subtracted", "arch.reparameterize", "P27", "pytorch/pytorch#80202", "add std * noise to mu"
        ),
        "noise-ignored": Cause(
            "the noise that is given is not used: z is mu",
            "arch.reparameterize",
            "P27",
            "pytorch/pytorch#80202",
            "z = mu + exp(logvar / 2) * noise, in training and in evaluation",
        ),
        "noise-shared-by-rows": Cause(
            "every row of a batch gets the first row's noise",
            "arch.reparameterize",
            "P28",
            "pytorch/pytorch#80202",
            "use row i of the noise for row i of the batch",
        ),
        "noise-reversed": Cause(
            "the noise is used in the reverse order of rows",
            "arch.reparameterize",
            "P28",
            "pytorch/pytorch#80202",
            "use row i of the noise for row i of the batch",
        ),
        "noise-shared-by-steps": Cause(
            "every training step of a call takes the first step's noise",
            "recipe",
            "P26",
            "google/torchax#17",
            "use noise[k] in step k; inside a compiled step, pass it as an argument",
        ),
        "heads-swapped": Cause(
            "the heads of mu and logvar are swapped",
            "names",
            "P18",
            "huggingface/transformers#4514",
            "load encoder.fc2_mu into the head that adds, encoder.fc2_logvar into the one that is exponentiated",
        ),
        "transposed": Cause(
            "a weight is taken as (in, out)",
            "names",
            "P18",
            "huggingface/transformers#4514",
            "weights are (out, in): transpose on the way in and on the way out, square layers too",
        ),
        "no-bias": Cause(
            "the biases are not added", "arch.encoder", "P18", "huggingface/transformers#4514", "load all ten tensors"
        ),
        "activation": Cause(
            "the hidden layers use another activation than relu",
            "arch.encoder",
            "P21",
            "pytorch/pytorch#1792",
            "h = relu(x W1^T + b1), and the same in the decoder",
        ),
        "sigmoid-returned": Cause(
            "probabilities are returned where logits are asked for",
            "arch.decoder",
            "P01",
            "pytorch/pytorch#103316",
            "return the last layer's output without the sigmoid",
        ),
        "sigmoid-twice": Cause(
            "the cross-entropy on logits is given probabilities: the sigmoid acts twice",
            "loss.bce.logits",
            "P01",
            "keras-team/keras#9664",
            "hand the last layer's output to the loss as it is",
        ),
        "squared-error": Cause(
            "the reconstruction is a squared error",
            "loss.bce.logits",
            "P09",
            "pytorch/examples#460",
            "softplus(logit) - x logit, summed over pixels",
        ),
        "probabilities-clamped-at-100": Cause(
            "the cross-entropy is computed on probabilities, each log clamped at -100",
            "loss.bce.logits",
            "P01",
            "pytorch/pytorch#103316",
            "use the loss on logits (torch: binary_cross_entropy_with_logits)",
        ),
        "probabilities-clipped": Cause(
            "the cross-entropy is computed on probabilities that are clipped away from 0 and 1",
            "loss.bce.logits",
            "P01",
            "keras-team/keras#15271",
            "use the loss on logits (Keras: from_logits=True on a linear last layer)",
        ),
        "epsilon-in-log": Cause(
            "a small number is added inside the logarithm",
            "loss.bce.logits",
            "P01",
            "tensorflow/tensorflow#41595",
            "use the loss on logits, which needs none",
        ),
        "logits-clamped": Cause(
            "the logits are clamped",
            "loss.bce.logits",
            "P01",
            "pytorch/pytorch#24933",
            "leave the logits alone: the loss on logits is finite at every one",
        ),
        "log-of-sigmoid": Cause(
            "the logarithm is taken of a sigmoid, or of 1 - exp of its logarithm",
            "loss.bce.logits",
            "P02",
            "tensorflow/tensorflow#118313",
            "softplus(logit) - x logit, with softplus(l) = max(l, 0) + log1p(exp(-|l|))",
        ),
        "softplus-overflow": Cause(
            "softplus is computed as log(1 + exp(l)), which overflows",
            "loss.bce.logits",
            "P02",
            "tensorflow/tensorflow#118313",
            "softplus(l) = max(l, 0) + log1p(exp(-|l|))",
        ),
        "nan-replaced": Cause(
            "NaN and infinities are replaced by numbers",
            "loss.kl",
            "P10",
            "yzhao062/pyod#609",
            "return what IEEE arithmetic gives: infinity where the term overflows",
        ),
        "arguments-swapped": Cause(
            "logits and targets have changed places in the cross-entropy",
            "loss.bce.logits",
            "P08",
            "autonomousvision/sledge#4",
            "torch takes (input, target), Keras (y_true, y_pred), optax (logits, labels)",
        ),
        "kink-at-logit-zero": Cause(
            "a hand-written stable cross-entropy is differentiated through its kinks at logit 0",
            "loss.bce.logits",
            "P03",
            "pytorch/pytorch#20679",
            "make the gradient sigmoid(logit) - x everywhere: the framework's own softplus, or a custom gradient",
        ),
        "relu-slope": Cause(
            "the derivative of relu at exactly 0 is not 0",
            "arch.relu",
            "P21",
            "pytorch/pytorch#1792",
            "use the framework's relu; maximum(x, 0) has the slope 1/2 at 0 in JAX",
        ),
        "kl-weight": Cause(
            "the KL term has a weight",
            "loss.objective",
            "P04",
            "keras-team/keras#6015",
            "objective = reconstruction + kl, both summed (beta = 1)",
        ),
        "kl-inert": Cause(
            "the KL term has no effect: its weight is 0 or it is detached",
            "loss.objective",
            "P07",
            "Lightning-Universe/lightning-bolts#328",
            "add kl to what is differentiated",
        ),
        "kl-latent-mean": Cause(
            "the KL term is averaged over the latents",
            "loss.kl",
            "P04",
            "keras-team/keras-io#270",
            "sum over the latents",
        ),
        "kl-pixel-mean": Cause(
            "the KL term is divided by the number of pixels",
            "loss.kl",
            "P04",
            "keras-team/keras#6015",
            "sum both terms: over pixels, and over latents",
        ),
        "kl-sign": Cause(
            "the KL term has the wrong sign",
            "loss.kl",
            "P06",
            "AntixK/PyTorch-VAE#68",
            "kl = 1/2 sum (mu^2 + exp(logvar) - 1 - logvar), never negative, added to the reconstruction",
        ),
        "kl-half": Cause(
            "the factor 1/2 of the KL term is missing or applied twice",
            "loss.kl",
            "P04",
            "keras-team/keras#6015",
            "kl = 1/2 sum (mu^2 + exp(logvar) - 1 - logvar)",
        ),
        "kl-term-missing": Cause(
            "a term of the KL divergence is missing",
            "loss.kl",
            "P06",
            "AntixK/PyTorch-VAE#68",
            "kl = 1/2 sum (mu^2 + exp(logvar) - 1 - logvar)",
        ),
        "kl-reads-log-std": Cause(
            "the KL term reads logvar as the log of the standard deviation",
            "loss.kl",
            "P05",
            "ctallec/world-models#13",
            "kl = 1/2 sum (mu^2 + exp(logvar) - 1 - logvar)",
        ),
        "kl-reads-variance": Cause(
            "the KL term reads logvar as the variance itself",
            "loss.kl",
            "P05",
            "keras-team/keras#9972",
            "kl = 1/2 sum (mu^2 + exp(logvar) - 1 - logvar)",
        ),
        "kl-reads-std": Cause(
            "the KL term reads logvar as the standard deviation itself",
            "loss.kl",
            "P05",
            "keras-team/keras#9972",
            "kl = 1/2 sum (mu^2 + exp(logvar) - 1 - logvar)",
        ),
        "log-std-throughout": Cause(
            "logvar is read as the log of the standard deviation, in z and in the KL term",
            "arch.reparameterize",
            "P05",
            "ctallec/world-models#13",
            "exp(logvar) is the variance: halve it in z, and do not double it in the KL term",
        ),
        "logvar-clamped": Cause(
            "logvar is clamped",
            "loss.kl",
            "P10",
            "yzhao062/pyod#609",
            "leave logvar alone; what overflows is infinite",
        ),
        "posterior-detached": Cause(
            "the reconstruction sends no gradient through z into the encoder",
            "arch.reparameterize",
            "P07",
            "Lightning-Universe/lightning-bolts#328",
            "draw z as mu + exp(logvar / 2) * noise inside the differentiated function",
        ),
        "batch-mean": Cause(
            "a sum over the batch is a mean",
            "loss.objective",
            "P04",
            "pytorch/examples#228",
            "sum over the images of the batch; divide only what is reported",
        ),
        "pixel-mean": Cause(
            "the sum over pixels is a mean",
            "loss.bce.logits",
            "P04",
            "keras-team/keras#6015",
            "sum over the pixels (Keras: multiply the loss by D; torch: reduction='sum')",
        ),
        "whole-mean": Cause(
            "the sum over pixels and images is one mean",
            "loss.objective",
            "P04",
            "pytorch/examples#296",
            "sum over pixels and images (torch: reduction='sum')",
        ),
        "batch-total": Cause(
            "each image's loss is replaced by one number for the batch",
            "loss.bce.logits",
            "P04",
            "podgorskiy/VAE#1",
            "one loss per image: sum over axis 1 only",
        ),
        "scale": Cause(
            "everything is off by one factor",
            "loss.objective",
            "P04",
            "keras-team/keras#6015",
            "objective = sum over the batch of reconstruction + kl",
        ),
        "reconstruction-weight": Cause(
            "the reconstruction has a weight",
            "loss.objective",
            "P04",
            "orybkin/sigma-vae-tensorflow#2",
            "objective = reconstruction + kl, both summed",
        ),
        "sign": Cause(
            "the sign is wrong: the ELBO is returned where its negative is asked for",
            "loss.objective",
            "P06",
            "wiseodd/generative-models#43",
            "minimise reconstruction + kl",
        ),
        "latents-permuted": Cause(
            "the columns are in another order",
            "names",
            "P19",
            "gzuidhof/nn-transfer#16",
            "keep the order of pixels and latents in every layer",
        ),
        "rows-permuted": Cause(
            "the rows are in another order",
            "recipe",
            "P19",
            "gzuidhof/nn-transfer#16",
            "answer row i of the batch in row i",
        ),
        "names-swapped": Cause(
            "two tensors have changed names",
            "names",
            "P18",
            "huggingface/transformers#4514",
            "return every tensor under its own name",
        ),
        "wrong-shape": Cause(
            "the tensor has another layout",
            "names",
            "P18",
            "huggingface/transformers#4514",
            "weights are (out, in), biases (out,), losses (B,)",
        ),
        "epsilon-hat": Cause(
            "Adam adds epsilon before the bias correction (the variant 'epsilon hat', which is Keras')",
            "adam",
            "P16",
            "google-deepmind/optax#571",
            "add epsilon to sqrt(v_hat); in Keras, write the optimiser out or use epsilon * sqrt(1 - beta2^t)",
        ),
        "epsilon-in-root": Cause(
            "Adam adds epsilon under the square root",
            "adam",
            "P16",
            "google-deepmind/optax#571",
            "add epsilon to sqrt(v_hat) (optax: eps, not eps_root)",
        ),
        "epsilon-value": Cause(
            "Adam's epsilon is not 1e-8",
            "adam",
            "P16",
            "google-deepmind/optax#571",
            "epsilon = 1e-8 (the default of Keras is 1e-7)",
        ),
        "adam-rate": Cause(
            "the learning rate is not 1e-3", "adam", "P16", "pytorch/pytorch#104857", "learning rate 1e-3"
        ),
        "adam-beta1": Cause("Adam's beta1 is not 0.9", "adam", "P16", "pytorch/pytorch#104857", "beta1 = 0.9"),
        "adam-beta2": Cause("Adam's beta2 is not 0.999", "adam", "P16", "pytorch/pytorch#104857", "beta2 = 0.999"),
        "no-bias-correction": Cause(
            "Adam's bias correction is missing",
            "adam",
            "P16",
            "pytorch/pytorch#104857",
            "divide m by 1 - beta1^t and v by 1 - beta2^t",
        ),
        "bias-correction-late": Cause(
            "Adam's bias correction counts a step too many",
            "adam",
            "P16",
            "pytorch/pytorch#104857",
            "the first step is t = 1",
        ),
        "weight-decay": Cause(
            "the optimiser decays the weights",
            "adam",
            "P16",
            "pytorch/pytorch#104857",
            "Adam without weight decay (not AdamW, whose default is 0.01 in torch)",
        ),
        "amsgrad": Cause("the optimiser is AMSGrad", "adam", "P16", "pytorch/pytorch#104857", "amsgrad=False"),
        "nadam": Cause("the optimiser is NAdam", "adam", "P16", "pytorch/pytorch#104857", "Adam without Nesterov"),
        "not-adam": Cause(
            "the optimiser is plain gradient descent", "adam", "P16", "pytorch/pytorch#104857", "Adam, Algorithm 1"
        ),
        "gradient-clipped": Cause(
            "the gradient is clipped",
            "adam",
            "P16",
            "pytorch/pytorch#104857",
            "hand the gradient to Adam as it is",
        ),
        "gradient-underflow": Cause(
            "small gradients are taken for zero",
            "adam",
            "P17",
            "arXiv:1710.03740",
            "keep gradients in float32: no threshold, no half precision without loss scaling",
        ),
        "gradients-accumulated": Cause(
            "gradients are not set to zero between steps",
            "adam",
            "P16",
            "pytorch/pytorch#104857",
            "torch: optimizer.zero_grad() before backward()",
        ),
        "moments-forgotten": Cause(
            "every call of train starts with fresh moments",
            "state",
            "P16",
            "pytorch/pytorch#104857",
            "make the optimiser once, with the model",
        ),
        "objective-after-update": Cause(
            "a step reports the objective after its update",
            "loss.reported",
            "P11",
            "google/flax#4087",
            "report the objective that the gradient was taken of",
        ),
        "order-ignored": Cause(
            "the order of images is ignored", "recipe", "P30", "google/flax#4087", "step k sees the rows order[k] of x"
        ),
        "not-trained": Cause(
            "the state is that before training",
            "state",
            "P16",
            "pytorch/pytorch#104857",
            "train in place, and return the present state",
        ),
        "step-count": Cause(
            "the count of steps is off", "state", "P16", "pytorch/pytorch#104857", "adam.step is the number of updates"
        ),
        "short-batch-dropped": Cause(
            "the short last batch is dropped",
            "recipe",
            "P11",
            "tensorflow/tensorflow#38596",
            "keep it (drop_last=False, drop_remainder=False)",
        ),
        "short-batch-padded": Cause(
            "the short last batch is filled up by repeating its images",
            "recipe",
            "P11",
            "tensorflow/tensorflow#38596",
            "train on the images that are there, or mask the repeated ones",
        ),
        "short-batch-reweighted": Cause(
            "the short last batch weighs like a full one",
            "loss.reported",
            "P11",
            "tensorflow/tensorflow#38596",
            "weigh by images: sum the losses and divide by their number",
        ),
        "coarse-products": Cause(
            "the arithmetic is coarser than float32",
            "precision",
            "P22",
            "jax-ml/jax#10413",
            "matrix products in IEEE float32 (JAX: jax_default_matmul_precision='highest'; TensorFlow: "
            "enable_tensor_float_32_execution(False); torch: set_float32_matmul_precision('highest'), no autocast)",
        ),
        "float64-off": Cause(
            "float32 arithmetic where float64 was asked for",
            "precision",
            "P25",
            "keras-team/keras#18648",
            "JAX: jax_enable_x64 before the first array; Keras: set_floatx('float64') before the layers are made",
        ),
    }
)


def table() -> str:
    """All causes as a Markdown table."""

    def lines() -> Iterator[str]:
        yield "| cause | what is wrong | clause | pitfall | met in | fix |"
        yield "|---|---|---|---|---|---|"
        for name, cause in CAUSES.items():
            cells = (f"`{name}`", cause.bug, f"`{cause.clause}`", cause.pitfall, _link(cause.report), cause.fix)
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join(lines()) + "\n"


def _link(report: str) -> str:
    if report.startswith("arXiv:"):
        return f"[{report}](https://arxiv.org/abs/{report.removeprefix('arXiv:')})"
    repository, number = report.split("#")
    return f"[{report}]({_GITHUB}/{repository}/issues/{number})"
