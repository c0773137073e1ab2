"""`vae backends`."""

import click

from vae_rosetta.shared.command_line import Command


@click.command(cls=Command)
def backends() -> None:
    """List the ports, whether they are installed, and how to install them."""
    from vae_rosetta.applications import versions

    versions.print_backends()
