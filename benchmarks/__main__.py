"""`python -m benchmarks [MODULE]...`: see `--help`, which is the protocol."""

from vae_rosetta.benchmarks.cli import main

if __name__ == "__main__":
    main()
