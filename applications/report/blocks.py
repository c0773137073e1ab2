"""What a page is made of, as `page.html` renders it. Text is plain text: the template escapes all of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from markupsafe import Markup


class Cell(NamedTuple):
    """A cell whose text is told apart by its look too: `tone` is "good", "bad", "strong", or "text" or "long",
    which may take several lines."""

    text: str
    tone: str = ""


@dataclass(frozen=True)
class Prose:
    """A paragraph."""

    kind: ClassVar[str] = "prose"
    text: str


@dataclass(frozen=True)
class Note:
    """A paragraph that explains, or says what is missing."""

    kind: ClassVar[str] = "note"
    text: str


@dataclass(frozen=True)
class Table:
    """A table whose first column names its rows; other columns are numbers, unless `words`."""

    kind: ClassVar[str] = "table"
    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    words: bool = False


class Key(NamedTuple):
    """What a colour means: the `style`-th of the lines, or of the classes if `group` is "class"."""

    label: str
    style: int
    group: str = "line"


class Chart(NamedTuple):
    """A drawing with its title."""

    title: str
    svg: Markup


@dataclass(frozen=True)
class Charts:
    """Charts beside one another where there is room, under one legend."""

    kind: ClassVar[str] = "charts"
    charts: Sequence[Chart]
    legend: Sequence[Key] = ()
    caption: str = ""


class Strip(NamedTuple):
    """Images beside one another, as one picture."""

    label: str
    source: str  # a data URI
    alt: str
    width: int  # pixels of the picture
    height: int


@dataclass(frozen=True)
class Strips:
    """Rows of images, one below the other."""

    kind: ClassVar[str] = "strips"
    caption: str
    strips: Sequence[Strip]


class Fact(NamedTuple):
    """A name and a value."""

    name: str
    value: str


class Card(NamedTuple):
    """One run in short."""

    title: str
    style: int
    facts: Sequence[Fact]
    command: Sequence[str]  # in parts that stay together on a line


@dataclass(frozen=True)
class Cards:
    """Runs beside one another."""

    kind: ClassVar[str] = "cards"
    cards: Sequence[Card]


@dataclass(frozen=True)
class Figures:
    """The few numbers that a reader wants first."""

    kind: ClassVar[str] = "figures"
    caption: str
    figures: Sequence[Fact]


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    kind: ClassVar[str] = "heading"
    text: str


Block = Prose | Note | Table | Charts | Strips | Cards | Figures | Heading


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading; `name` is its anchor."""

    name: str
    title: str
    blocks: list[Block] = field(default_factory=list)


def counted(count: int, what: str) -> str:
    """A count and its noun: 1 epoch, 2 epochs."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def number(value: float, digits: int = 2) -> str:
    """A number with thousands separated; "-" if there is none."""
    return f"{value:,.{digits}f}" if math.isfinite(value) else "-"
