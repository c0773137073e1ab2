"""The `vae` command: its subcommands, and errors as one line each.

Exit codes: 0 done, 2 bad input, 1 any other failure, 130 stopped by Ctrl-C.
"""

import os

try:
    import click
except ModuleNotFoundError as error:  # NumPy and safetensors are all that this project must have
    raise SystemExit("Error: the vae command needs click; try: pip install 'vae-rosetta[app]'") from error

from vae_rosetta.applications.commands.backends import backends
from vae_rosetta.applications.commands.compress import compress
from vae_rosetta.applications.commands.decompress import decompress
from vae_rosetta.applications.commands.evaluate import evaluate
from vae_rosetta.applications.commands.generate import generate
from vae_rosetta.applications.commands.report import report
from vae_rosetta.applications.commands.score import score
from vae_rosetta.applications.commands.train import train
from vae_rosetta.applications.errors import OneLineErrors
from vae_rosetta.shared import spec


class Group(OneLineErrors, click.Group):
    """Commands whose errors are one line each."""


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from vae_rosetta.applications.versions import project_version

        click.echo(f"vae-rosetta {project_version()}, specification {spec.VERSION}")
        context.exit()


@click.group(cls=Group)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Show the version."
)
@click.option("--traceback", is_flag=True, help="On an error show where it arose, not one line.")
def vae(traceback: bool) -> None:
    """One variational autoencoder in PyTorch, TensorFlow and JAX: the same seed gives the same model in each."""
    # TensorFlow logs its start and its compilations; what goes wrong there reaches Python as an exception.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


for _command in (train, generate, evaluate, score, compress, decompress, report, backends):
    vae.add_command(_command)


def main() -> None:
    """The entry point."""
    vae(prog_name="vae")
