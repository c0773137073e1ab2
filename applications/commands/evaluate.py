"""`vae evaluate` and what it measures."""

import click

from applications.commands.evaluate_compression import compression
from applications.commands.evaluate_samples import samples


@click.group()
def evaluate() -> None:
    """Measure how good a model is."""


evaluate.add_command(samples)
evaluate.add_command(compression)
