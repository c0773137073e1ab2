"""A page as a whole: what it says, that it needs nothing else, and that nothing of a file's gets into its markup."""

import json
import re
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from vae_rosetta.applications.report import command

SECTIONS = [
    "runs", "curves", "noise", "reconstructions", "traversals", "map", "likelihood", "samples", "anomaly",
    "compression", "conformance", "speed",
]  # fmt: skip
SAID = [
    "tiny.npz: single, double, other",
    "A variational autoencoder of 16-8-3 units: 3 runs on tiny.npz (grey), several seeds, 2 epochs.",
    "54 to train on, 12 held out",
    "Difference of each step from single",
    "single, double: same seed, same data, same settings",
    "10 draws of the prior, decoded by numpy",
    "the greatest difference of any two runs",
    "single: every latent, the most informative first",
    "first two principal components",
    "-ELBO 12.35 ± 0.25",
    "8.00 to 9.00",
    "A. Uthor; as here",
    "NLL, k = 1,000 11.50 ± 0.25",
    "dynamic-binarised (one draw, seed 0)",
    "active latents 2 of 3",
    "samples 20.50 10.25 0.500 0.250 1.500 0.750 0.875 0.1",
    "0 0.100 0.901 0.960 0.500",
    "1 0.100 0.301 0.740 0.500",
    "T. Hesis",
    "bits-back, net 0.1785 bits-back, net, published 0.19",
    "B. Itsback",
    "does not conform torch 2.0 2 passed, 1 failed",
    "The largest: 0.62 in float32 (torch, loss/tiny), 0.12 in float64 (torch, loss/tiny).",
    "torch 2.0 30,000 35,000 200,000 250,000 1.50 0.75 12.5",
    "peer is not graded; it differs: in all.",
    "Not measured: bad_vae: fails",
    "Noisy: other processes took 30 %",
    "Held-out images of tiny.npz, and each decoded",
]


@pytest.fixture
def page(everything: list[object], report: Callable[..., Result], read: Callable[[Path], Any]) -> Any:
    """A page with every section."""
    result = report(*everything)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{everything[-1]}: 12 sections about 3 runs, 0.1 MB\n"
    return read(Path(str(everything[-1])))


def test_every_section_is_there_and_linked(page: Any) -> None:
    assert [section["id"] for section in page.of("section")] == SECTIONS
    assert [link["href"] for link in page.of("a")] == [f"#{name}" for name in SECTIONS]


def test_it_needs_nothing_but_itself(page: Any, everything: list[object]) -> None:
    names = {name for name, _ in page.elements}
    assert not names & {"script", "link", "iframe", "object", "embed", "base"}
    assert page.of("img")
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in page.of("img"))
    policy = next(meta["content"] for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    text = Path(str(everything[-1])).read_text()
    assert not re.search(r"https?:|@import|url\(| on\w+=", text)


def test_it_can_be_read_without_seeing(page: Any) -> None:
    assert page.of("html") == [{"lang": "en"}]
    assert all(image["alt"] for image in page.of("img"))
    assert all(drawing["role"] == "img" and drawing["aria-label"] for drawing in page.of("svg"))
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch(r"h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(head["scope"] in ("row", "col") for head in page.of("th"))
    assert len(page.of("caption")) == len(page.of("table"))


def test_it_says_what_the_files_say(page: Any) -> None:
    assert not [said for said in SAID if said not in page.text]


def test_the_commands_are_those_of_the_runs(page: Any, runs: list[Path]) -> None:
    for folder in runs:
        assert json.loads((folder / "config.json").read_text())["command"] in page.text


def test_equal_files_make_equal_pages(everything: list[object], report: Callable[..., Result]) -> None:
    pages = []
    for _ in range(2):
        assert report(*everything, "--force").exit_code == 0
        pages.append(Path(str(everything[-1])).read_bytes())
    assert pages[0] == pages[1]


def test_nothing_of_a_file_becomes_markup(
    train: Callable[..., Path],
    data: Path,
    everything: list[object],
    likelihood: dict[str, Any],
    certificate: dict[str, Any],
    report: Callable[..., Result],
    read: Callable[[Path], Any],
    tmp_path: Path,
) -> None:
    evil = '<script>alert("1")<script>&amp;'
    named = shutil.copy(data, tmp_path / f"{evil}.npz")
    run = train(tmp_path / f"{evil}run", named)
    likelihood |= {"protocol": evil, "backend": evil}
    (run / "likelihood.json").write_text(json.dumps(likelihood))
    (run / "samples.json").write_text(json.dumps({"format": evil}))
    certificate["run"]["module"] = evil
    certificate["headroom"][0]["vector"] = evil
    (tmp_path / "certificate.json").write_text(json.dumps(certificate))
    result = report(run, *everything, "--title", evil)
    assert result.exit_code == 0, result.output
    out = Path(str(everything[-1]))
    page = read(out)
    assert not page.of("script")
    assert "<script>" not in out.read_text()
    assert page.text.count(evil) > 10


def test_the_file_is_written_whole_or_not_at_all(
    runs: list[Path], report: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "report.html"
    out.write_text("mine")
    refused = report(runs[0], "--out", out)
    assert (refused.exit_code, refused.stderr) == (2, f"Error: out: got {out}, which exists; --force replaces it\n")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", _disk_full)
        assert report(runs[0], "--out", out, "--force").exit_code == 1
    assert out.read_text() == "mine"
    assert not list(tmp_path.glob(".report*"))
    assert report(runs[0], "--out", out, "--force").exit_code == 0
    assert out.read_text().startswith("<!DOCTYPE html>")


def _disk_full(*_: object, **__: object) -> int:
    raise OSError(28, "No space left on device")


def test_runs_without_pictures_say_why(
    train: Callable[..., Path], report: Callable[..., Result], read: Callable[[Path], Any], tmp_path: Path
) -> None:
    rows = tmp_path / "rows.npy"
    np.save(rows, np.random.default_rng(0).random((30, 7), dtype=np.float32))
    run, out = train(tmp_path / "run", rows), tmp_path / "report.html"
    rows.unlink()
    assert report(run, "--out", out).exit_code == 0
    page = read(out)
    assert page.text.count("No images: nothing tells the shape of rows of 7 pixels.") == 3
    assert f"Missing: the data of oracle cannot be loaded (data: got '{rows}'; there is no such file)." in page.text
    assert not page.of("img")


def test_missing_data_leave_what_needs_none(
    runs: list[Path], report: Callable[..., Result], read: Callable[[Path], Any], tmp_path: Path
) -> None:
    config = json.loads((runs[0] / "config.json").read_text())
    config["dataset"]["sha256"] = "0" * 64
    (runs[0] / "config.json").write_text(json.dumps(config))
    assert report(runs[0], "--out", tmp_path / "report.html").exit_code == 0
    page = read(tmp_path / "report.html")
    assert page.text.count("expected 0000") == 3
    assert len(page.of("img")) == 1 + 3  # the noise, and a traversal for each latent around 0


def test_a_plane_of_latents_is_shown_as_it_is(
    train: Callable[..., Path], data: Path, report: Callable[..., Result], read: Callable[[Path], Any], tmp_path: Path
) -> None:
    run = train(tmp_path / "run", data, "--latent-dim", 2)
    assert report(run, "--out", tmp_path / "report.html").exit_code == 0
    page = read(tmp_path / "report.html")
    assert "The latent plane: the posterior means of 12 held-out images, coloured by class" in page.text
    assert "The latent plane, decoded" in page.text
    assert "principal" not in page.text


def test_the_style_sheet_and_the_template_are_in_the_package() -> None:
    page = command.render("title", "lead", [])
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def _contrast(one: str, other: str) -> float:
    """WCAG 2, contrast ratio."""

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_colours_can_be_told_from_their_ground(dark: bool) -> None:
    sheets = re.findall(r":root \{([^}]*--page[^}]*)\}", command.render("", "", []))
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", sheets[dark]))
    assert len(colours) == 24
    for ground in ("page", "card"):
        for text in ("ink", "soft", "link", "good", "bad"):
            assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for line in (name for name in colours if re.fullmatch(r"[sc]\d", name)):
        assert _contrast(colours[line], colours["page"]) >= 3.0, line
