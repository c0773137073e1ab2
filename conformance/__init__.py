"""The conformance suite: whether a module computes the VAE that the specification describes, and where it does not.

vae conformance my_package.my_vae
"""

import vae_rosetta

vae_rosetta.same_module(__name__)
