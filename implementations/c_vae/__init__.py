"""The classic VAE in C: a program that answers requests, as a backend. Importing this starts it; `make` builds it."""

from vae_rosetta.implementations.ports import PORTS
from vae_rosetta.shared import process

_program = process.backend(PORTS["c"].command(), timeout=None)
describe, load = _program.describe, _program.load
