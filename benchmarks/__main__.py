"""`python -m vae_rosetta.benchmarks`: the same as `vae bench`."""

from vae_rosetta.benchmarks.cli import bench

if __name__ == "__main__":
    bench()
