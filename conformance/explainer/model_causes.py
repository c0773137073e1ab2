"""Causes in the forward pass, in layout and in precision: see `causes`."""

from collections.abc import Mapping
from typing import Final

from vae_rosetta.conformance.explainer.cause import Cause

MODEL: Final[Mapping[str, Cause]] = {
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
        "",
        "z = mu + exp(logvar / 2) * noise",
    ),
    "noise-subtracted": Cause(
        "the noise is subtracted",
        "arch.reparameterize",
        "",
        "",
        "add std * noise to mu",
    ),
    "noise-ignored": Cause(
        "the noise that is given is not used: z is mu",
        "arch.reparameterize",
        "P27",
        "",
        "z = mu + exp(logvar / 2) * noise, in training and in evaluation",
    ),
    "noise-shared-by-rows": Cause(
        "every row of a batch gets the first row's noise",
        "arch.reparameterize",
        "P28",
        "pytorch/pytorch#80202",
        "use row i of the noise for row i of the batch",
    ),
    "noise-misplaced": Cause(
        "the noise of one row or latent is used for another",
        "arch.reparameterize",
        "P28",
        "",
        "use row i of the noise for row i of the batch, column j for latent j",
    ),
    "std-slope": Cause(
        "the gradient of exp(logvar / 2) lacks its factor 1/2",
        "arch.reparameterize",
        "P05",
        "",
        "d std / d logvar = std / 2",
    ),
    "pixels-changed": Cause(
        "the pixels are not used as they are given",
        "input",
        "P30",
        "pytorch/examples#460",
        "take x in [0, 1] as it is: no rounding, scaling or standardising inside the model",
    ),
    "heads-swapped": Cause(
        "the heads of mu and logvar are swapped",
        "names",
        "P18",
        "",
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
        "the biases are not added",
        "arch.encoder",
        "",
        "",
        "load all ten tensors",
    ),
    "activation": Cause(
        "the hidden layers use another activation than relu",
        "arch.encoder",
        "",
        "",
        "h = relu(x W1^T + b1), and the same in the decoder",
    ),
    "sigmoid-returned": Cause(
        "probabilities are returned where logits are asked for",
        "arch.decoder",
        "P01",
        "pytorch/pytorch#103316",
        "return the last layer's output without the sigmoid",
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
        "",
        "return every tensor under its own name",
    ),
    "wrong-shape": Cause(
        "the tensor has another layout",
        "names",
        "P18",
        "",
        "weights are (out, in), biases (out,), losses (B,)",
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
        "JAX: jax_enable_x64 before the first array; Keras: set_floatx('float64') before the layers are made, and no "
        "keras.ops.mean or loss that takes one, which is float32 whatever it is given",
    ),
}
