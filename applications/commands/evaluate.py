"""`vae evaluate`, and the group that its subcommands are in."""

from typing import Any

import click
from click.core import ParameterSource

from vae_rosetta.applications.commands import options
from vae_rosetta.applications.commands.evaluate_anomaly import anomaly
from vae_rosetta.applications.commands.evaluate_compression import compression
from vae_rosetta.applications.commands.evaluate_samples import samples


@click.group(invoke_without_command=True)
@click.option("--weights", type=options.PATH, help="A run's folder or a .safetensors file.  [required]")
@click.option("--data", show_default="the run's own", help="As for vae train; its held-out images are evaluated.")
@options.data_dir
@click.option(
    "--binarise",
    type=click.Choice(["none", "drawn", "rounded"]),
    show_default="as the run was trained",
    help="What is done to grey pixels; drawn: each is 1 with the probability that its grey value is.",
)
@click.option("--draw-seed", type=options.SEED, default=0, show_default=True, help="Of --binarise drawn.")
@click.option("--samples", type=options.WHOLE, default=10, show_default=True, help="Of z per image, for the ELBO.")
@click.option(
    "--importance",
    type=options.WHOLE,
    metavar="K",
    help="Also estimate the likelihood, from K importance-weighted samples of z per image (1000: about two minutes "
    "for MNIST). Black and white pixels only.",
)
@click.option("--images", type=options.WHOLE, show_default="all", help="Only the first so many held-out images.")
@click.option("--seed", type=options.SEED, default=0, show_default=True, help="Of z, the same for every backend.")
@options.backend
@options.device
@click.option("--out", type=options.PATH, show_default="likelihood.json in the run's folder", help="A .json file.")
@options.force
@click.pass_context
def evaluate(context: click.Context, /, backend: str | None, **settings: Any) -> None:
    """Negative ELBO, likelihood and the use of latents on images that were held out.

    Prints a table and writes a JSON file.
    """
    if context.invoked_subcommand is not None:
        given = [name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
        if given:
            option = f"--{given[0].replace('_', '-')}"
            raise click.UsageError(
                f"{option} belongs to vae evaluate itself; give it after {context.invoked_subcommand}."
            )
        return
    if settings["weights"] is None:
        raise click.UsageError("Missing option '--weights'.")
    from vae_rosetta.applications.evaluation import command

    weights = settings.pop("weights")
    command.evaluate(weights_path=weights, backend=backend or options.default_backend(), **settings)


evaluate.add_command(samples)
evaluate.add_command(anomaly)
evaluate.add_command(compression)
