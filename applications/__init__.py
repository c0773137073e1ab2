"""What a person does with a backend: train, generate, compare. The command is `vae`, or `python -m applications`."""

import vae_rosetta

vae_rosetta.same_module(__name__)
