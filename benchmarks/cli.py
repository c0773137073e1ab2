"""The command line. `--help` is the protocol in words.

Exit codes: 0 every backend was measured, 1 one was refused or something failed, 2 bad input, 130 stopped by Ctrl-C.
"""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

try:
    import click
except ModuleNotFoundError as error:
    raise SystemExit("Error: the benchmark needs click and rich; try: pip install 'vae-rosetta[app]'") from error

from vae_rosetta.implementations.ports import FRAMEWORKS

_TARGET: Final = 106.0  # nats: public logs of the 784-400-20 example reach it at epoch 10


class _BadInput(click.ClickException):
    exit_code = 2


class _OneLineErrors(click.Command):
    """Ends on an error with one line that says what is wrong."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            click.echo(f"{interrupt or 'Interrupted.'} Nothing was written.", err=True)
            ctx.exit(130)
        except BrokenPipeError:
            raise  # click ends quietly: the reader had enough
        except (ValueError, TypeError, FileNotFoundError, FileExistsError, ModuleNotFoundError) as error:
            raise _BadInput(_line(error)) from error
        except OSError as error:
            raise click.ClickException(_line(error)) from error


@click.command(cls=_OneLineErrors)
@click.argument("modules", nargs=-1, metavar="[MODULE]...")
@click.option("--quick", is_flag=True, help="Batch 128, 12,800 images, 7 repetitions: under three minutes for three.")
@click.option(
    "--repetitions", type=click.IntRange(min=1), help="Turns of each at each measure.  [default: 9; quick: 7]"
)
@click.option(
    "--batch-size",
    "batches",
    type=click.IntRange(min=1),
    multiple=True,
    help="Images a step; may be given again.  [default: 128, 512, 2048; quick: 128]",
)
@click.option("--images", type=click.IntRange(min=1), help="Images an epoch.  [default: 60,000; quick: 12,800]")
@click.option(
    "--data",
    help="As for vae train.  [default: mnist if $VAE_DATA holds it and the run is not quick, else mnist-5k]",
)
@click.option(
    "--peers/--no-peers", default=None, help="Also what else people use.  [default: those installed; quick: none]"
)
@click.option("--peer", "chosen_peers", multiple=True, metavar="NAME", help="This peer alone; may be given again.")
@click.option(
    "--target", type=float, help="Test loss in nats to train to.  [default: 106 if the data is mnist and not quick]"
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "bf16"]),
    default="float32",
    show_default=True,
    help="bf16: layers compute in bfloat16, for backends that offer it and CPUs that have it.",
)
@click.option("--profile", is_flag=True, help="Show where the time of training goes, instead of measuring it.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A .json file for all that was measured.")
@click.option("--force", is_flag=True, help="Replace --out if it exists.")
def benchmark(
    modules: tuple[str, ...],
    quick: bool,
    repetitions: int | None,
    batches: tuple[int, ...],
    images: int | None,
    data: str | None,
    peers: bool | None,
    chosen_peers: tuple[str, ...],
    target: float | None,
    precision: str,
    profile: bool,
    out: Path | None,
    force: bool,
) -> None:
    """Measure how fast backends train and generate, all in one run.

    MODULE is the dotted name of a backend, of ours or your own: see shared/contract.py. Without any, ours are
    measured, as many as are installed.

    \b
    The protocol
    ------------
    Gate. A backend that fails the chapters forward, loss, gradients or training
    of `python -m conformance MODULE --vae-dtype float32` is refused; and so is
    one whose first timed steps have not the oracle's objectives.
    Peers. What else people train this model with, at its sizes: the loop of the
    usual PyTorch listing, with its data set of pictures and with one tensor,
    pythae, and Keras' model.fit on each of its backends. They are not graded;
    what each computes differently is told.
    Processes. Each participant has one of its own, which lives as long as the run.
    Order. The participants take turns, A B C A B C, so that a busy moment of
    the machine hits all alike; fit and train of a backend come one right after
    the other, in either order by turns. Medians and quartiles of the turns are
    shown; --out keeps every single one, in the order in which they were taken.
    Cores. The host of a virtual machine moves its cores: now two share a cache,
    now they do not, and threads that share data wait for it four times as long;
    seconds or minutes at a time, whatever a backend does. So a run times the way
    of some bytes to another core and back, before and after each turn (of fit,
    train, inference and the roofline), brings the cores together before it, and
    takes it again if they parted meanwhile, up to three times. Turns with cores
    apart are marked.
    fit: an epoch of shared.recipe.fit, as a user calls it: order and noise from
    the portable stream, the way to the device and back, training. The first
    epoch, which compiles, is reported separately and left out.
    train: the calls to `train` of an epoch, with order and noise made before.
    encode, decode, generate: calls of 1,000 images, for a quarter of a second.
    Roofline. NumPy and the frameworks make the matrix products of a training
    step, and nothing else, with the same shapes, in the same rounds. Training is
    also shown as a share of the best library's fastest in the same round.
    --profile: the framework's own profiler tells the time of every operation in
    the calls to train of an epoch, over all threads together.
    Import. Fresh processes import the module, or only the packages that its own
    import statements name, five times each (quick: once).
    Target. A process of its own loads the images and trains at batch 128, until
    the test loss after an epoch is no more than --target; three times.
    Memory. The most that the backend's process ever had resident, in which the
    images, 4 bytes a pixel, are included.
    Data. Images are repeated up to the number wanted: the work for an image does
    not depend on what it shows.
    Precision. All arithmetic is float32. With --precision bf16, what goes into
    the layers' products and comes out is bfloat16 in backends loaded with dtype
    "mixed_bfloat16", which `python -m conformance mixed MODULE` grades besides;
    the roofline stays float32, and peers are left out.
    """
    chosen = _modules(modules)
    if out is not None:
        _check_free(out, force=force)
    _check_rich()

    import dataclasses
    import json

    from vae_rosetta.benchmarks import data as images_of
    from vae_rosetta.benchmarks import machine, plan, results, run, table
    from vae_rosetta.benchmarks import peers as known_peers
    from vae_rosetta.benchmarks.progress import Progress
    from vae_rosetta.shared import checks, files

    if chosen_peers and (profile or peers is False):
        raise ValueError(
            f"--peer: got {chosen_peers[0]!r} with {'--profile' if profile else '--no-peers'}; expected one"
        )
    if (mixed := precision == "bf16") and (chosen_peers or peers):
        raise ValueError(f"--precision: got {precision} and peers, who compute in float32; expected one of the two")
    if mixed and machine.lacks_bfloat16():
        click.echo("--precision: this CPU has no instructions for bfloat16, so that it is emulated", err=True)
    names = known_peers.choose(chosen_peers, everyone=not (quick or mixed) if peers is None else peers)
    dataset = images_of.choose(data, quick=quick)
    usual = plan.QUICK if quick else plan.FULL
    wanted = dataclasses.replace(
        usual,
        batches=tuple(dict.fromkeys(batches)) or usual.batches,
        images=images or usual.images,
        repetitions=repetitions or usual.repetitions,
        dtype=checks.MIXED if mixed else precision,
        target=_TARGET if target is None and dataset.name == "mnist" and not quick else target,
    )
    if profile:
        from rich.console import Console

        from vae_rosetta.benchmarks import profiles

        if failed := profiles.show(chosen, wanted, dataset, Console(highlight=False)):
            raise click.ClickException("; ".join(failed))
        return
    with Progress() as progress:
        measured = run.measure(chosen, wanted, dataset, progress, peer_names=names)
    if measured.entries:
        report = results.report(measured)
        table.show(report, str(measured.images), progress.results)
        if out is not None:
            files.write_text(out, json.dumps(report, indent=1) + "\n")
            click.echo(f"\n{out}: every reading")
    if measured.refused:
        raise click.ClickException(f"not measured: {', '.join(measured.refused)}")


def _modules(given: tuple[str, ...]) -> list[str]:
    """The modules to measure.

    Raises:
        ValueError: not a module's name, or the same twice.
        ModuleNotFoundError: none given and none installed.
    """
    for name in given:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"MODULE: got {name!r}; expected a dotted name, as in an import statement")
        if given.count(name) > 1:
            raise ValueError(f"MODULE: got {name!r} {given.count(name)} times; expected each once")
    installed = [port.module for port in FRAMEWORKS if not port.lacks()]
    if not given and not installed:
        ours = ", ".join(port.module for port in FRAMEWORKS)
        raise ModuleNotFoundError(
            f"MODULE: none given, and none of {ours} can run; try: pip install 'vae-rosetta[all]'"
        )
    return list(given or installed)


def _check_free(out: Path, *, force: bool, endings: Sequence[str] = (".json",), option: str = "--out") -> None:
    """Found out now, not when the work is done.

    Raises:
        ValueError, FileNotFoundError, FileExistsError: nothing can be written to `out`.
    """
    if out.suffix not in endings:
        raise ValueError(f"{option}: got {str(out)!r}; expected a name that ends in {' or '.join(endings)}")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"{option}: got {str(out)!r}; there is no folder {str(out.parent)!r}")
    if out.exists() and not force:
        raise FileExistsError(f"{option}: {str(out)!r} exists; --force replaces it")


def _check_rich() -> None:
    if importlib.util.find_spec("rich") is None:
        raise ModuleNotFoundError("the benchmark needs rich; try: pip install 'vae-rosetta[app]'")


def _line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    first, *more = str(error).strip().splitlines() or [type(error).__name__]
    return f"{first} [...]" if more else first


@click.command(cls=_OneLineErrors)
@click.argument("a", type=click.Path(path_type=Path), metavar="A.json")
@click.argument("b", type=click.Path(path_type=Path), metavar="[B.json]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, for programs.")
def compare(a: Path, b: Path | None, as_json: bool) -> None:
    """Compare two runs: the ratio of every figure that both measured, B to A.

    Without B.json, the backends of A.json are compared with the first of them.
    The rates of each round are divided by one another there, which shows smaller
    differences: put two candidates into one run, as two modules, if you can.

    A ratio comes with the interval that 95 of 100 resamplings of the readings
    stay in. It is "no difference" unless the whole interval lies more than 10 %
    from 1, or 5 % where both were in one run: the same code differs by as much.
    Ratios of two runs are without the drift of the machine, as the matrix
    products of the same rounds show it.

    What it sees depends on the machine. On a virtual one of two cores, twelve
    quick runs of the same two backends, hours apart in part, were "no difference"
    653 times of 660 when each was compared with each other. A backend slower by a
    fifth was found in 59 of 60 comparisons within a run, and in 448 of 660
    between two.
    """
    from vae_rosetta.benchmarks import comparison

    reports = [comparison.read(path) for path in (a, b) if path is not None]
    ratios = comparison.compare(*reports) if len(reports) == 2 else comparison.within(*reports)
    if as_json:
        import json

        for ratio in ratios:
            click.echo(json.dumps({**ratio._asdict(), "verdict": ratio.verdict}))
        return
    _check_rich()
    from rich.console import Console

    from vae_rosetta.benchmarks import table

    if b is None:
        drift, title = None, f"{a.name}: compared with {reports[0]['backends'][0]['module']}, round by round"
    else:
        drift, dtypes = comparison.drift(*reports), [report["protocol"]["dtype"] for report in reports]
        names = [path.name if len(set(dtypes)) == 1 else f"{path.name} ({t})" for path, t in zip((a, b), dtypes)]
        title = f"{names[1]} compared with {names[0]}"
    table.show_comparison(ratios, title, drift, Console(highlight=False))


@click.command(cls=_OneLineErrors)
@click.argument("results", type=click.Path(path_type=Path), metavar="RESULTS.json")
@click.option("--markdown", is_flag=True, help="Print a Markdown table.")
@click.option("--chart", type=click.Path(path_type=Path), metavar="FILE", help="Draw a chart, a .png or .svg.")
@click.option("--force", is_flag=True, help="Replace --chart if it exists.")
def show(results: Path, markdown: bool, chart: Path | None, force: bool) -> None:
    """Show a result file once more: as the tables of its run, in Markdown, or as a chart."""
    from vae_rosetta.benchmarks import comparison

    if chart is not None:
        _check_free(chart, force=force, endings=(".png", ".svg"), option="--chart")
    report = comparison.read(results)
    if markdown:
        from vae_rosetta.benchmarks import markdown as in_markdown

        click.echo(in_markdown.text(report), nl=False)
    elif chart is None:
        _check_rich()
        from rich.console import Console

        from vae_rosetta.benchmarks import table

        data = report["data"]
        table.show(report, f"{data['source']}, {data['images']:,} images", Console(highlight=False))
    if chart is not None:
        from vae_rosetta.benchmarks import chart as drawing

        drawing.save(report, chart)
        click.echo(f"{chart}: training speed", err=markdown)


SUBCOMMANDS: Final = {"compare": compare, "show": show}


def main() -> None:
    """The entry point: a subcommand by its name, else modules to measure."""
    arguments = sys.argv[1:]
    if arguments and (command := SUBCOMMANDS.get(arguments[0])) is not None:
        command(arguments[1:], prog_name=f"python -m benchmarks {arguments[0]}")
    benchmark(prog_name="python -m benchmarks")
