"""Living things: butterflies, fish, flowers, mushrooms, birds and trees, in pairs that look alike.

Every function draws on a fresh layer and returns it; the random generator varies colour and proportions.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from PIL import Image
from scenery import Pen, Point, Rng, hsv, shade, tint


def _butterfly_wings(pen: Pen, grow: float) -> tuple[list[Point], list[Point]]:
    """Outline of the left fore and hind wing."""
    rng = pen.rng
    a, b = rng.uniform(0.8, 1.0, 2)
    fore = [(-0.04, -0.15), (-0.35, -0.62 * a), (-0.85, -0.85 * a), (-0.95 * b, -0.5), (-0.75 * b, -0.05), (-0.3, 0.08)]
    hind = [(-0.04, 0.0), (-0.4, 0.02), (-0.78 * b, 0.2), (-0.72 * b, 0.62 * a), (-0.4, 0.82 * a), (-0.15, 0.5)]
    centre = np.array([[-0.5, -0.35], [-0.45, 0.35]])
    wings = []
    for ring, middle in zip((fore, hind), centre, strict=True):
        points = (np.array(ring) - middle) * grow + middle
        wings.append([(float(x), float(y)) for x, y in points])
    return wings[0], wings[1]


def _butterfly_body(pen: Pen) -> None:
    """Body, head and feelers."""
    dark = hsv(pen.rng.uniform(0, 0.1), 0.4, 0.16)
    pen.oval(0, 0.08, 0.055, 0.5, dark)
    pen.oval(0, -0.42, 0.08, 0.08, dark)
    for side in (-1, 1):
        pen.line([(0, -0.45), (side * 0.1, -0.7), (side * 0.24, -0.85)], dark, 0.025)
        pen.oval(side * 0.24, -0.85, 0.03, 0.03, dark)


def butterfly_monarch(rng: Rng) -> Image.Image:
    """Orange wings with black veins and a black rim with white dots."""
    pen = Pen(rng)
    fill, rim = tint(rng, 0.07, 0.035, 0.85, 0.88), hsv(0.05, 0.4, 0.12)
    fore, hind = _butterfly_wings(pen, 1.0)
    for ring, root in ((hind, (-0.08, 0.1)), (fore, (-0.08, -0.1))):
        pen.blob(ring, rim)
        middle = np.mean(ring, axis=0)
        inner = [(float(x), float(y)) for x, y in (np.array(ring) - middle) * 0.8 + middle + [0.03, 0.0]]
        pen.blob(inner, fill)
        for x, y in inner[1:]:
            pen.line([root, (x, y)], rim, 0.035)
        outline = [(float(x), float(y)) for x, y in (np.array(ring) - middle) * 0.9 + middle]
        for (x0, y0), (x1, y1) in pairwise(outline[1:]):
            for share in (0.0, 0.35, 0.7):
                pen.oval(x0 + (x1 - x0) * share, y0 + (y1 - y0) * share, 0.026, 0.026, (245, 240, 230))
    pen.mirror()
    _butterfly_body(pen)
    return pen.image


def butterfly_peacock(rng: Rng) -> Image.Image:
    """Rust-red wings, each with one big eye spot."""
    pen = Pen(rng)
    fill, rim = tint(rng, 0.03, 0.04, 0.8, 0.68), tint(rng, 0.08, 0.02, 0.4, 0.35)
    fore, hind = _butterfly_wings(pen, 1.0)
    for ring in (hind, fore):
        pen.blob(ring, rim)
        middle = np.mean(ring, axis=0)
        pen.blob([(float(x), float(y)) for x, y in (np.array(ring) - middle) * 0.88 + middle], fill)
    eye = tint(rng, 0.6, 0.05, 0.6, 0.75)
    for x, y in ((-0.68, -0.45), (-0.55, 0.4)):
        for radius, colour in ((0.21, (240, 215, 140)), (0.17, (35, 25, 35)), (0.1, eye), (0.04, (250, 250, 250))):
            pen.oval(x, y, radius, radius * 0.9, colour)
    pen.mirror()
    _butterfly_body(pen)
    return pen.image


def _fish(rng: Rng) -> tuple[Pen, Pen]:
    """A fish without pattern, and an empty layer for the pattern."""
    pen = Pen(rng)
    base = tint(rng, rng.choice([0.1, 0.55, 0.0, 0.13]), 0.04, 0.65, 0.8)
    fin, tall = shade(base, 0.72), rng.uniform(0.36, 0.52)
    pen.blob([(0.5, 0), (0.9, -0.42), (0.82, 0), (0.9, 0.42)], fin)
    pen.blob([(-0.3, -tall * 0.8), (0.0, -tall - 0.28), (0.4, -tall * 0.7), (0.2, -tall * 0.4)], fin)
    pen.blob([(-0.1, tall * 0.8), (0.15, tall + 0.22), (0.3, tall * 0.6)], fin)
    pen.blob(
        [
            (-0.9, 0.02),
            (-0.6, -tall * 0.75),
            (-0.1, -tall),
            (0.4, -0.2),
            (0.62, 0),
            (0.4, 0.2),
            (-0.1, tall),
            (-0.6, tall * 0.7),
        ],
        base,
    )
    return pen, Pen(rng)


def _fish_face(pen: Pen) -> Image.Image:
    """Eye, mouth, gill and side fin, drawn last."""
    pen.oval(-0.62, -0.1, 0.09, 0.09, (250, 250, 240))
    pen.oval(-0.63, -0.1, 0.05, 0.05, (10, 10, 10))
    pen.line([(-0.88, 0.06), (-0.74, 0.1)], (60, 30, 30), 0.03)
    pen.line([(-0.42, -0.22), (-0.36, 0.0), (-0.42, 0.22)], (70, 50, 40), 0.03)
    pen.blob([(-0.2, 0.05), (0.1, 0.12), (0.05, 0.3)], tint(pen.rng, 0.1, 0.1, 0.5, 0.6))
    return pen.image


def fish_striped(rng: Rng) -> Image.Image:
    """Fish with upright dark and white bars."""
    pen, marks = _fish(rng)
    colour = rng.choice([0, 1])
    for x in np.arange(-0.45, 0.55, rng.uniform(0.2, 0.26)):
        bow = rng.uniform(0.0, 0.08)
        wide = rng.uniform(0.08, 0.12)
        marks.line([(x + 0.03, -0.9), (x + bow, 0), (x + 0.03, 0.9)], (20, 20, 40) if colour else (245, 245, 240), wide)
    pen.clip(marks)
    return _fish_face(pen)


def fish_dotted(rng: Rng) -> Image.Image:
    """Fish with dark or white round spots."""
    pen, marks = _fish(rng)
    colour = (20, 20, 40) if rng.random() < 0.5 else (245, 245, 240)
    step = rng.uniform(0.17, 0.22)
    for row, y in enumerate(np.arange(-0.6, 0.6, step)):
        for x in np.arange(-0.45, 0.95, step):
            radius = rng.uniform(0.045, 0.07)
            marks.oval(x + row % 2 * step / 2 + rng.normal(0, 0.012), y + rng.normal(0, 0.012), radius, radius, colour)
    pen.clip(marks)
    return _fish_face(pen)


def _stalk(pen: Pen) -> None:
    """Stalk and two leaves."""
    green = tint(pen.rng, 0.3, 0.05, 0.6, 0.5)
    bend = pen.rng.uniform(-0.15, 0.15)
    pen.line([(0, -0.2), (bend, 0.4), (bend * 1.5, 0.98)], green, 0.06)
    for side in (-1, 1):
        y = pen.rng.uniform(0.6, 0.8)
        pen.blob(
            [(bend, y), (side * 0.22 + bend, y - 0.16), (side * 0.5 + bend, y - 0.1), (side * 0.22 + bend, y)], green
        )


def flower_daisy(rng: Rng) -> Image.Image:
    """Many narrow light petals round a yellow disc."""
    pen = Pen(rng)
    _stalk(pen)
    petal = rng.choice([0.12, 0.85, 0.6])
    colour = tint(rng, petal, 0.05, 0.2, 0.92)
    count, y = int(rng.integers(15, 23)), -0.28
    for step in range(count):
        angle = 2 * math.pi * step / count + rng.normal(0, 0.04)
        reach = rng.uniform(0.36, 0.42)
        tone = shade(colour, rng.uniform(0.82, 1.0))
        pen.oval(math.cos(angle) * reach, y + math.sin(angle) * reach, 0.27, 0.06, tone, angle)
    pen.oval(0, y, 0.2, 0.19, tint(rng, 0.13, 0.02, 0.85, 0.85))
    for _ in range(40):
        angle, reach = rng.random() * 6.3, rng.random() * 0.16
        pen.oval(math.cos(angle) * reach, y + math.sin(angle) * reach, 0.02, 0.02, tint(rng, 0.1, 0.02, 0.9, 0.6))
    return pen.image


def flower_pansy(rng: Rng) -> Image.Image:
    """Five wide round petals with a dark heart."""
    pen = Pen(rng)
    _stalk(pen)
    colour, y = tint(rng, rng.choice([0.77, 0.13, 0.6, 0.95]), 0.04, 0.55, 0.8), -0.28
    turn = rng.uniform(-0.15, 0.15)
    for step, grow in ((1, 1.0), (4, 1.0), (0, 1.0), (2, 1.05), (3, 1.05)):
        angle = -math.pi / 2 + turn + 2 * math.pi * step / 5
        x, z = math.cos(angle) * 0.33, y + math.sin(angle) * 0.33
        tone = shade(colour, rng.uniform(0.75, 1.05))
        pen.oval(x, z, 0.33 * grow, 0.3 * grow, shade(tone, 0.75), angle)
        pen.oval(x, z, 0.3 * grow, 0.27 * grow, tone, angle)
        for spread in (-0.3, 0.0, 0.3):
            pen.line(
                [(0, y), (math.cos(angle + spread) * 0.33, y + math.sin(angle + spread) * 0.33)], (45, 15, 50), 0.035
            )
    pen.oval(0, y, 0.09, 0.09, (240, 200, 60))
    return pen.image


def _mushroom(rng: Rng, stem: float) -> Pen:
    """Foot of a mushroom, with a little moss."""
    pen = Pen(rng)
    pale = tint(rng, 0.11, 0.02, 0.22, 0.88)
    pen.blob(
        [(-stem, -0.1), (-stem * 1.1, 0.4), (-stem * 1.5, 0.85), (stem * 1.5, 0.85), (stem * 1.1, 0.4), (stem, -0.1)],
        pale,
    )
    for x in np.linspace(-stem, stem, 6)[1:-1]:
        pen.line([(x, 0.0), (x * 1.2, 0.75)], shade(pale, 0.86), 0.02)
    for _ in range(16):
        x = rng.uniform(-0.5, 0.5)
        pen.line([(x, 0.92), (x + rng.normal(0, 0.05), rng.uniform(0.65, 0.8))], tint(rng, 0.27, 0.05, 0.6, 0.5), 0.035)
    return pen


def mushroom_toadstool(rng: Rng) -> Image.Image:
    """Red cap with white warts and a ring on a slim stem."""
    pen = _mushroom(rng, rng.uniform(0.13, 0.18))
    tall, cap = rng.uniform(0.7, 0.95), tint(rng, 0.0, 0.03, 0.85, 0.8)
    pen.blob([(-0.25, 0.2), (0.0, 0.28), (0.25, 0.2), (0.18, 0.08), (-0.18, 0.08)], (240, 235, 220))
    ring = [
        (-0.85, 0.0),
        (-0.7, -tall * 0.6),
        (-0.25, -tall),
        (0.25, -tall),
        (0.7, -tall * 0.6),
        (0.85, 0.0),
        (0.0, 0.12),
    ]
    pen.blob(ring, cap)
    dots = Pen(rng)
    for _ in range(26):
        radius = rng.uniform(0.04, 0.1)
        dots.oval(rng.uniform(-0.8, 0.8), rng.uniform(-tall, 0.0), radius, radius * 0.75, (245, 240, 230))
    pen.clip(dots)
    return pen.image


def mushroom_bolete(rng: Rng) -> Image.Image:
    """Plain brown cap on a thick stem, sponge below."""
    pen = _mushroom(rng, rng.uniform(0.24, 0.34))
    tall, cap = rng.uniform(0.6, 0.85), tint(rng, 0.06, 0.02, 0.6, 0.5)
    pen.blob(
        [(-0.8, 0.0), (0.0, -0.15), (0.8, 0.0), (0.5, 0.14), (0.0, 0.18), (-0.5, 0.14)], tint(rng, 0.14, 0.02, 0.5, 0.8)
    )
    ring = [
        (-0.87, 0.02),
        (-0.75, -tall * 0.6),
        (-0.3, -tall),
        (0.3, -tall),
        (0.75, -tall * 0.6),
        (0.87, 0.02),
        (0.0, 0.0),
    ]
    pen.blob(ring, cap)
    pen.oval(-0.3, -tall * 0.65, 0.28, 0.1, shade(cap, 1.25), -0.4)
    return pen.image


def _bird(rng: Rng, back: tuple[int, int, int], belly: tuple[int, int, int]) -> Pen:
    """A perched song bird seen from the side."""
    pen = Pen(rng)
    pen.line([(-0.95, 0.78), (0.95, 0.74 + rng.uniform(-0.1, 0.1))], tint(rng, 0.08, 0.02, 0.5, 0.35), 0.09)
    for x in (-0.05, 0.1):
        pen.line([(x, 0.45), (x - 0.04, 0.78)], (70, 50, 40), 0.035)
    down = rng.uniform(0.1, 0.45)
    pen.poly([(0.3, 0.05), (0.95, down), (0.9, down + 0.14), (0.3, 0.32)], shade(back, 0.7))
    pen.blob([(-0.45, -0.3), (-0.05, -0.32), (0.42, 0.05), (0.4, 0.35), (0.05, 0.55), (-0.35, 0.4), (-0.5, 0.05)], back)
    pen.blob([(-0.47, -0.2), (-0.25, 0.0), (0.1, 0.3), (0.05, 0.54), (-0.33, 0.42), (-0.5, 0.1)], belly)
    pen.oval(-0.35, -0.45, 0.29, 0.27, back)
    return pen


def _bird_wing(pen: Pen, colour: tuple[int, int, int]) -> None:
    """Folded wing with feather lines."""
    pen.blob([(-0.15, -0.15), (0.2, -0.15), (0.62, 0.2), (0.3, 0.28), (-0.05, 0.15)], colour)
    for shift in (0.0, 0.09, 0.18):
        pen.line([(0.0 + shift, 0.12), (0.5 + shift * 0.3, 0.2)], shade(colour, 0.65), 0.025)


def bird_robin(rng: Rng) -> Image.Image:
    """Brown bird with an orange-red face and breast."""
    red, back = tint(rng, 0.04, 0.02, 0.9, 0.85), tint(rng, 0.09, 0.02, 0.4, 0.45)
    pen = _bird(rng, back, tint(rng, 0.1, 0.03, 0.15, 0.85))
    pen.blob([(-0.6, -0.5), (-0.35, -0.58), (-0.2, -0.3), (-0.1, 0.0), (-0.2, 0.25), (-0.48, 0.12)], red)
    pen.poly([(-0.6, -0.5), (-0.8, -0.42), (-0.6, -0.38)], (60, 45, 35))
    _bird_wing(pen, shade(back, 0.85))
    pen.oval(-0.45, -0.52, 0.05, 0.05, (5, 5, 5))
    pen.oval(-0.46, -0.53, 0.015, 0.015, (255, 255, 255))
    return pen.image


def bird_bluetit(rng: Rng) -> Image.Image:
    """Blue cap, white cheeks with a dark mask line, yellow belly."""
    blue, back = tint(rng, 0.59, 0.02, 0.7, 0.75), tint(rng, 0.28, 0.04, 0.3, 0.55)
    pen = _bird(rng, back, tint(rng, 0.15, 0.015, 0.75, 0.9))
    pen.oval(-0.36, -0.44, 0.28, 0.25, (240, 240, 240))
    pen.blob([(-0.6, -0.58), (-0.4, -0.75), (-0.12, -0.6), (-0.3, -0.56)], blue)
    pen.line([(-0.64, -0.44), (-0.45, -0.46), (-0.1, -0.42)], (25, 30, 60), 0.06)
    pen.blob([(-0.5, -0.2), (-0.3, -0.22), (-0.1, -0.35), (-0.15, -0.15), (-0.4, -0.1)], (25, 30, 60))
    pen.poly([(-0.61, -0.48), (-0.76, -0.42), (-0.61, -0.38)], (50, 50, 55))
    _bird_wing(pen, blue)
    pen.line([(-0.02, 0.02), (0.2, 0.1)], (240, 240, 240), 0.05)
    pen.oval(-0.45, -0.47, 0.045, 0.045, (5, 5, 5))
    return pen.image


def tree_fir(rng: Rng) -> Image.Image:
    """Layers of drooping dark green boughs."""
    pen = Pen(rng)
    pen.box(-0.07, 0.6, 0.07, 0.98, tint(rng, 0.07, 0.02, 0.5, 0.35))
    green, wide = tint(rng, 0.37, 0.04, 0.55, 0.4), rng.uniform(0.5, 0.72)
    layers = int(rng.integers(5, 8))
    for step in range(layers, 0, -1):
        share = step / layers
        base = -0.98 + 1.72 * share
        top, reach = base - 0.62, wide * share
        teeth: list[Point] = [(0.0, top)]
        for x in np.linspace(reach, -reach, 9):
            teeth += [(x, base - 0.04 + rng.uniform(0, 0.08)), (x * 0.92 - 0.04, base - 0.12)]
        pen.poly(teeth[:-1], shade(green, 0.75 + 0.5 * (1 - share) + rng.uniform(-0.1, 0.1)))
    return pen.image


def tree_oak(rng: Rng) -> Image.Image:
    """Broad round crown of leaf clusters on a forked trunk."""
    pen = Pen(rng)
    bark = tint(rng, 0.07, 0.02, 0.45, 0.35)
    pen.blob([(-0.1, 0.0), (-0.1, 0.6), (-0.24, 0.98), (0.24, 0.98), (0.1, 0.6), (0.1, 0.0)], bark)
    for side in (-1, 1):
        pen.line([(0, 0.35), (side * 0.4, -0.1)], bark, 0.09)
    green = tint(rng, rng.choice([0.26, 0.3, 0.13]), 0.03, 0.6, 0.5)
    for _ in range(int(rng.integers(40, 60))):
        angle, reach = rng.random() * 6.3, math.sqrt(rng.random())
        x, y = math.cos(angle) * reach * 0.7, -0.35 + math.sin(angle) * reach * 0.46
        radius = rng.uniform(0.12, 0.24)
        pen.oval(x, y, radius, radius * 0.85, shade(green, 0.95 - 0.35 * y + rng.uniform(-0.4, 0.05)))
    return pen.image
