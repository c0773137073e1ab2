"""`vae evaluate` and what it measures."""

import click

from applications.commands.evaluate_anomaly import anomaly


@click.group()
def evaluate() -> None:
    """Measure how good a model is."""


evaluate.add_command(anomaly)
