"""What a person does with a port: train, generate, detect, compress, evaluate, report. The command is `vae`."""

import vae_rosetta

vae_rosetta.same_module(__name__)
