"""Charts as SVG, drawn for a column 360 units wide: colours come from the page's style sheet, so that they suit light,
dark and paper, and text stays readable where the page is narrow.

Numbers that are not finite are left out.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

WIDTH: Final = 360
HEIGHT: Final = 240
_LEFT: Final = 48  # of the plot: room for numbers
_RIGHT: Final = 10
_TOP: Final = 24
_BOTTOM: Final = 36
_TICKS: Final = 5
_THICKEST: Final = 9.0  # units that the lines under the first may add to it
_MARKED: Final = 25  # points up to which each is marked
_SERIES: Final = 6  # looks of lines that the style sheet has
_LONGEST: Final = 46  # characters of a bar's name
_PER_CHARACTER: Final = 6.2  # units, of small text

Real = npt.NDArray[np.float64]


class Line(NamedTuple):
    """A series of points."""

    label: str
    style: int
    x: Real
    y: Real


class Bar(NamedTuple):
    """A bar with its value in words; `low` and `high` are drawn as a whisker, `mark` as a tick of its own."""

    label: str
    value: float
    text: str
    style: int
    low: float | None = None
    high: float | None = None
    mark: float | None = None


class Points(NamedTuple):
    """A class of points in a plane."""

    label: str
    style: int
    xy: Real  # (n, 2)


class Dot(NamedTuple):
    """A point in a row of `dots`."""

    value: float
    style: int
    label: str


class _Scale:
    """Numbers to places along one side of the plot."""

    def __init__(
        self, values: Iterable[float], start: float, end: float, *, log: bool = False, whole: bool = False
    ) -> None:
        finite = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
        low, high = (min(finite), max(finite)) if finite else (1.0, 2.0)
        self._log = log
        if log:
            low, high = math.floor(math.log10(low)), math.ceil(math.log10(high))
            high = max(high, low + 1)
            self.ticks = [10.0**power for power in range(low, high + 1, math.ceil((high - low + 1) / _TICKS))]
        else:
            from matplotlib.ticker import MaxNLocator

            room = 0.04 * (high - low) or 0.5
            low, high = low - room, high + room
            found = MaxNLocator(nbins=_TICKS, integer=whole, min_n_ticks=1).tick_values(low, high)
            self.ticks = [float(tick) for tick in found if low <= tick <= high and (tick % 1 == 0 or not whole)]
        self._low, self._high, self._start, self._end = low, high, start, end

    def __call__(self, value: float) -> float:
        at = math.log10(value) if self._log else value
        return self._start + (at - self._low) / (self._high - self._low) * (self._end - self._start)

    def label(self, tick: float) -> str:
        if self._log:
            return f"1e{round(math.log10(tick)):d}"
        return f"{tick:,.0f}" if abs(tick) >= 1000 else f"{tick:.4g}"


def lines(
    series: Sequence[Line], x_label: str, y_label: str, about: str, *, log: bool = False, joined: bool = True
) -> Markup:
    """Lines over one another, each narrower than the one under it, so that those that coincide all show.

    The x axis counts in whole numbers.

    Args:
        about: what a reader who cannot see it is told.
        log: the y axis is logarithmic.
        joined: else points alone, those of the series beside one another.
    """
    across = _Scale([x for line in series for x in line.x], _LEFT, WIDTH - _RIGHT, whole=True)
    up = _Scale([y for line in series for y in line.y], HEIGHT - _BOTTOM, _TOP, log=log)
    parts = [_frame(across, up, x_label, y_label)]
    for place, line in enumerate(series):
        shift = 0.0 if joined else 5.0 * (place - (len(series) - 1) / 2)
        drawn = [
            (across(x) + shift, up(y))
            for x, y in zip(line.x, line.y, strict=True)
            if math.isfinite(x) and math.isfinite(y) and (y > 0 or not log)
        ]
        width = 1.6 + min(2.6, _THICKEST / len(series)) * (len(series) - 1 - place)
        style = f"s{line.style % _SERIES}"
        if joined and len(drawn) > 1:
            path = "L".join(f"{x:.1f} {y:.1f}" for x, y in drawn)
            parts.append(Markup('<path class="line {}" stroke-width="{}" d="M{}"/>').format(style, width, path))
        if not joined or len(drawn) <= _MARKED:
            radius = (width / 2 + 1.4) if joined else 3.2
            parts += [
                Markup('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="{}"/>').format(style, x, y, radius)
                for x, y in drawn
            ]
    return _svg(parts, WIDTH, HEIGHT, about)


def bars(found: Sequence[Bar], about: str) -> Markup:
    """Bars from 0, one below the other, each under its name."""
    pitch, thick = 38, 12
    finite = [value for bar in found for value in (bar.value, bar.high, bar.mark) if value is not None]
    most = max((value for value in finite if math.isfinite(value)), default=1.0) or 1.0
    longest = max((len(bar.text) for bar in found), default=0)
    room = WIDTH - 12 - longest * 7.0

    def length(value: float | None) -> float:
        return 0.0 if value is None or not math.isfinite(value) else max(0.0, value) / most * room

    parts = []
    for row, bar in enumerate(found):
        top = row * pitch
        middle = top + 18 + thick / 2
        name = bar.label if len(bar.label) <= _LONGEST else bar.label[: _LONGEST - 1] + "…"
        parts.append(Markup('<text x="0" y="{}" class="name">{}</text>').format(top + 13, name))
        parts.append(
            Markup('<rect class="bar s{}" x="0" y="{}" width="{:.1f}" height="{}" rx="2"/>').format(
                bar.style % _SERIES, top + 18, length(bar.value), thick
            )
        )
        ends = [length(value) for value in (bar.value, bar.high, bar.mark)]
        if bar.low is not None and bar.high is not None:
            parts.append(
                Markup('<path class="whisker" d="M{:.1f} {m}H{:.1f}"/>').format(length(bar.low), ends[1], m=middle)
            )
        if bar.mark is not None:
            parts.append(Markup('<path class="mark" d="M{:.1f} {}v{}"/>').format(ends[2], top + 15, thick + 6))
        parts.append(
            Markup('<text x="{:.1f}" y="{}" class="value">{}</text>').format(max(ends) + 6, middle + 4, bar.text)
        )
    return _svg(parts, WIDTH, len(found) * pitch + 2, about)


def columns(values: Sequence[float], style: int, x_label: str, y_label: str, about: str) -> Markup:
    """Columns from 0, one for each value, numbered from 1."""
    height = 170
    up = _Scale((0.0, *values), height - _BOTTOM, _TOP)
    across = _Scale((0.5, len(values) + 0.5), _LEFT, WIDTH - _RIGHT, whole=True)
    width = max(1.0, 0.8 * (across(1.0) - across(0.0)))
    parts = [_frame(across, up, x_label, y_label, height)]
    for i, value in enumerate(values, 1):
        if math.isfinite(value):
            top = up(max(0.0, value))
            parts.append(
                Markup('<rect class="bar s{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                    style % _SERIES, across(i) - width / 2, top, width, up(0.0) - top
                )
            )
    return _svg(parts, WIDTH, height, about)


def scatter(classes: Sequence[Points], x_label: str, y_label: str, about: str, *, named: bool) -> Markup:
    """Points in a plane with equal units on both axes; if `named`, each class has its label at its median."""
    everything = np.concatenate([points.xy for points in classes])  # (N, 2)
    centre = (everything.max(axis=0) + everything.min(axis=0)) / 2
    half = float((everything.max(axis=0) - everything.min(axis=0)).max()) / 2 or 1.0
    height = WIDTH - _LEFT - _RIGHT + _TOP + _BOTTOM  # a square plot
    across = _Scale((centre[0] - half, centre[0] + half), _LEFT, WIDTH - _RIGHT)
    up = _Scale((centre[1] - half, centre[1] + half), height - _BOTTOM, _TOP)
    parts = [_frame(across, up, x_label, y_label, height)]
    for points in classes:
        path = "".join(f"M{across(x):.0f} {up(y):.0f}h0" for x, y in points.xy)
        parts.append(Markup('<path class="cloud c{}" d="{}"/>').format(points.style % 10, path))
    if named:
        for points in classes:
            x, y = np.median(points.xy, axis=0)
            parts.append(
                Markup('<text class="class" x="{:.0f}" y="{:.0f}">{}</text>').format(
                    across(float(x)), up(float(y)) + 5, points.label
                )
            )
    return _svg(parts, WIDTH, height, about)


def dots(rows: Sequence[tuple[str, Sequence[Dot]]], limit: float, x_label: str, about: str) -> Markup:
    """Named rows of dots between 0 and `limit`, each dot smaller than the one under it."""
    pitch, top = 18, 8
    left = 12 + _PER_CHARACTER * max((len(name) for name, _ in rows), default=0)
    left = min(left, 0.55 * WIDTH)
    height = top + pitch * len(rows) + _BOTTOM
    end = WIDTH - _RIGHT - 8

    def place(value: float) -> float:
        return left + value / limit * (end - left)

    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = place(tick * limit)
        style = "rule" if tick == 1.0 else "grid"
        parts.append(Markup('<path class="{}" d="M{:.1f} {}V{}"/>').format(style, x, top, height - _BOTTOM))
        parts.append(
            Markup('<text class="tick mid" x="{:.1f}" y="{}">{:g}</text>').format(x, height - 20, tick * limit)
        )
    parts.append(
        Markup('<text class="tick mid" x="{:.1f}" y="{}">{}</text>').format((left + end) / 2, height - 5, x_label)
    )
    for row, (name, found) in enumerate(rows):
        y = top + pitch * (row + 0.5)
        parts.append(Markup('<text class="tick end" x="{:.1f}" y="{:.1f}">{}</text>').format(left - 9, y + 3.5, name))
        for under, dot in enumerate(found):
            if math.isfinite(dot.value):
                parts.append(
                    Markup(
                        '<circle class="dot s{}" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"><title>{}</title></circle>'
                    ).format(dot.style % _SERIES, place(min(dot.value, limit)), y, 5.0 - 0.9 * min(under, 3), dot.label)
                )
    return _svg(parts, WIDTH, height, about)


def _frame(across: _Scale, up: _Scale, x_label: str, y_label: str, height: int = HEIGHT) -> Markup:
    """Grid, numbers and names of the axes."""
    bottom = height - _BOTTOM
    parts = []
    for tick in up.ticks:
        y = up(tick)
        parts.append(Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(_LEFT, y, WIDTH - _RIGHT))
        parts.append(
            Markup('<text class="tick end" x="{}" y="{:.1f}">{}</text>').format(_LEFT - 5, y + 3.5, up.label(tick))
        )
    for tick in across.ticks:
        x = across(tick)
        parts.append(Markup('<path class="grid" d="M{:.1f} {}v4"/>').format(x, bottom))
        parts.append(
            Markup('<text class="tick mid" x="{:.1f}" y="{}">{}</text>').format(x, bottom + 16, across.label(tick))
        )
    parts.append(Markup('<path class="axis" d="M{} {}H{}"/>').format(_LEFT, bottom, WIDTH - _RIGHT))
    parts.append(Markup('<text class="tick end" x="{}" y="{}">{}</text>').format(WIDTH - _RIGHT, height - 5, x_label))
    parts.append(Markup('<text class="tick" x="2" y="11">{}</text>').format(y_label))
    return Markup("").join(parts)


def _svg(parts: Sequence[Markup], width: float, height: float, about: str) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width, height, escape(about), Markup("").join(parts)
    )
