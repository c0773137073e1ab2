"""`vae report`."""

from pathlib import Path
from typing import Any

import click

from vae_rosetta.applications.commands import options
from vae_rosetta.implementations.ports import PORTS
from vae_rosetta.shared.command_line import Command


@click.command(
    cls=Command,
    no_args_is_help=True,
    examples=(
        "vae report runs/first",
        "vae report runs/torch runs/jax --out report.html --benchmark results.json",
    ),
)
@click.argument("runs", type=options.PATH, nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--out", type=options.PATH, default="report.html", show_default=True, help="Write the page to this .html file."
)
@click.option("--title", show_default="the data and the runs", help="Give the page this title.")
@click.option("--anomaly", type=options.PATH, metavar="FILE", help="Show these results of vae evaluate anomaly.")
@click.option(
    "--conformance",
    type=options.PATH,
    multiple=True,
    metavar="CERT.json",
    help="Show this certificate of vae conformance --report. May be given again.",
)
@click.option("--benchmark", type=options.PATH, metavar="RESULTS.json", help="Show these results of vae bench --out.")
@click.option(
    "--backend",
    type=click.Choice(list(PORTS)),
    default="oracle",
    show_default=True,
    help="Decode the weights of all runs with this port; oracle is NumPy.",
)
@options.data_dir
@options.device
@options.force
def report(*, anomaly: Path | None, conformance: tuple[Path, ...], **settings: Any) -> None:
    """Write one page about one or more runs.

    RUN... are folders that vae train has written. The page needs no network and no JavaScript. It shows the learning
    curves, the same noise decoded by each run, reconstructions, traversals, a map of the latents, and the results in
    the runs' folders: likelihood.json, samples.json and compression.json.
    """
    from vae_rosetta.applications.report import command

    command.report(anomaly_file=anomaly, certificates=conformance, **settings)
