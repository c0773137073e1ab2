"""The `vae` command: all commands of this project under one name."""

import os
from typing import Final

import click

from vae_rosetta.shared import command_line, spec

# Each is imported when it is called, or shown in the list of commands; none of these modules imports NumPy.
_COMMANDS: Final = {
    "train": "vae_rosetta.applications.commands.train:train",
    "generate": "vae_rosetta.applications.commands.generate:generate",
    "evaluate": "vae_rosetta.applications.commands.evaluate:evaluate",
    "score": "vae_rosetta.applications.commands.score:score",
    "compress": "vae_rosetta.applications.commands.compress:compress",
    "decompress": "vae_rosetta.applications.commands.decompress:decompress",
    "report": "vae_rosetta.applications.commands.report:report",
    "backends": "vae_rosetta.applications.commands.backends:backends",
    "conformance": "vae_rosetta.conformance.cli:conformance",
    "audit": "vae_rosetta.conformance.cli:audit",
    "bench": "vae_rosetta.benchmarks.cli:bench",
}


class _Vae(command_line.Group):
    """Shows the exit codes, which are the same for every command."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        command_line.exit_codes(formatter)


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from vae_rosetta.shared.version import project_version

        click.echo(f"vae-rosetta {project_version()}, specification {spec.VERSION}")
        context.exit()


@click.group(
    cls=_Vae,
    lazy=_COMMANDS,
    examples=(
        "vae train --data mnist-5k --epochs 10 --out runs/first",
        "vae generate --weights runs/first --out samples.png",
        "vae conformance my_package.my_vae",
    ),
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Show the version."
)
def vae() -> None:
    """Train, use and check a variational autoencoder.

    It is the same model in PyTorch, TensorFlow and JAX: the same seed gives the same result in each.
    """
    # TensorFlow logs its start and its compilations; what goes wrong there reaches Python as an exception.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    """The entry point."""
    vae(prog_name="vae")
