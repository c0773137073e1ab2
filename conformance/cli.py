"""`vae conformance` with the commands below it, and `vae audit`. Each imports its work when it runs."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any, Final

import click

from vae_rosetta.shared import spec
from vae_rosetta.shared.command_line import DONE, NO, WHOLE, Command, CommandWithOthers, import_from_current_folder

# What the command line calls the options of the plugin, which carry a prefix there.
_SHORT: Final = {
    "MODULE": "--vae-backend",
    "--command": "--vae-command",
    "--report": "--vae-report",
    "--deviations": "--vae-deviations",
    "--dtype": "--vae-dtype",
    "--device": "--vae-device",
    "--timeout": "--vae-timeout",
}

_FILE: Final = click.Path(path_type=Path)
_certificates = click.argument("certificates", nargs=-1, required=True, type=_FILE, metavar="CERTIFICATE.json...")
_device = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Run the port on this device.",
)


class _Grading(CommandWithOthers):
    """Hands what it does not know to pytest, whose short options are written together (-xk): so -h is told apart."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, ["--help" if argument == "-h" else argument for argument in args])


@click.command(
    cls=_Grading,
    no_args_is_help=True,
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
    others={
        "matrix": f"{__name__}:matrix",
        "headroom": f"{__name__}:headroom",
        "mixed": f"{__name__}:mixed",
        "audit": f"{__name__}:audit",
    },
    examples=(
        "vae conformance my_package.my_vae",
        "vae conformance my_package.my_vae --report conformance.json",
        "vae conformance my_package.my_vae --dtype float32 -k gradients -x",
        'vae conformance --command "java -jar my_port.jar"',
    ),
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="MODULE [PYTEST OPTIONS]...")
@click.option("--command", metavar="CMD", help="Grade the program that this command starts, instead of MODULE.")
@click.option(
    "--report", multiple=True, metavar="FILE", help="Write a certificate, a .json or .md file. May be given again."
)
@click.option("--deviations", metavar="FILE", help="Accept the deviations that this TOML file lists with reasons.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), help="Grade this precision only.  [default: both]")
@_device
@click.option(
    "--timeout", type=float, metavar="SECONDS", help="Stop CMD where one request takes longer than this.  [default: 60]"
)
def conformance(words: tuple[str, ...], report: tuple[str, ...], **given: Any) -> int:
    """Grade a port against the specification.

    MODULE is a Python module that can be imported from the current folder, or the word of a port of this project, such
    as torch. It has two functions, describe() and load(params, *, dtype, device); conformance/README.md describes them.
    A program in another language is graded with --command; conformance/PROTOCOL.md describes what it must answer.

    The last lines show the verdict and, where something fails, the known causes. All options of pytest work here, too:
    -k gradients runs the tests with that word in their names, and -x stops at the first failure.
    """
    module, options = _module(words, commanded=given["command"] is not None)
    if importlib.util.find_spec("pytest") is None:
        raise ModuleNotFoundError("vae conformance needs pytest; try: pip install 'vae-rosetta[conformance]'")
    import_from_current_folder()
    from vae_rosetta.conformance import grade

    named = {"MODULE": module, **{f"--{name}": value for name, value in given.items()}}
    chosen = [(_SHORT[name], str(value)) for name, value in named.items() if value is not None]
    chosen += [(_SHORT["--report"], path) for path in report]
    try:
        return grade.run([word for pair in chosen for word in pair] + options)
    except ValueError as error:
        message = str(error)
        for short, long in _SHORT.items():
            message = message.replace(long, short)
        raise ValueError(message) from error


def _module(words: tuple[str, ...], *, commanded: bool) -> tuple[str | None, list[str]]:
    """The module to grade, None beside a command, and what is left for pytest.

    Raises:
        ValueError: there is neither a module nor a command, or both.
    """
    from vae_rosetta.implementations import ports

    named = bool(words) and not words[0].startswith("-")
    commanded = commanded or any(word.split("=")[0] == "--vae-command" for word in words)
    if named == commanded:
        got = (
            f"the option {words[0]!r}" if words and not named else f"{words[0]!r} and --command" if named else "nothing"
        )
        expected = "one of them" if named else "the module's dotted name first, or --command"
        raise ValueError(f"MODULE: got {got}; expected {expected}")
    return (ports.module_of(words[0]) if named else None), list(words[named:])


@click.command(
    cls=Command,
    no_args_is_help=True,
    examples=("vae conformance matrix torch.json tensorflow.json jax.json",),
)
@_certificates
def matrix(certificates: tuple[Path, ...]) -> int:
    """Show how several ports did, clause by clause.

    A certificate is what vae conformance MODULE --report CERTIFICATE.json has written.
    """
    from vae_rosetta.conformance import certificate, matrix
    from vae_rosetta.conformance.outcome import Verdict

    found = [certificate.read(path) for path in certificates]
    click.echo("\n".join(matrix.lines(found)))
    return NO if any(one["verdict"] == Verdict.FAILS for one in found) else DONE


@click.command(
    cls=Command,
    no_args_is_help=True,
    examples=("vae conformance headroom torch.json tensorflow.json jax.json",),
)
@_certificates
@click.option("--all", "every", is_flag=True, help="Show every kind of quantity of every vector by itself.")
def headroom(certificates: tuple[Path, ...], every: bool) -> int:
    """Judge the tolerances by how much of them the ports use.

    A certificate is what vae conformance MODULE --report CERTIFICATE.json has written, with this version's vectors.

    A tolerance is too tight if a port that conforms uses more than half of it. It is too loose if it is a hundred times
    wider than what legitimate arithmetic needs, which takes a minute to find out. The answer is no if there is either.
    """
    from vae_rosetta.conformance import headroom
    from vae_rosetta.shared import vectors

    graded = headroom.read(certificates)
    with click.progressbar(
        list(vectors.load().values()),
        label="legitimate arithmetic",
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    ) as chosen:
        needed = headroom.needs(chosen)
    elements = headroom.families()
    wrong = headroom.faults(graded, elements, needed)
    table = headroom.table(graded, elements, needed, every=every)
    click.echo("\n".join([*table, "", *wrong, *headroom.verdict(elements, needed, wrong)]))
    return NO if wrong else DONE


@click.command(
    cls=Command,
    no_args_is_help=True,
    examples=("vae conformance mixed torch", "vae conformance mixed my_package.my_vae --device cuda"),
)
@click.argument("module")
@_device
def mixed(module: str, device: str) -> int:
    """Grade the optional mixed precision of a port, in about a minute.

    MODULE is named as for vae conformance. It is loaded with dtype "mixed_bfloat16": its layers take and return
    bfloat16, and everything else is float32. Each answer may be off by five times the error that a model of this
    rounding predicts.
    """
    import_from_current_folder()
    from vae_rosetta.conformance import mixed
    from vae_rosetta.implementations import ports

    name = ports.module_of(module)
    failed, total = [], 0
    for answer in mixed.grade(mixed.offering(name, device=device), device=device):
        total += 1
        failed += [answer.vector] if answer.problem else []
        found = f"FAILS: {answer.problem}" if answer.problem else f"{answer.used:.3f} of what is allowed"
        click.echo(f"{answer.vector:<34} {found}")
    if failed:
        click.echo(
            f"{name} in mixed precision: does not conform: {len(failed)} of {total} vectors fail, {failed[0]} first",
            err=True,
        )
        return NO
    click.echo(f"mixed precision of {name}: conforms")
    return DONE


class _Shape(click.ParamType[tuple[int, ...]]):
    name = "shape"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        sizes = str(value).lower().split("x")
        if not all(size.isdecimal() and int(size) > 0 for size in sizes):
            self.fail(f"got {value!r}; expected a size such as 784, or 28x28x1.", param, ctx)
        return tuple(map(int, sizes))


@click.command(
    cls=Command,
    no_args_is_help=True,
    examples=(
        "vae audit my_package.losses:vae_loss",
        "vae audit my_package.losses:vae_loss --arguments x,recon,mu,logvar",
        "vae audit my_package.losses:vae_loss --input-dim 28x28x1 --latent-dim 2",
    ),
)
@click.argument("loss", metavar="MODULE:FUNCTION")
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Write the findings to this file, too.")
@click.option(
    "--input-dim",
    type=_Shape(),
    default=str(spec.INPUT_DIM),
    show_default=True,
    metavar="D",
    help="Give each image D pixels, or a shape such as 28x28x1.",
)
@click.option(
    "--latent-dim",
    type=WHOLE,
    default=spec.LATENT_DIM,
    show_default=True,
    metavar="L",
    help="Give each image L latents.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=2),
    default=4,
    show_default=True,
    metavar="B",
    help="Give the loss B images. Set this for a loss that has their number built in.",
)
@click.option(
    "--tensors",
    type=click.Choice(["numpy", "torch", "tensorflow", "jax", "auto"]),
    default="auto",
    show_default=True,
    help="Give the loss tensors of this kind; auto tries them.",
)
@click.option(
    "--arguments",
    metavar="ORDER",
    help="Name the loss's arguments: recon, x, mu and logvar in its order, as x,recon,mu,logvar, or by keyword, as "
    "y_pred=recon,y_true=x,m=mu,s=logvar.  [default: try]",
)
@click.option(
    "--declare",
    type=click.Choice(["probs-clamp100", "probs-clip1e-7"]),
    help="Accept that a loss on probabilities clamps each log at -100, or clips probabilities to 1e-7.",
)
def audit(loss: str, json_file: Path | None, arguments: str | None, **options: Any) -> int:
    """Examine what a loss function computes, from the outside.

    FUNCTION takes a reconstruction, its target, mu and logvar, in any order; MODULE can be imported from the current
    folder. The findings are the effective beta, the reductions over batch, pixels and latents, the likelihood, what the
    second latent argument means, and where the loss saturates or has a wrong gradient.

    The answer is yes if it is the specification's loss, with any reduction over the batch.
    """
    import_from_current_folder()
    from vae_rosetta.conformance import audit
    from vae_rosetta.conformance.audit import named, table
    from vae_rosetta.shared import files

    try:
        found = audit.examine(
            named.loss(loss),
            name=loss,
            input_shape=options["input_dim"],
            latent_dim=options["latent_dim"],
            batch=options["batch"],
            framework=options["tensors"],
            arguments=arguments.split(",") if arguments else None,
            declared=options["declare"],
        )
    except audit.AuditError as error:
        raise ValueError(f"{loss}: {error}") from error
    if json_file is not None:
        files.write_text(json_file, json.dumps(found.to_json(), indent=2, allow_nan=False) + "\n")
    click.echo(table.text(found), nl=False)
    return DONE if found.conforms else NO
