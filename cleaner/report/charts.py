"""Charts as plain shapes, which templates/charts.html.j2 writes as SVG. Colours are classes of the page's style."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np

WIDTH, WIDE, HEIGHT = 540, 1080, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 68, 22, 14, 44
_MAX_POINTS = 400


@dataclass(frozen=True)
class Line:
    """A straight line."""

    kind: ClassVar = "line"
    x1: float
    x2: float
    y1: float
    y2: float
    cls: str


@dataclass(frozen=True)
class Text:
    """A line of text at a point."""

    kind: ClassVar = "text"
    x: float
    y: float
    text: str
    cls: str = ""
    anchor: str = "start"
    is_upward: bool = False
    """Whether it is written from bottom to top."""


@dataclass(frozen=True)
class Rect:
    """A rectangle."""

    kind: ClassVar = "rect"
    x: float
    y: float
    width: float
    height: float
    cls: str
    title: str = ""
    radius: float = 0


@dataclass(frozen=True)
class Circle:
    """A dot."""

    kind: ClassVar = "circle"
    x: float
    y: float
    radius: float
    cls: str


@dataclass(frozen=True)
class Path:
    """A path in SVG's notation."""

    kind: ClassVar = "path"
    path: str
    cls: str


Shape: TypeAlias = Line | Text | Rect | Circle | Path


@dataclass(frozen=True)
class Drawing:
    """Shapes on a ground of `width` x `height` units, which fits the width it is given."""

    width: float
    height: float
    shapes: Sequence[Shape]
    label: str
    """What it shows, for screen readers."""
    cls: str = "chart"


@dataclass(frozen=True)
class Series:
    """A line through `points` (x, y) in data units."""

    points: Sequence[tuple[float, float]]
    color: str
    is_step: bool = False
    dot_radii: Sequence[float] | None = None
    """Draws a dot of this radius at each point, and no line."""


@dataclass(frozen=True)
class Axis:
    """What an axis shows, in data units."""

    name: str
    low: float
    high: float
    is_share: bool = False
    """Whether ticks are written in percent."""
    is_log: bool = False


@dataclass(frozen=True)
class Interval:
    """One row of an interval chart: a mean or share with its bounds, in data units."""

    name: str
    middle: float | None
    """None, as for the bounds: not known, and not drawn."""
    low: float | None
    high: float | None
    color: str
    text: str


@dataclass(frozen=True)
class Scale:
    """Maps data units to drawing units."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """The drawing coordinate of a value."""
        low, high = self.low, self.high
        if self.is_log:
            low, high, value = (math.log10(v) for v in (low, high, max(value, low)))
        share = (value - low) / (high - low) if high > low else 0.0
        return self.start + share * (self.end - self.start)

    def ticks(self, *, whole: bool = False) -> list[float]:
        """Round values for grid lines; with `whole`, whole numbers only."""
        if self.is_log:
            powers = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
            return [10.0**p for p in powers]
        step = _round_step((self.high - self.low) / 5, whole=whole)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _round_step(raw: float, *, whole: bool) -> float:
    power = 10.0 ** math.floor(math.log10(raw)) if raw > 0 else 1.0
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    return float(max(1, math.ceil(step))) if whole else step


def _tick_text(value: float, *, is_share: bool) -> str:
    if is_share:
        return f"{100 * value:.3g} %"
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:g}"


def _scales(x_axis: Axis, y_axis: Axis, width: float) -> tuple[Scale, Scale]:
    x = Scale(x_axis.low, x_axis.high, _LEFT, width - _RIGHT, x_axis.is_log)
    return x, Scale(y_axis.low, y_axis.high, HEIGHT - _BOTTOM, _TOP, y_axis.is_log)


def _frame(x_axis: Axis, y_axis: Axis, width: float) -> list[Shape]:
    """Grid, ticks of the y axis, and the names of both axes."""
    x, y = _scales(x_axis, y_axis, width)
    shapes: list[Shape] = []
    for value in y.ticks(whole=not y_axis.is_share):
        at = y(value)
        shapes.append(Line(x.start, x.end, at, at, "grid"))
        shapes.append(Text(x.start - 8, at + 4, _tick_text(value, is_share=y_axis.is_share), "tick", "end"))
    shapes.append(Line(x.start, x.end, y.start, y.start, "axis"))
    shapes.append(Text((x.start + x.end) / 2, y.start + 38, x_axis.name, "axis-name", "middle"))
    shapes.append(Text(14, (y.start + y.end) / 2, y_axis.name, "axis-name", "middle", is_upward=True))
    return shapes


def line_chart(
    series: Sequence[Series],
    x_axis: Axis,
    y_axis: Axis,
    *,
    label: str,
    mark: tuple[float, float, str] | None = None,
    width: float = WIDTH,
) -> Drawing:
    """Lines over a common ground; `mark` is a labelled point (x, y, text)."""
    x, y = _scales(x_axis, y_axis, width)
    shapes = _frame(x_axis, y_axis, width)
    for value in x.ticks():
        shapes.append(Text(x(value), y.start + 18, _tick_text(value, is_share=x_axis.is_share), "tick", "middle"))
    for one in series:
        shapes += _line(one, x, y)
    if mark is not None:
        at_x, at_y = x(mark[0]), y(mark[1])
        shapes.append(Circle(at_x, at_y, 6, "dot c-noise"))
        shapes.append(Text(at_x - 8, at_y + 24, mark[2], "tick", "end"))
    return Drawing(width, HEIGHT, shapes, label, "chart" if width == WIDTH else "chart wide")


def _line(one: Series, x: Scale, y: Scale) -> list[Shape]:
    at = [(x(a), y(b)) for a, b in thin_points(one.points)]
    if one.dot_radii is not None:
        return [Circle(a, b, r, f"dot {one.color}") for (a, b), r in zip(at, one.dot_radii, strict=True)]
    if len(at) < 2:
        return []
    corner = "H{0:.1f}L{0:.1f} {1:.1f}" if one.is_step else "L{0:.1f} {1:.1f}"
    path = f"M{at[0][0]:.1f} {at[0][1]:.1f}" + "".join(corner.format(a, b) for a, b in at[1:])
    return [Path(path, f"line {one.color}")]


def thin_points(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most 400 of the points, the first and the last among them."""
    if len(points) <= _MAX_POINTS:
        return list(points)
    chosen = np.unique(np.linspace(0, len(points) - 1, _MAX_POINTS).round().astype(int))
    return [points[i] for i in chosen]


def bar_chart(
    bars: Sequence[tuple[str, float, str]],
    *,
    label: str,
    x_name: str,
    y_name: str,
    log_y: bool = False,
    show_values: bool = True,
    every: int = 1,
) -> Drawing:
    """Columns (name, value, colour class), named below; with `every` n only each n-th name is shown."""
    top = max((value for _, value, _ in bars), default=1.0)
    low, high = (0.5, max(10.0, 1.6 * top)) if log_y else (0.0, max(1.0, 1.12 * top))
    x_axis, y_axis = Axis(x_name, 0, max(1, len(bars))), Axis(y_name, low, high, is_log=log_y)
    x, y = _scales(x_axis, y_axis, WIDTH)
    shapes = _frame(x_axis, y_axis, WIDTH)
    width = (x.end - x.start) / max(1, len(bars))
    inner = min(0.72 * width, 46.0) if show_values else width - 1
    for i, (name, value, color) in enumerate(bars):
        middle, height = x(i + 0.5), max(0.0, y.start - y(value)) if value > 0 else 0.0
        title = f"{name}: {value:,.0f}"
        shapes.append(Rect(middle - inner / 2, y.start - height, inner, height, f"fill {color}", title, radius=2))
        if show_values:
            shapes.append(Text(middle, y.start - height - 6, f"{value:,.0f}", "value", "middle"))
        if i % every == 0:
            shapes.append(Text(middle, y.start + 18, name, "tick", "middle"))
    return Drawing(WIDTH, HEIGHT, shapes, label)


def interval_chart(
    rows: Sequence[Interval],
    *,
    label: str,
    reach: tuple[float, float],
    margins: tuple[float, float],
    mark: tuple[float, str] | None,
    tick_text: Callable[[float], str],
) -> Drawing:
    """Horizontal intervals over `reach` (lowest, highest value), with a line at `mark` (value, text).

    `margins` is the room for names on the left and for texts on the right.
    """
    step, (left, right) = 34, margins
    top = 30 if mark and mark[1] else 14
    x = Scale(*reach, left, WIDE - right)
    bottom = top + step * len(rows)
    shapes: list[Shape] = []
    for value in x.ticks():
        if mark is None or abs(value - mark[0]) > 1e-12:
            shapes.append(Line(x(value), x(value), top - 8, bottom + 2, "grid"))
        shapes.append(Text(x(value), bottom + 20, tick_text(value), "tick", "middle"))
    if mark is not None:
        shapes.append(Line(x(mark[0]), x(mark[0]), top - 8, bottom + 2, "mark"))
        shapes.append(Text(x(mark[0]), top - 14, mark[1], "tick", "middle"))
    for i, row in enumerate(rows):
        at = top + step * (i + 0.5)
        shapes.append(Text(left - 14, at + 5, row.name, "row-name", "end"))
        if row.low is not None and row.high is not None:
            start, end = x(row.low), x(min(row.high, x.high))
            shapes.append(Line(start, max(end, start + 2), at, at, f"interval {row.color}"))
        if row.middle is not None:
            shapes.append(Circle(x(min(row.middle, x.high)), at, 5, f"dot {row.color}"))
        shapes.append(Text(WIDE - right + 12, at + 5, row.text, "tick"))
    return Drawing(WIDE, bottom + 26, shapes, label, "chart wide")


def stack_parts(parts: Sequence[tuple[float, str]]) -> list[tuple[float, float, str]]:
    """Start and width in percent, and colour, of (share of the full width, colour class), one after the other."""
    stacked, at = [], 0.0
    for share, color in parts:
        if share > 0:
            stacked.append((at, 100 * share, color))
        at += 100 * share
    return stacked
