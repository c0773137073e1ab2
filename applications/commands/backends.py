"""`vae backends`."""

import click


@click.command()
def backends() -> None:
    """List the backends and how to install them."""
    from applications import versions

    versions.print_backends()
