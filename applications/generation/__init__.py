"""Images that a model makes: what `vae generate` draws, and how good its samples are.

`decoding` turns draws of the prior into images, `points` chooses other points of the latent space, `kinds` makes each
kind of picture of them, and `command` is the command around all. `comparison` measures samples, by `quality`, in the
features of a `judge`, beside `anchors`; `evaluation` is the command around that.
"""

from vae_rosetta.applications.generation.decoding import latents, probabilities

__all__ = ["latents", "probabilities"]
