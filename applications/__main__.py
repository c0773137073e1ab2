"""`python -m vae_rosetta.applications`: the same as `vae`."""

from vae_rosetta.applications.cli import main

if __name__ == "__main__":
    main()
