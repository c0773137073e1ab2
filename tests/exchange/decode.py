"""`python -c CODE WORD OUT NAME=WEIGHTS...`: what one port makes of every port's weights, in a process of its own."""

import sys

from vae_rosetta.implementations import ports
from vae_rosetta.shared import parameters, stream
from vae_rosetta.shared.stream import Purpose

word, out, *weights = sys.argv[1:]
backend = ports.backend(word)
decoded = {}
for name, path in (pair.split("=", 1) for pair in weights):
    model = backend.load(parameters.read_params(path))
    z = stream.normal(3, Purpose.LATENT, 0, (16, 20))
    decoded[name] = model.decode(z)  # (16, D) logits
parameters.save(out, decoded)
