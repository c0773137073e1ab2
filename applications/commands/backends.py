"""`vae backends`."""

import click


@click.command()
def backends() -> None:
    """List the backends and how to install them."""
    from vae_rosetta.applications import versions

    versions.print_backends()
