"""Made things: cars, cups, houses, balls, clocks, a lighthouse and one-off shapes."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image
from scenery import Colour, Pen, Point, Rng, any_colour, hsv, shade, tint

GLASS: Colour = (150, 185, 205)


def _wheels(pen: Pen, places: tuple[float, ...], radius: float) -> None:
    """Wheels on the ground line."""
    for x in places:
        pen.oval(x, 0.45, radius, radius, (25, 25, 28))
        pen.oval(x, 0.45, radius * 0.55, radius * 0.55, (185, 185, 190))
        for turn in range(5):
            angle = turn * 2 * math.pi / 5
            pen.line(
                [(x, 0.45), (x + math.cos(angle) * radius * 0.5, 0.45 + math.sin(angle) * radius * 0.5)],
                (90, 90, 95),
                0.03,
            )


def car_sedan(rng: Rng) -> Image.Image:
    """Low car with bonnet, rounded cabin and boot."""
    pen, paint = Pen(rng), any_colour(rng)
    roof = rng.uniform(0.32, 0.42)
    pen.blob([(-0.55, 0.0), (-0.32, -roof), (0.25, -roof), (0.58, 0.0), (0.0, 0.08)], paint)
    pen.blob(
        [
            (-0.97, 0.12),
            (-0.88, 0.0),
            (-0.4, -0.06),
            (0.55, -0.04),
            (0.92, 0.04),
            (0.97, 0.3),
            (0.9, 0.42),
            (-0.9, 0.42),
        ],
        paint,
    )
    for ring in (
        [(-0.44, -0.02), (-0.27, -roof + 0.08), (-0.05, -roof + 0.07), (-0.05, -0.02)],
        [(0.02, -0.02), (0.02, -roof + 0.07), (0.2, -roof + 0.08), (0.44, -0.02)],
    ):
        pen.poly(ring, GLASS)
    pen.line([(-0.92, 0.2), (0.92, 0.2)], shade(paint, 0.6), 0.03)
    pen.line([(-0.01, 0.0), (0.0, 0.38)], shade(paint, 0.6), 0.02)
    pen.box(-0.97, 0.1, -0.88, 0.18, (250, 240, 180), 0.03)
    pen.box(0.88, 0.1, 0.97, 0.18, (200, 30, 30), 0.03)
    _wheels(pen, (-0.58, 0.58), 0.2)
    return pen.image


def car_van(rng: Rng) -> Image.Image:
    """Tall box-shaped van with a row of side windows."""
    pen, paint = Pen(rng), any_colour(rng)
    top = rng.uniform(0.52, 0.66)
    pen.poly(
        [
            (-0.95, 0.42),
            (-0.95, 0.05),
            (-0.72, -top + 0.06),
            (-0.64, -top),
            (0.9, -top),
            (0.95, -top + 0.06),
            (0.95, 0.42),
        ],
        paint,
    )
    pen.box(-0.95, 0.0, 0.95, 0.16, shade(paint, 1.55))
    pen.poly([(-0.84, -0.1), (-0.68, -top + 0.12), (-0.45, -top + 0.12), (-0.45, -0.1)], GLASS)
    for left in (-0.36, 0.08, 0.52):
        pen.box(left, -top + 0.12, left + 0.36, -0.1, GLASS, 0.04)
    pen.line([(-0.4, -top + 0.05), (-0.4, 0.4)], shade(paint, 0.6), 0.02)
    pen.line([(0.05, -top + 0.05), (0.05, 0.4)], shade(paint, 0.6), 0.02)
    pen.oval(-0.9, 0.22, 0.05, 0.07, (250, 240, 180))
    pen.box(0.88, 0.1, 0.96, 0.28, (200, 30, 30))
    _wheels(pen, (-0.55, 0.55), 0.19)
    return pen.image


def cup_mug(rng: Rng) -> Image.Image:
    """Tall straight mug with a big handle and a band."""
    pen, glaze = Pen(rng), any_colour(rng)
    wide = rng.uniform(0.42, 0.52)
    pen.oval(wide + 0.1, 0.05, 0.32, 0.4, shade(glaze, 0.8))
    hole = Image.new("L", pen.image.size, 255)
    eraser = Pen(rng)
    eraser.oval(wide + 0.1, 0.05, 0.2, 0.28, (0, 0, 0))
    hole.paste(0, (0, 0), eraser.image.getchannel("A"))
    pen.image.paste((0, 0, 0, 0), (0, 0), hole.point(lambda v: 255 - v))
    pen.box(-wide, -0.62, wide, 0.75, glaze, 0.12)
    band = rng.uniform(-0.2, 0.3)
    pen.box(-wide, band, wide, band + rng.uniform(0.1, 0.3), any_colour(rng))
    pen.oval(0, -0.62, wide, 0.16, shade(glaze, 1.3))
    pen.oval(0, -0.6, wide * 0.9, 0.12, hsv(0.07, 0.7, rng.uniform(0.2, 0.45)))
    return pen.image


def cup_teacup(rng: Rng) -> Image.Image:
    """Low flaring cup on a saucer, with a small handle."""
    pen, glaze = Pen(rng), any_colour(rng)
    pen.oval(0, 0.55, 0.95, 0.24, shade(glaze, 0.85))
    pen.oval(0, 0.52, 0.9, 0.2, shade(glaze, 1.2))
    pen.oval(0, 0.52, 0.45, 0.1, shade(glaze, 0.8))
    pen.line([(0.5, -0.2), (0.78, -0.25), (0.82, -0.02), (0.6, 0.15), (0.4, 0.2)], shade(glaze, 0.8), 0.07)
    pen.blob([(-0.68, -0.32), (-0.58, 0.1), (-0.3, 0.42), (0.3, 0.42), (0.58, 0.1), (0.68, -0.32), (0.0, -0.3)], glaze)
    accent = any_colour(rng)
    for x in np.linspace(-0.45, 0.45, 5):
        y = 0.02 - 0.12 * x * x
        pen.oval(x, y, 0.07, 0.07, accent)
        pen.oval(x, y, 0.03, 0.03, (250, 240, 200))
    pen.oval(0, -0.33, 0.68, 0.17, shade(glaze, 1.3))
    pen.oval(0, -0.31, 0.6, 0.12, hsv(rng.uniform(0.05, 0.1), 0.75, rng.uniform(0.4, 0.65)))
    return pen.image


def _windows(pen: Pen, left: float, right: float, rows: list[float], count: int) -> None:
    """Rows of windows with cross bars."""
    step = (right - left) / count
    for y in rows:
        for x in np.arange(left + step / 2, right, step):
            pen.box(x - 0.09, y - 0.1, x + 0.09, y + 0.1, (240, 240, 235))
            pen.box(x - 0.07, y - 0.08, x + 0.07, y + 0.08, (70, 90, 120))
            pen.line([(x, y - 0.09), (x, y + 0.09)], (240, 240, 235), 0.02)


def house_gable(rng: Rng) -> Image.Image:
    """House with a steep tiled roof and a chimney."""
    pen, wall, roof = Pen(rng), any_colour(rng), tint(rng, 0.03, 0.04, 0.6, 0.55)
    peak = rng.uniform(0.8, 0.95)
    pen.box(0.3, -peak + 0.05, 0.48, -0.2, shade(roof, 0.7))
    pen.box(-0.72, -0.1, 0.72, 0.9, wall)
    pen.poly([(-0.9, -0.05), (0.0, -peak), (0.9, -0.05)], roof)
    for y in np.arange(-peak + 0.12, -0.08, 0.12):
        reach = 0.88 * (y + peak) / (peak - 0.05)
        pen.line([(-reach, y), (reach, y)], shade(roof, 0.75), 0.02)
    pen.oval(0, -0.3, 0.1, 0.1, (80, 95, 120))
    _windows(pen, -0.7, 0.7, [0.15], 3)
    _windows(pen, 0.0, 0.7, [0.55], 2)
    pen.box(-0.5, 0.42, -0.22, 0.9, tint(rng, 0.07, 0.05, 0.6, 0.4))
    return pen.image


def house_flat(rng: Rng) -> Image.Image:
    """Block of flats: flat roof, rows of windows and balconies."""
    pen, wall = Pen(rng), any_colour(rng)
    wide = rng.uniform(0.6, 0.78)
    pen.box(-wide - 0.06, -0.85, wide + 0.06, -0.74, shade(wall, 0.6))
    pen.box(-wide, -0.74, wide, 0.92, wall)
    rows = [-0.52, -0.14, 0.24]
    for y in rows:
        pen.box(-wide, y + 0.13, wide, y + 0.17, shade(wall, 0.72))
    _windows(pen, -wide + 0.05, wide - 0.05, rows, 4)
    pen.box(-0.18, 0.5, 0.18, 0.92, (60, 75, 95))
    pen.line([(0, 0.5), (0, 0.92)], (220, 220, 220), 0.03)
    pen.line([(wide * 0.6, -0.85), (wide * 0.6, -0.98)], (60, 60, 60), 0.03)
    return pen.image


def ball_soccer(rng: Rng) -> Image.Image:
    """White ball with dark pentagons and seams."""
    pen, marks = Pen(rng), Pen(rng)
    white = tint(rng, rng.random(), 0.0, 0.1, 0.95)
    pen.oval(0, 0, 0.9, 0.9, white)
    dark, turn, x, y = tint(rng, rng.random(), 0.1, 0.4, 0.2), rng.random() * 6.3, *rng.uniform(-0.12, 0.12, 2)
    corners = [(turn + 2 * math.pi * step / 5) for step in range(5)]

    def at(angle: float, reach: float) -> Point:
        return x + math.cos(angle) * reach, y + math.sin(angle) * reach

    marks.poly([at(angle, 0.3) for angle in corners], dark)
    for angle in corners:
        marks.line([at(angle, 0.3), at(angle, 0.6)], dark, 0.03)
        marks.poly(
            [
                at(angle, 0.58),
                at(angle + 0.28, 0.74),
                at(angle + 0.22, 1.1),
                at(angle - 0.22, 1.1),
                at(angle - 0.28, 0.74),
            ],
            dark,
        )
        marks.line(
            [at(angle + 0.28, 0.74), at(angle + 2 * math.pi / 10, 0.66), at(angle + 2 * math.pi / 5 - 0.28, 0.74)],
            dark,
            0.03,
        )
    pen.clip(marks)
    return pen.image


def ball_basketball(rng: Rng) -> Image.Image:
    """Orange ball with four curved seams."""
    pen, marks = Pen(rng), Pen(rng)
    pen.oval(0, 0, 0.9, 0.9, tint(rng, 0.06, 0.02, 0.8, 0.8))
    for _ in range(150):
        marks.oval(rng.uniform(-0.9, 0.9), rng.uniform(-0.9, 0.9), 0.012, 0.012, (120, 60, 20))
    dark, turn, bend = (30, 22, 20), rng.random() * 6.3, rng.uniform(0.3, 0.5)
    arcs = [[(t, 0.0) for t in np.linspace(-1, 1, 15)], [(0.0, t) for t in np.linspace(-1, 1, 15)]]
    for side in (-1, 1):
        arcs.append([(side * (bend + 0.55 * t * t), float(t)) for t in np.linspace(-1, 1, 15)])
    for arc in arcs:
        cos, sin = math.cos(turn), math.sin(turn)
        marks.line([(px * cos - py * sin, px * sin + py * cos) for px, py in arc], dark, 0.055)
    pen.clip(marks)
    return pen.image


def _dial(pen: Pen, x: float, y: float, radius: float) -> None:
    """Clock face with ticks and two hands at a random time."""
    rng = pen.rng
    pen.oval(x, y, radius, radius, tint(rng, 0.12, 0.05, 0.1, 0.93))
    ink = (30, 30, 35)
    for hour in range(12):
        angle = hour * math.pi / 6
        inner = 0.78 if hour % 3 else 0.68
        ends = [(x + math.sin(angle) * radius * share, y + math.cos(angle) * radius * share) for share in (inner, 0.9)]
        pen.line(ends, ink, 0.035 if hour % 3 else 0.06)
    for reach, width in ((0.5, 0.06), (0.75, 0.035)):
        angle = rng.random() * 6.3
        pen.line([(x, y), (x + math.cos(angle) * radius * reach, y + math.sin(angle) * radius * reach)], ink, width)
    pen.oval(x, y, 0.05, 0.05, tint(rng, 0.0, 0.02, 0.7, 0.6))


def clock_wall(rng: Rng) -> Image.Image:
    """Large round clock with a plain rim."""
    pen, rim = Pen(rng), any_colour(rng)
    pen.oval(0, 0, 0.95, 0.95, rim)
    pen.oval(0, 0, 0.86, 0.86, shade(rim, 0.7))
    _dial(pen, 0, 0, rng.uniform(0.74, 0.82))
    return pen.image


def clock_alarm(rng: Rng) -> Image.Image:
    """Round clock with two bells on top and two feet."""
    pen, rim = Pen(rng), any_colour(rng)
    metal = shade(rim, rng.uniform(0.6, 1.3))
    for side in (-1, 1):
        pen.line([(side * 0.3, 0.6), (side * 0.55, 0.95)], shade(rim, 0.6), 0.12)
        pen.line([(side * 0.3, -0.35), (side * 0.42, -0.6)], (60, 60, 60), 0.06)
        pen.oval(side * 0.46, -0.66, 0.33, 0.2, metal, side * 0.6)
        pen.oval(side * 0.52, -0.72, 0.14, 0.06, shade(metal, 1.5), side * 0.6)
    pen.line([(0, -0.5), (0, -0.85)], (70, 70, 70), 0.06)
    pen.oval(0, -0.88, 0.08, 0.06, (70, 70, 70))
    pen.oval(0, 0.12, 0.72, 0.72, rim)
    _dial(pen, 0, 0.12, rng.uniform(0.56, 0.62))
    return pen.image


def lighthouse(rng: Rng) -> Image.Image:
    """Red and white tower with a lantern, on a rock."""
    pen, red = Pen(rng), tint(rng, 0.0, 0.01, 0.8, 0.75)
    pen.blob([(-0.6, 0.95), (-0.5, 0.75), (-0.1, 0.68), (0.45, 0.74), (0.6, 0.95)], (105, 100, 95))
    tower, bands = Pen(rng), Pen(rng)
    tower.poly([(-0.19, -0.5), (0.19, -0.5), (0.3, 0.8), (-0.3, 0.8)], (240, 238, 232))
    for y in (-0.5, 0.02, 0.54):
        bands.box(-0.5, y, 0.5, y + 0.26, red)
    tower.clip(bands)
    pen.image.paste(tower.image, (0, 0), tower.image)
    for y in (-0.1, 0.42):
        pen.box(-0.04, y - 0.07, 0.04, y + 0.05, (40, 50, 70), 0.03)
    pen.box(-0.26, -0.56, 0.26, -0.5, (50, 50, 55))
    pen.box(-0.13, -0.76, 0.13, -0.56, (250, 235, 150))
    for x in (-0.13, 0.0, 0.12):
        pen.line([(x, -0.76), (x, -0.56)], (50, 50, 55), 0.02)
    pen.blob([(-0.18, -0.75), (0.0, -0.96), (0.18, -0.75)], red)
    return pen.image


def spiky(rng: Rng) -> Image.Image:
    """A one-off object: a star, cog, ring, ladder or heap of beads, for the jumbled class."""
    pen, kind = Pen(rng), int(rng.integers(5))
    main, other = any_colour(rng), any_colour(rng)
    count = int(rng.integers(5, 14))
    turns = [2 * math.pi * step / (2 * count) for step in range(2 * count)]
    if kind in (0, 1):
        inner = rng.uniform(0.25, 0.75)
        reach = [0.9 if step % 2 else inner for step in range(2 * count)]
        ring = [(math.cos(t) * r, math.sin(t) * r) for t, r in zip(turns, reach, strict=True)]
        (pen.poly if kind else pen.blob)(ring, main)
        pen.oval(0, 0, inner * 0.5, inner * 0.5, other)
    elif kind == 2:
        for step in range(60):
            t = step / 60
            pen.oval(math.cos(t * count) * t * 0.8, math.sin(t * count) * t * 0.8, 0.1, 0.1, shade(main, 0.5 + t / 2))
    elif kind == 3:
        for x in (-0.4, 0.4):
            pen.line([(x, -0.95), (x * 1.3, 0.95)], main, 0.1)
        for y in np.linspace(-0.8, 0.8, count):
            pen.line([(-0.45, y), (0.45, y)], other, 0.08)
    else:
        for _ in range(count * 3):
            radius = rng.uniform(0.1, 0.3)
            pen.oval(rng.uniform(-0.65, 0.65), rng.uniform(-0.65, 0.65), radius, radius, any_colour(rng))
    return pen.image
