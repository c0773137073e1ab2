"""`vae report`."""

from pathlib import Path
from typing import Any

import click

from vae_rosetta.applications.commands import options
from vae_rosetta.implementations.ports import PORTS


@click.command()
@click.argument("runs", type=options.PATH, nargs=-1, required=True, metavar="RUN...")
@click.option("--out", type=options.PATH, default="report.html", show_default=True, help="An .html file.")
@click.option("--title", show_default="the data and the runs")
@click.option("--anomaly", type=options.PATH, metavar="FILE", help="Results of vae evaluate anomaly.")
@click.option(
    "--conformance",
    type=options.PATH,
    multiple=True,
    metavar="CERT.json",
    help="A certificate of python -m conformance --report; may be given several times.",
)
@click.option("--benchmark", type=options.PATH, metavar="RESULTS.json", help="Results of python -m benchmarks.")
@click.option(
    "--backend",
    type=click.Choice(list(PORTS)),
    default="oracle",
    show_default=True,
    help="What decodes the weights of all runs; oracle is NumPy.",
)
@options.data_dir
@options.device
@options.force
def report(*, anomaly: Path | None, conformance: tuple[Path, ...], **settings: Any) -> None:
    """Write one page that shows what runs came to.

    RUN... are folders that vae train has written. The page needs no network and no JavaScript: learning curves over
    one another, the same noise decoded by each, reconstructions, traversals, a map of the latents, and what lies in
    the runs' folders as likelihood.json, samples.json and compression.json.
    """
    from vae_rosetta.applications.report import command

    command.report(anomaly_file=anomaly, certificates=conformance, **settings)
