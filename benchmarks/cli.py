"""`vae bench` with the commands below it; `vae bench --help` describes the protocol."""

import importlib.machinery
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from vae_rosetta.shared.command_line import WHOLE, Command, CommandWithOthers

_TARGET: Final = 106.0  # nats: public logs of the 784-400-20 example reach it at epoch 10
_FILE: Final = click.Path(path_type=Path)

_PROTOCOL: Final = """\
The protocol:

Gate. A port that fails the chapters forward, loss, gradients or training of vae conformance in float32 is refused.
So is one whose first timed steps do not have the oracle's objectives.

Peers. They are what else people train this model with, at its sizes: the loop of the usual PyTorch listing, with its
data set of pictures and with one tensor; pythae; and Keras' model.fit on each of its backends. They are not graded.
The table names what each computes differently.

Processes. Each participant has one process, which lives as long as the run.

Order. The participants take turns, A B C A B C, so that a busy moment of the machine slows all of them down. The fit
and train of a port follow each other, in either order by turns. The table shows medians and quartiles of the turns;
--out keeps every turn.

Cores. The host of a virtual machine moves its cores. Where two of them share no cache, threads that share data wait
for it four times as long, for seconds or minutes. So a run times how long some bytes take to another core and back,
before and after each turn of fit, train, inference and the limits. It brings the cores together before a turn and
repeats a turn up to three times if they parted meanwhile. Turns with cores apart are marked.

fit. This is an epoch of vae_rosetta.shared.recipe.fit, as a user calls it: order and noise from the portable stream,
the way to the device and back, training. The first epoch, which compiles, is shown separately.

train. These are the calls to train of an epoch, with order and noise made before.

encode, decode, generate. Each is called with 1,000 images, for a quarter of a second.

Limits. NumPy and the frameworks make the matrix products of a training step and nothing else, with the same shapes
and in the same rounds. They also read and write as many bytes as Adam does in a step, with next to no arithmetic: it
reads parameters, gradient and two moments, and writes all but the gradient. The first limit is the time of the
products, by the fastest library. The second is the time of the products and of Adam's bytes, by the fastest library
at each. It is the limit that can be reached. Training is also shown as a share of both limits in the same round.

Profile. With --profile the framework's own profiler measures every operation in the calls to train of an epoch,
summed over all threads.

Import. Fresh processes import the module, or only the packages that its own import statements name, five times each
(quick: once).

Target. A process loads the images and trains at batch 128 until the test loss after an epoch is at most --target;
three times.

Memory. This is the most that the port's process ever had resident. It includes the images, 4 bytes a pixel.

Data. Images are repeated up to the number wanted. The work for an image does not depend on what it shows.

Precision. All arithmetic is float32. With --precision bf16, ports are loaded with dtype "mixed_bfloat16": what goes
into the layers' products and comes out is bfloat16. vae conformance mixed grades that besides. The limits stay
float32, and peers are left out.
"""


@click.command(
    cls=CommandWithOthers,
    others={"compare": f"{__name__}:compare", "show": f"{__name__}:show"},
    examples=(
        "vae bench --quick",
        "vae bench torch my_package.my_vae --out results.json",
        "vae bench torch --profile",
        "vae bench compare before.json after.json",
    ),
    epilog=_PROTOCOL,
)
@click.argument("modules", nargs=-1, metavar="[MODULE]...")
@click.option(
    "--quick",
    is_flag=True,
    help="Measure less: batch 128, 12,800 images, 7 repetitions. Three ports take less than three minutes.",
)
@click.option("--repetitions", type=WHOLE, help="Take each measure N times.  [default: 9; quick: 7]")
@click.option(
    "--batch-size",
    "batches",
    type=WHOLE,
    multiple=True,
    help="Train on N images in each step. May be given again.  [default: 128, 512, 2048; quick: 128]",
)
@click.option("--images", type=WHOLE, help="Take N images for an epoch.  [default: 60,000; quick: 12,800]")
@click.option(
    "--data",
    help="Take these images; see vae train.  [default: mnist if $VAE_DATA holds it and the run is not quick, else "
    "mnist-5k]",
)
@click.option(
    "--peers/--no-peers",
    default=None,
    help="Measure what else people use, too, or leave it out.  [default: those installed; quick: none]",
)
@click.option("--peer", "chosen_peers", multiple=True, metavar="NAME", help="Measure this peer. May be given again.")
@click.option(
    "--target",
    type=float,
    metavar="NATS",
    help="Train to this test loss.  [default: 106 if the data is mnist and the run is not quick]",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "bf16"]),
    default="float32",
    show_default=True,
    help="Compute the layers in this precision. bf16 is for ports that offer it and CPUs that have it.",
)
@click.option("--profile", is_flag=True, help="Show where the time of training goes, instead of measuring it.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write every reading to this .json file.")
@click.option("--force", is_flag=True, help="Replace --out if it exists.")
def bench(modules: tuple[str, ...], out: Path | None, force: bool, **options: Any) -> None:
    """Measure how fast ports train and generate, all in one run.

    MODULE is the word of a port of this project, such as torch, or a Python module that can be imported from the
    current folder and has describe() and load(). Without any, the ports of this project that are installed are
    measured. The protocol is below.
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

    quick, data, peers, target = options["quick"], options["data"], options["peers"], options["target"]
    chosen_peers, precision, profile = options["chosen_peers"], options["precision"], options["profile"]
    if chosen_peers and (profile or peers is False):
        raise ValueError(
            f"--peer: got {chosen_peers[0]!r} with {'--profile' if profile else '--no-peers'}; expected one"
        )
    if (mixed := precision == "bf16") and (chosen_peers or peers):
        raise ValueError(f"--precision: got {precision} and peers, who compute in float32; expected one of the two")
    if mixed and machine.lacks_bfloat16():
        click.echo("Warning: --precision: this CPU has no instructions for bfloat16 and emulates it", err=True)
    names = known_peers.choose(chosen_peers, everyone=not (quick or mixed) if peers is None else peers)
    dataset = images_of.choose(data, quick=quick)
    usual = plan.QUICK if quick else plan.FULL
    wanted = dataclasses.replace(
        usual,
        batches=tuple(dict.fromkeys(options["batches"])) or usual.batches,
        images=options["images"] or usual.images,
        repetitions=options["repetitions"] or usual.repetitions,
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
        ModuleNotFoundError: there is no such module; or none is given and none installed.
    """
    from vae_rosetta.implementations import ports

    given = tuple(map(ports.module_of, given))
    for name in given:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"MODULE: got {name!r}; expected a dotted name, as in an import statement")
        if given.count(name) > 1:
            raise ValueError(f"MODULE: got {name!r} {given.count(name)} times; expected each once")
        if not _can_be_found(name.partition(".")[0]):
            raise ModuleNotFoundError(f"MODULE: got {name!r}; no such module can be imported from the current folder")
    installed = [port.module for port in ports.FRAMEWORKS if not port.lacks()]
    if not given and not installed:
        ours = ", ".join(port.module for port in ports.FRAMEWORKS)
        raise ModuleNotFoundError(
            f"MODULE: none given, and none of {ours} can run; try: pip install 'vae-rosetta[all]'"
        )
    return list(given or installed)


def _can_be_found(package: str) -> bool:
    """Whether workers will find it, who have the current folder on their path, as this process may not."""
    here = importlib.machinery.PathFinder.find_spec(package, [str(Path.cwd())])
    return here is not None or importlib.util.find_spec(package) is not None


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
        raise ModuleNotFoundError("vae bench needs rich; try: pip install 'vae-rosetta[app]'")


@click.command(
    cls=Command,
    no_args_is_help=True,
    examples=("vae bench compare before.json after.json", "vae bench compare both.json --json"),
)
@click.argument("a", type=_FILE, metavar="A.json")
@click.argument("b", type=_FILE, metavar="[B.json]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on each line, for programs.")
def compare(a: Path, b: Path | None, as_json: bool) -> None:
    """Compare two runs, or the ports of one run.

    The table shows the ratio, B to A, of every figure that both runs measured. Without B.json, the ports of A.json are
    compared with the first of them. There, the rates of each round are divided by one another, which shows smaller
    differences. So put two candidates into one run, as two modules, if you can.

    Each ratio has an interval: 95 of 100 resamplings of the readings stay in it. The verdict is "no difference" unless
    the whole interval is more than 10 % away from 1, or 5 % where both were in one run, since the same code differs by
    as much. The drift of the machine, which the matrix products of the same rounds show, is taken out of ratios of two
    runs.

    How much this sees depends on the machine. A virtual one of two cores made twelve quick runs of the same two ports,
    some of them hours apart. Compared in pairs, the verdict was "no difference" 653 times of 660. A port that is slower
    by a fifth was found in 59 of 60 comparisons within a run, and in 448 of 660 between two.
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


@click.command(
    cls=Command,
    no_args_is_help=True,
    examples=("vae bench show results.json", "vae bench show results.json --markdown --chart speed.png"),
)
@click.argument("results", type=_FILE, metavar="RESULTS.json")
@click.option("--markdown", is_flag=True, help="Print a Markdown table.")
@click.option("--chart", type=_FILE, metavar="FILE", help="Draw a chart, a .png or .svg file.")
@click.option("--force", is_flag=True, help="Replace --chart if it exists.")
def show(results: Path, markdown: bool, chart: Path | None, force: bool) -> None:
    """Show the results of a run again.

    They are shown as the tables of the run, in Markdown, or as a chart.
    """
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
