"""The project's middle: specification, portable random stream, float64 oracle, contract, golden vectors, data sets.

Imports NumPy, safetensors and click only (data sets load their readers when asked), and nothing from the packages above
it.
"""

import vae_rosetta

vae_rosetta.same_module(__name__)
