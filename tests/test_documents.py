"""The pages that people read: what they link to and name exists."""

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = sorted(
    page.relative_to(ROOT).as_posix()
    for folder in (".", "docs", "conformance", "shared", "implementations", "benchmarks", "applications")
    for page in (ROOT / folder).glob("*.md" if folder == "." else "**/*.md")
)


def test_pages_are_found() -> None:
    assert {"README.md", "docs/using.md", "conformance/README.md", "shared/vectors/README.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\((?!https?://)([^)\s]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    for link in links:
        path, _, section = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if section:
            assert section in _sections(target), link


def _sections(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_is_two_screens() -> None:
    """A page that people read to its end: 120 lines at most."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_what_the_architecture_names_exists() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w./]+(?:/|\.py|\.md|\.toml))`", page)) - {"model.py", "backend.py"}
    assert len(named) > 30
    assert not {path for path in named if not (ROOT / path).exists()}
