"""The classic VAE in Scala, on Spark: a program, as a backend. Importing this builds it, if need be, and starts it."""

from vae_rosetta.implementations import programs
from vae_rosetta.implementations.ports import PORTS
from vae_rosetta.shared import process

_program = process.backend(programs.command(PORTS["scala"]), timeout=None)
describe, load = _program.describe, _program.load
