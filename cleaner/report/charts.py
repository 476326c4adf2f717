"""Drawings as inline SVG, made of plain shapes; colours come from classes of the page's style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cleaner.report.markup import Safe, tag

WIDTH, HEIGHT = 540, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 68, 22, 14, 44
_MAX_POINTS = 400


@dataclass(frozen=True)
class Series:
    """A line: `points` (x, y) in data units, drawn with the colour class `color`."""

    name: str
    points: Sequence[tuple[float, float]]
    color: str
    is_step: bool = False
    is_line: bool = True
    dots: bool = False
    dot_sizes: Sequence[float] | None = None


@dataclass(frozen=True)
class Scale:
    """From data units to drawing units."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """Where a value is drawn."""
        low, high, value = (
            (math.log10(self.low), math.log10(self.high), math.log10(max(value, self.low)))
            if self.is_log
            else (self.low, self.high, value)
        )
        share = (value - low) / (high - low) if high > low else 0.0
        return self.start + share * (self.end - self.start)

    def ticks(self, *, whole: bool = False) -> list[float]:
        """Round values at which to draw a line; with `whole`, whole numbers only."""
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


def svg(width: float, height: float, *shapes: Safe | list[Safe] | None, label: str, cls: str = "chart") -> Safe:
    """A drawing that fits the width it is given; `label` says to a screen reader what it shows."""
    box = f"0 0 {width:g} {height:g}"
    return tag("svg", tag("title", label), *shapes, viewBox=box, role="img", cls=cls, aria_label=label)


def words_at(x: float, y: float, text: str, cls: str = "", anchor: str = "start") -> Safe:
    """A line of text."""
    return tag("text", text, x=float(x), y=float(y), cls=cls or None, text_anchor=anchor)


def _tick_text(value: float, *, is_share: bool) -> str:
    if is_share:
        return f"{100 * value:.3g} %"
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:g}"


def _frame(x: Scale, y: Scale, x_name: str, y_name: str, shares: tuple[bool, bool], *, x_ticks: bool) -> list[Safe]:
    shapes = []
    for value in y.ticks(whole=not shares[1]):
        at = y(value)
        shapes.append(tag("line", x1=x.start, x2=x.end, y1=at, y2=at, cls="grid"))
        shapes.append(words_at(x.start - 8, at + 4, _tick_text(value, is_share=shares[1]), "tick", "end"))
    for value in x.ticks() if x_ticks else []:
        shapes.append(words_at(x(value), y.start + 18, _tick_text(value, is_share=shares[0]), "tick", "middle"))
    shapes.append(tag("line", x1=x.start, x2=x.end, y1=y.start, y2=y.start, cls="axis"))
    shapes.append(words_at((x.start + x.end) / 2, y.start + 38, x_name, "axis-name", "middle"))
    middle = (y.start + y.end) / 2
    turn = f"rotate(-90 14 {middle:.1f})"
    shapes.append(tag("text", y_name, x=14, y=float(middle), cls="axis-name", text_anchor="middle", transform=turn))
    return shapes


def line_chart(
    series: Sequence[Series],
    *,
    label: str,
    x_name: str,
    y_name: str,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    log_y: bool = False,
    shares: tuple[bool, bool] = (False, False),
    marks: Sequence[Safe] = (),
    width: float = WIDTH,
) -> Safe:
    """Lines over a common ground. `shares`: whether x and y are shares, shown in percent."""
    x, y = axes(x_range, y_range, log_y=log_y, width=width)
    shapes = _frame(x, y, x_name, y_name, shares, x_ticks=True)
    for one in series:
        shapes += _line(one, x, y)
    return svg(width, HEIGHT, shapes, list(marks), label=label, cls="chart" if width == WIDTH else "chart wide")


def axes(
    x_range: tuple[float, float], y_range: tuple[float, float], *, log_y: bool = False, width: float = WIDTH
) -> tuple[Scale, Scale]:
    """The scales of a chart of the usual height."""
    return Scale(*x_range, _LEFT, width - _RIGHT), Scale(*y_range, HEIGHT - _BOTTOM, _TOP, log_y)


def _line(one: Series, x: Scale, y: Scale) -> list[Safe]:
    at = [(x(a), y(b)) for a, b in thin_points(one.points)]
    path = ""
    for i, (a, b) in enumerate(at):
        corner = f"H{a:.1f}" if one.is_step and i else ""
        path += f"M{a:.1f} {b:.1f}" if i == 0 else f"{corner}L{a:.1f} {b:.1f}"
    shapes = [tag("path", d=path, cls=f"line {one.color}")] if one.is_line and len(at) > 1 else []
    if one.dots:
        sizes = one.dot_sizes or [4.0] * len(at)
        shapes += [
            tag("circle", cx=float(a), cy=float(b), r=float(r), cls=f"dot {one.color}")
            for (a, b), r in zip(at, sizes, strict=True)
        ]
    return shapes


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
) -> Safe:
    """Columns (name, value, colour class), named below; with `every` n only each n-th has its name shown."""
    top = max((value for _, value, _ in bars), default=1.0)
    y_range = (0.5, max(10.0, 1.6 * top)) if log_y else (0.0, max(1.0, 1.12 * top))
    x, y = axes((0, max(1, len(bars))), y_range, log_y=log_y)
    shapes = _frame(x, y, x_name, y_name, (False, False), x_ticks=False)
    width = (x.end - x.start) / max(1, len(bars))
    inner = min(0.72 * width, 46.0) if show_values else width - 1
    for i, (name, value, color) in enumerate(bars):
        middle, height = x(i + 0.5), max(0.0, y.start - y(value)) if value > 0 else 0.0
        shapes.append(
            tag("rect", tag("title", f"{name}: {value:,.0f}"), x=float(middle - inner / 2), y=float(y.start - height),
                width=float(inner), height=float(height), rx=2, cls=f"fill {color}")
        )  # fmt: skip
        if show_values:
            shapes.append(words_at(middle, y.start - height - 6, f"{value:,.0f}", "value", "middle"))
        if i % every == 0:
            shapes.append(words_at(middle, y.start + 18, name, "tick", "middle"))
    return svg(WIDTH, HEIGHT, shapes, label=label)


def interval_chart(
    rows: Sequence[tuple[str, float | None, float, float, str]], *, label: str, mark: float | None = None
) -> Safe:
    """Horizontal intervals (name, share, low, high, colour class) in 0 .. 1, with a line at `mark`."""
    width, step, left, right, top = 1080, 34, 250, 150, 30
    highest = max([2.5 * (mark or 0), *(high for _, share, _, high, _ in rows if share is not None), 0.02])
    x = Scale(0, min(1.0, 1.05 * highest), left, width - right)
    height = top + step * len(rows) + 26
    shapes = []
    for value in x.ticks():
        shapes.append(tag("line", x1=x(value), x2=x(value), y1=top - 8, y2=height - 24, cls="grid"))
        shapes.append(words_at(x(value), height - 6, _tick_text(value, is_share=True), "tick", "middle"))
    if mark is not None:
        shapes.append(tag("line", x1=x(mark), x2=x(mark), y1=top - 8, y2=height - 24, cls="mark"))
        shapes.append(words_at(x(mark), top - 14, f"goal {100 * mark:g} %", "tick", "middle"))
    for i, (name, share, low, high, color) in enumerate(rows):
        at = top + step * (i + 0.5)
        ends = x(low), x(min(high, x.high))
        shapes.append(words_at(left - 14, at + 5, name, "row-name", "end"))
        shapes.append(tag("line", x1=ends[0], x2=max(ends[1], ends[0] + 2), y1=at, y2=at, cls=f"interval {color}"))
        if share is not None:
            shapes.append(tag("circle", cx=x(min(share, x.high)), cy=at, r=5, cls=f"dot {color}"))
        text = "not looked at" if share is None else f"{100 * low:.1f} – {100 * high:.1f} %"
        text = f"{100 * low:.1f} %, all seen" if low == high else text
        shapes.append(words_at(width - right + 12, at + 5, text, "tick"))
    return svg(width, height, shapes, label=label, cls="chart wide")


def legend(entries: Sequence[tuple[str, str]]) -> Safe:
    """Names of colours: (name, colour class)."""
    return tag(
        "p",
        [
            tag("span", tag("svg", tag("rect", width=12, height=12, rx=3, cls=f"fill {c}"), viewBox="0 0 12 12"), name)
            for name, c in entries
        ],
        cls="legend",
    )  # fmt: skip


def mini_bar(parts: Sequence[tuple[float, str]]) -> Safe:
    """A bar in a table: (share of the full width, colour class), one after the other."""
    shapes, at = [], 0.0
    for share, color in parts:
        if share > 0:
            shapes.append(tag("rect", x=float(at), width=float(100 * share), height=8, cls=f"fill {color}"))
        at += 100 * share
    return tag("svg", shapes, viewBox="0 0 100 8", preserveAspectRatio="none", cls="mini", aria_hidden="true")
