"""`python -m applications`: the same as `vae`."""

from applications.cli import main

if __name__ == "__main__":
    main()
