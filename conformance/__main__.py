"""`python -m vae_rosetta.conformance`: the same as `vae conformance`."""

from vae_rosetta.conformance.cli import conformance

if __name__ == "__main__":
    conformance()
