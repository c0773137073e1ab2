"""The same VAE in several frameworks and languages: a folder for each port. Importing this package imports none.

`ports.py` has one row for each port. From a checkout: `from implementations import torch_vae`.
"""

import vae_rosetta

vae_rosetta.same_module(__name__)
