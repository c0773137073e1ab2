"""The work of `vae report`: reads runs and results, and writes one page."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import click
import jinja2
from markupsafe import Markup

from vae_rosetta.applications import outputs
from vae_rosetta.applications.report import anomaly, conformance, curves, gallery, overview, results, sources, speed
from vae_rosetta.applications.report.blocks import Section, counted
from vae_rosetta.shared import files, spec
from vae_rosetta.shared.version import project_version


def report(
    *,
    runs: Sequence[Path],
    out: Path,
    title: str | None,
    anomaly_file: Path | None,
    certificates: Sequence[Path],
    benchmark: Path | None,
    backend: str,
    data_dir: Path | None = None,
    device: str = "auto",
    force: bool = False,
) -> None:
    """Writes the page about `runs` to `out`; equal files make equal pages.

    Args:
        runs: their folders, at least one.
        title: default: the data and the runs.
        anomaly_file, certificates, benchmark: results that belong to no one run.
        backend: what decodes the weights of all runs.
        data_dir: folder that holds MNIST; default: the runs' own.

    Raises:
        FileNotFoundError: a folder is no run's, or a file is not there.
        ModuleNotFoundError: the backend's framework is not installed.
        OSError: `out` cannot be written.
        TypeError, ValueError: a bad argument, or a damaged file; the message names it.
    """
    outputs.check(out, endings=(".html", ".htm"), force=force)
    found = sources.read_runs(runs)
    families = sources.families(found)
    later = _results(found, anomaly_file, certificates, benchmark)  # damage is told before work is done
    sections = [
        overview.section(found, families),
        curves.section(found, families),
        *gallery.sections(families, gallery.Decoder(backend, device), data_dir),
        *later,
    ]
    page = render(title or overview.title(found), overview.lead(found), sections)
    files.write_text(out, page)
    size = f"{len(page.encode()) / 1e6:.1f} MB"
    click.echo(f"{out}: {counted(len(sections), 'section')} about {counted(len(found), 'run')}, {size}")


def render(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The page as text."""
    folder = resources.files(__package__)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(folder.joinpath("page.html").read_text(encoding="utf-8"))
    style = Markup(folder.joinpath("style.css").read_text(encoding="utf-8"))  # ours: nothing of a user's in it
    version = project_version()
    project = "" if version == "not installed" else f" {version}"
    return template.render(title=title, lead=lead, sections=sections, style=style, project=project, spec=spec.VERSION)


def _results(
    found: Sequence[sources.Shown], anomaly_file: Path | None, certificates: Sequence[Path], benchmark: Path | None
) -> list[Section]:
    """The sections of the results that there are."""
    made = [results.likelihood(found), results.samples(found)]
    made.append(anomaly.section(anomaly_file) if anomaly_file is not None else None)
    made.append(results.compression(found))
    made.append(conformance.section(certificates, found) if certificates else None)
    made.append(speed.section(benchmark) if benchmark is not None else None)
    return [section for section in made if section is not None]
