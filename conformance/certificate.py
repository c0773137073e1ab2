"""The written forms of a certificate: JSON for machines, Markdown and a terminal table for people."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from vae_rosetta.conformance import likely, report
from vae_rosetta.conformance.outcome import Result, Verdict, named
from vae_rosetta.shared import checks, files

Certificate = Mapping[str, Any]  # report.schema.json

SUFFIXES: Final = (".json", ".md")


class CertificateError(ValueError):
    """A file that should be a certificate and is not; the message names it."""


def target(text: str) -> Path:
    """Where to write a certificate; the ending says in which form.

    Raises:
        ValueError: an ending that is not known, or a folder that is not there.
    """
    path = Path(text).absolute()
    if path.suffix not in SUFFIXES:
        raise ValueError(f"got {text!r}; expected a name that ends in {' or '.join(SUFFIXES)}")
    if not path.parent.is_dir() or path.is_dir():
        raise ValueError(f"got {text!r}; expected a file in a folder that exists")
    return path


def write(path: Path, certificate: Certificate) -> None:
    """The certificate in the form that the ending asks for, atomically.

    Raises:
        OSError: see `shared.files.write_text`.
    """
    text = json.dumps(certificate, indent=1, ensure_ascii=False) + "\n"
    files.write_text(path, text if path.suffix == ".json" else markdown(certificate))


def read(path: Path) -> dict[str, Any]:
    """A certificate from its JSON file.

    Raises:
        CertificateError: it cannot be read, or is not a certificate of one of the formats `report.READABLE`.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CertificateError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise CertificateError(f"{path}: not JSON; expected a certificate of vae conformance") from None
    needed = {"format", "verdict", "run", "clauses"}
    if not isinstance(found, dict) or not needed <= found.keys():
        raise CertificateError(f"{path}: not a certificate of vae conformance")
    if found["format"] not in report.READABLE:
        expected = " or ".join(map(str, report.READABLE))
        raise CertificateError(f"{path}: got format {found['format']!r}; expected {expected}")
    return found


def subject(run: Mapping[str, Any]) -> str:
    """Who was graded: the module's dotted name, or the command."""
    return str(run["command"] if run["module"] is None else run["module"])


def summary(certificate: Certificate) -> Iterator[str]:
    """The terminal's table, chapter by chapter and precision by precision, and the verdict: 80 columns."""
    yield f"{'chapter':<14}" + "".join(f"{dtype:<33}" for dtype in checks.DTYPES).rstrip()
    for chapter in certificate["chapters"]:
        cells = [_cell(chapter["dtypes"][dtype]) for dtype in checks.DTYPES]
        yield f"{chapter['name']:<14}" + "".join(f"{cell:<33}" for cell in cells).rstrip()
    yield ""
    yield f"verdict: {headline(certificate)}"
    yield from likely.lines(certificate)
    yield from _remarks(certificate)


def headline(certificate: Certificate) -> str:
    """The verdict, which says so where it speaks of a part of the specification only, and counts what deviates."""
    partial = certificate["absent"] and certificate["verdict"] in (Verdict.CONFORMS, Verdict.DEVIATES)
    return f"{certificate['verdict']}{', as far as its abilities go' if partial else ''}{_declared(certificate)}"


def _declared(certificate: Certificate) -> str:
    cases = certificate["deviations"]
    reasons = len({entry["reason"] for entry in cases})
    texts = (f"{reasons} declared deviation{'s'[: reasons > 1]}", f"{len(cases)} case{'s'[: len(cases) > 1]}")
    return f": {texts[0]}, {texts[1]}" if cases else ""


def headroom(certificate: Certificate) -> Iterator[str]:
    """The worst quantity of each vector and precision, a line for each vector."""
    worst: dict[str, dict[str, tuple[float, str]]] = {}
    for entry in certificate["headroom"]:
        by_dtype = worst.setdefault(entry["vector"], {})
        found = (entry["ratio"], entry["quantity"])
        by_dtype[entry["dtype"]] = max(by_dtype.get(entry["dtype"], (0.0, "")), found)
    for vector, by_dtype in worst.items():
        columns = "   ".join(f"{dtype} {ratio:5.3f} {name:<34}" for dtype, (ratio, name) in sorted(by_dtype.items()))
        yield f"{vector:<32} {columns}".rstrip()


def markdown(certificate: Certificate) -> str:
    """The whole certificate as a page."""
    run = certificate["run"]
    described = ", ".join(f"{key} {value}" for key, value in run["describe"].items())
    lines = [f"# Conformance of {_text(subject(run))}", "", f"**Verdict: {headline(certificate)}**", ""]
    lines += [f"- {_text(remark)}" for remark in _remarks(certificate)]
    lines += [
        f"- graded {run['date']}, in {' and '.join(run['dtypes']) or 'no precision'}, on device {run['device']}",
        f"- backend: {_text(described)}",
        f"- machine: {run['platform']}, Python {run['python']}, NumPy {run['numpy']}",
        f"- suite: vae-rosetta {run['project_version']}, specification {run['spec_version']}",
        f"- vectors: {run['vectors_sha256']}",
        "",
    ]
    lines += _table("Chapters", certificate["chapters"], "name") + _table("Clauses", certificate["clauses"], "id")
    lines += likely.markdown(certificate)
    failures = [(entry, f"{entry['message']} {_cause(entry)}".rstrip()) for entry in certificate["failures"]]
    lines += _listed("Failures", failures)
    lines += _listed("Deviations", [(entry, entry["reason"]) for entry in certificate["deviations"]])
    if certificate["headroom"]:
        lines += ["## Headroom", "", "The largest error of each quantity, in units of its tolerance.", ""]
        lines += ["| vector | quantity | precision | error / tolerance |", "|---|---|---|---|"]
        lines += [
            f"| {h['vector']} | {h['quantity']} | {h['dtype']} | {h['ratio']:.3f} |" for h in certificate["headroom"]
        ]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _remarks(certificate: Certificate) -> Iterator[str]:
    for absent in certificate["absent"]:
        yield f"absent: {absent['ability']}: {absent['reason']}"
    for gap in certificate["incomplete"]:
        yield f"incomplete: {gap}"
    for reason in dict.fromkeys(entry["reason"] for entry in certificate["deviations"]):
        cases = [named(entry) for entry in certificate["deviations"] if entry["reason"] == reason]
        yield f"deviates: {reason}: {', '.join(cases)}"


def _cell(graded: Mapping[str, Any]) -> str:
    counts = graded["counts"]
    return f"{graded['verdict']} {counts['passed']}/{sum(counts.values())}"


def _table(title: str, rows: list[dict[str, Any]], name: str) -> list[str]:
    lines = [f"## {title}", "", f"| {title.lower()[:-1]} | verdict | {' | '.join(Result)} |"]
    lines.append("|---" * (2 + len(Result)) + "|")
    for row in rows:
        numbers = " | ".join(str(row["counts"][result]) for result in Result)
        lines.append(f"| {row[name]} | {row['verdict']} | {numbers} |")
    return [*lines, ""]


def _listed(title: str, entries: list[tuple[dict[str, Any], str]]) -> list[str]:
    if not entries:
        return []
    return [f"## {title}", "", *(f"- `{named(entry)}`: {_text(detail)}" for entry, detail in entries), ""]


def _cause(entry: Mapping[str, Any]) -> str:
    return f"cause: {entry['explanation']}" if entry["explanation"] else ""


def _text(value: str) -> str:
    """One line that Markdown leaves alone."""
    return " ".join(value.split()).translate({ord(sign): f"\\{sign}" for sign in "\\`*_<>|[]"})
