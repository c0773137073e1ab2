"""The section of conformance, from the certificates that `vae conformance --report` writes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from vae_rosetta.applications.report import charts
from vae_rosetta.applications.report.blocks import Block, Cell, Chart, Charts, Key, Section, Table
from vae_rosetta.applications.report.charts import Dot
from vae_rosetta.applications.report.results import problems
from vae_rosetta.applications.report.sources import Result, Shown, read_result, reading
from vae_rosetta.applications.settings import Json

FORMATS: Final = (1, 2)  # of conformance/report.schema.json; what is shown here is the same in both
_NEEDED: Final = ("verdict", "run", "counts", "clauses", "headroom")
_TONES: Final = {"conforms": "good", "does not conform": "bad"}


def section(paths: Sequence[Path], found: Sequence[Shown]) -> Section:
    """Verdicts, headroom and clauses, a column for each certificate.

    Raises:
        FileNotFoundError, ValueError: a file is not there, or damaged.
    """
    read = [read_result(path, path.stem, FORMATS, _NEEDED) for path in paths]
    shown = [(result, result.content) for result in read if result.content is not None]
    blocks: list[Block] = []
    if shown:
        for result, content in shown:
            with reading(result.path):
                _check(content)
        names = _names(shown)
        styles = _styles(shown, found)
        blocks.append(_verdicts(names, shown))
        blocks += _headroom(names, styles, shown)
        blocks.append(_clauses(names, shown))
    return Section("conformance", "Conformance to the specification", blocks + problems(read))


def _check(content: Json) -> None:
    """Touches all that is shown, so that damage is told with the file's name."""
    for entry in content["headroom"]:
        float(entry["ratio"]), str(entry["vector"]), str(entry["quantity"]), str(entry["dtype"])
    for clause in content["clauses"]:
        str(clause["id"]), str(clause["text"]), str(clause["verdict"])
    for name, count in content["counts"].items():
        str(name), int(count)
    run = content["run"]
    str(run["module"] or run["command"]), str(run["date"]), dict(run["describe"]), str(run["spec_version"])


def _names(shown: Sequence[tuple[Result, Json]]) -> list[str]:
    """The last part of each module's name, or the file's name where two are alike."""
    last = [str(content["run"]["module"] or content["run"]["command"]).rpartition(".")[2] for _, content in shown]
    short = [name.removesuffix("_vae") for name in last]
    return [
        name if short.count(name) == 1 else f"{name} ({result.path.name})"
        for name, (result, _) in zip(short, shown, strict=True)
    ]


def _styles(shown: Sequence[tuple[Result, Json]], found: Sequence[Shown]) -> list[int]:
    """A backend has the colour of the run that it trained, others those that are left."""
    of_run = {run.settings.backend: run.style for run in reversed(found)}
    free = iter(range(len(of_run) and max(of_run.values()) + 1, 1000))
    modules = [str(content["run"]["module"]).rpartition(".")[2].removesuffix("_vae") for _, content in shown]
    alone = {name for name in modules if modules.count(name) == 1}
    return [of_run[name] if name in of_run and name in alone else next(free) for name in modules]


def _verdicts(names: Sequence[str], shown: Sequence[tuple[Result, Json]]) -> Table:
    rows: list[list[str | Cell]] = []
    for name, (_, content) in zip(names, shown, strict=True):
        verdict, run, counts = str(content["verdict"]), content["run"], content["counts"]
        said = ", ".join(f"{int(count):,} {result}" for result, count in counts.items() if count)
        about = run["describe"]
        version = f"{about.get('framework', '?')} {about.get('version', '?')}"
        cells = [version, said, str(run["spec_version"]), str(run["date"])[:10]]
        rows.append([name, Cell(verdict, _TONES.get(verdict, "")), *cells])
    heads = ["backend", "verdict", "framework", "cases", "specification", "graded"]
    return Table("Each backend graded against the specification, alone in its process", heads, rows, words=True)


def _headroom(names: Sequence[str], styles: Sequence[int], shown: Sequence[tuple[Result, Json]]) -> list[Block]:
    """A chart for each precision: the worst quantity of each vector, a dot for each certificate."""
    worst: dict[str, dict[str, dict[str, tuple[float, str]]]] = {}  # by precision, vector and certificate
    for name, (_, content) in zip(names, shown, strict=True):
        for entry in content["headroom"]:
            found = worst.setdefault(str(entry["dtype"]), {}).setdefault(str(entry["vector"]), {})
            found[name] = max(found.get(name, (0.0, "")), (float(entry["ratio"]), str(entry["quantity"])))
    if not worst:
        return []
    drawn, said = [], []
    for dtype, vectors in sorted(worst.items()):
        rows = [
            (vector, [Dot(found[name][0], style, f"{name}: {found[name][0]:.3f}, {found[name][1]}")
                      for name, style in zip(names, styles, strict=True) if name in found])
            for vector, found in vectors.items()
        ]  # fmt: skip
        ratio, name, vector = max(
            (of[0], name, vector) for vector, found in vectors.items() for name, of in found.items()
        )
        said.append(f"{ratio:.2f} in {dtype} ({name}, {vector})")
        about = f"Largest error in tolerances for each golden vector in {dtype}; the largest of all is {said[-1]}"
        drawn.append(Chart(f"Headroom by golden vector, {dtype}", charts.dots(rows, 1.0, "error / tolerance", about)))
    legend = [Key(name, style) for name, style in zip(names, styles, strict=True)]
    caption = (
        "The largest error of each golden vector in units of its tolerance, which is derived from rounding; 1 would "
        f"fail. The largest: {', '.join(said)}."
    )
    return [Charts(drawn, legend, caption)]


def _clauses(names: Sequence[str], shown: Sequence[tuple[Result, Json]]) -> Table:
    texts = {str(clause["id"]): str(clause["text"]) for _, content in shown for clause in content["clauses"]}
    verdicts = [{str(clause["id"]): str(clause["verdict"]) for clause in content["clauses"]} for _, content in shown]
    rows: list[list[str | Cell]] = []
    for clause, text in texts.items():
        said = [of.get(clause, "untested") for of in verdicts]
        rows.append([clause, *(Cell(word, _TONES.get(word, "")) for word in said), Cell(text, "long")])
    return Table("Clause by clause", ["clause", *names, "what it says"], rows, words=True)
