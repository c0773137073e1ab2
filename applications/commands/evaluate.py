"""`vae evaluate` and what it measures."""

import click

from applications.commands.evaluate_compression import compression


@click.group()
def evaluate() -> None:
    """Measure how good a model is."""


evaluate.add_command(compression)
