"""The jumbled class: one-off objects and scenes, each drawn once, that fit no definite label."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from drawing_made import spiky
from PIL import Image, ImageFilter, ImageOps
from scenery import SUPERSAMPLE, Pen, Rng, any_colour, background, develop, put, scrap, shade

INK = (30, 30, 35)


def _umbrella(pen: Pen) -> None:
    """An umbrella."""
    colour = any_colour(pen.rng)
    pen.line([(0, -0.7), (0, 0.8), (0.1, 0.92), (0.22, 0.8)], INK, 0.05)
    for step, tone in enumerate((1.0, 0.7, 1.0, 0.7)):
        left = -0.95 + step * 0.475
        pen.poly([(0, -0.85), (left, 0.0), (left + 0.24, -0.1), (left + 0.475, 0.0)], shade(colour, tone))


def _heart(pen: Pen) -> None:
    """A heart."""
    turns = np.linspace(0, 2 * math.pi, 60)
    ring = [
        (math.sin(t) ** 3 * 0.9, -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t)) / 17) for t in turns
    ]
    pen.poly(ring, (205, 40, 60))


def _cactus(pen: Pen) -> None:
    """A cactus."""
    green = (60, 125, 70)
    pen.poly([(-0.4, 0.55), (0.4, 0.55), (0.28, 0.98), (-0.28, 0.98)], (175, 95, 60))
    pen.box(-0.2, -0.9, 0.2, 0.55, green, 0.2)
    for side, y in ((-1, 0.1), (1, -0.15)):
        pen.line([(0, y), (side * 0.6, y), (side * 0.6, y - 0.5)], green, 0.22)
    for _ in range(60):
        pen.oval(pen.rng.uniform(-0.17, 0.17), pen.rng.uniform(-0.85, 0.5), 0.02, 0.02, (230, 230, 190))


def _snowman(pen: Pen) -> None:
    """A snowman."""
    for y, radius in ((0.55, 0.43), (0.0, 0.32), (-0.45, 0.23)):
        pen.oval(0, y, radius, radius, (240, 243, 248))
    pen.box(-0.3, -0.68, 0.3, -0.62, INK)
    pen.box(-0.2, -0.98, 0.2, -0.62, INK)
    pen.poly([(0, -0.48), (0.35, -0.42), (0, -0.4)], (235, 130, 40))
    for x, y in ((-0.08, -0.52), (0.08, -0.52), (0, -0.1), (0, 0.1), (0, 0.4)):
        pen.oval(x, y, 0.035, 0.035, INK)


def _tent(pen: Pen) -> None:
    """A tent."""
    colour = any_colour(pen.rng)
    pen.poly([(-0.95, 0.6), (-0.1, -0.6), (0.4, 0.6)], colour)
    pen.poly([(-0.1, -0.6), (0.6, -0.5), (0.95, 0.5), (0.4, 0.6)], shade(colour, 0.7))
    pen.poly([(-0.3, 0.6), (-0.1, -0.35), (0.08, 0.6)], INK)


def _robot(pen: Pen) -> None:
    """A robot."""
    metal = any_colour(pen.rng)
    pen.box(-0.45, -0.85, 0.45, -0.25, metal, 0.08)
    pen.box(-0.6, -0.18, 0.6, 0.6, shade(metal, 0.8), 0.06)
    for side in (-1, 1):
        pen.oval(side * 0.2, -0.6, 0.12, 0.12, (250, 240, 90))
        pen.box(side * 0.3 - 0.13, 0.6, side * 0.3 + 0.13, 0.95, shade(metal, 0.6))
        pen.line([(side * 0.65, -0.1), (side * 0.88, 0.5)], shade(metal, 0.6), 0.16)
    pen.box(-0.25, -0.42, 0.25, -0.34, INK)


def _envelope(pen: Pen) -> None:
    """An envelope."""
    pen.box(-0.95, -0.6, 0.95, 0.6, (235, 225, 200))
    pen.line([(-0.95, -0.6), (0, 0.1), (0.95, -0.6)], (150, 130, 100), 0.04)
    pen.oval(0, 0.1, 0.16, 0.16, (170, 30, 40))


def _gift(pen: Pen) -> None:
    """A wrapped gift."""
    paper, ribbon = any_colour(pen.rng), any_colour(pen.rng)
    pen.box(-0.75, -0.35, 0.75, 0.9, paper)
    pen.box(-0.13, -0.35, 0.13, 0.9, ribbon)
    pen.box(-0.75, 0.15, 0.75, 0.38, ribbon)
    for side in (-1, 1):
        pen.blob([(0, -0.35), (side * 0.5, -0.85), (side * 0.6, -0.45)], ribbon)


def _ice_cream(pen: Pen) -> None:
    """An ice cream cone."""
    pen.poly([(-0.4, -0.1), (0.4, -0.1), (0, 0.98)], (215, 165, 95))
    for x, y in ((-0.25, -0.3), (0.25, -0.3), (0.0, -0.62)):
        pen.oval(x, y, 0.32, 0.32, any_colour(pen.rng))


def _guitar(pen: Pen) -> None:
    """A guitar."""
    wood = (190, 120, 55)
    pen.oval(0, 0.5, 0.45, 0.4, wood)
    pen.oval(0, 0.05, 0.33, 0.3, wood)
    pen.oval(0, 0.2, 0.14, 0.14, INK)
    pen.box(-0.06, -0.85, 0.06, 0.15, (80, 50, 30))
    pen.box(-0.12, -0.98, 0.12, -0.8, INK)
    for x in (-0.03, 0.0, 0.03):
        pen.line([(x, -0.9), (x, 0.6)], (230, 230, 220), 0.01)


def _glasses(pen: Pen) -> None:
    """A pair of glasses."""
    for side in (-1, 1):
        pen.oval(side * 0.5, 0, 0.4, 0.35, INK)
        pen.oval(side * 0.5, 0, 0.32, 0.27, (190, 215, 225))
    pen.line([(-0.15, 0), (0, -0.1), (0.15, 0)], INK, 0.07)


def _candle(pen: Pen) -> None:
    """A candle."""
    pen.box(-0.18, -0.3, 0.18, 0.8, (240, 230, 200))
    pen.oval(0, 0.8, 0.6, 0.16, (180, 150, 60))
    pen.blob([(0, -0.95), (0.14, -0.55), (0, -0.35), (-0.14, -0.55)], (250, 180, 50))


def _chess(pen: Pen) -> None:
    """A chess board."""
    for row in range(8):
        for column in range(8):
            x, y = -0.9 + column * 0.225, -0.9 + row * 0.225
            pen.box(x, y, x + 0.225, y + 0.225, (235, 215, 170) if (row + column) % 2 else (95, 55, 35))


def _dice(pen: Pen) -> None:
    """A die."""
    pen.box(-0.8, -0.8, 0.8, 0.8, (240, 240, 240), 0.2)
    for x, y in ((-0.4, -0.4), (0.4, 0.4), (0, 0), (-0.4, 0.4), (0.4, -0.4)):
        pen.oval(x, y, 0.15, 0.15, INK)


def _pizza(pen: Pen) -> None:
    """A slice of pizza."""
    pen.poly([(-0.8, -0.7), (0.8, -0.7), (0, 0.95)], (240, 200, 90))
    pen.line([(-0.85, -0.72), (0, -0.82), (0.85, -0.72)], (180, 115, 55), 0.18)
    for x, y in ((-0.35, -0.4), (0.3, -0.45), (0, 0.0), (0.05, 0.45)):
        pen.oval(x, y, 0.16, 0.15, (185, 50, 35))


def _anchor(pen: Pen) -> None:
    """An anchor."""
    pen.line([(0, -0.6), (0, 0.85)], INK, 0.14)
    pen.line([(-0.4, -0.35), (0.4, -0.35)], INK, 0.12)
    pen.line([(-0.8, 0.3), (-0.5, 0.75), (0, 0.9), (0.5, 0.75), (0.8, 0.3)], INK, 0.14)
    pen.oval(0, -0.75, 0.18, 0.18, INK)


def _signal(pen: Pen) -> None:
    """A traffic light."""
    pen.box(-0.08, 0.3, 0.08, 0.98, (120, 120, 125))
    pen.box(-0.3, -0.95, 0.3, 0.4, INK, 0.1)
    for y, colour in ((-0.68, (230, 50, 40)), (-0.28, (120, 95, 20)), (0.12, (20, 80, 40))):
        pen.oval(0, y, 0.18, 0.18, colour)


def _kite(pen: Pen) -> None:
    """A kite."""
    one, two = any_colour(pen.rng), any_colour(pen.rng)
    pen.poly([(0, -0.95), (0.55, -0.35), (0, 0.4), (0, -0.35)], one)
    pen.poly([(0, -0.95), (-0.55, -0.35), (0, 0.4), (0, -0.35)], two)
    pen.line([(0, 0.4), (0.2, 0.6), (-0.1, 0.8), (0.15, 0.97)], INK, 0.03)


def _rainbow(pen: Pen) -> None:
    """A rainbow."""
    bands = ((220, 60, 50), (240, 150, 50), (245, 220, 80), (80, 180, 90), (60, 120, 210), (130, 80, 180))
    for step, colour in enumerate(bands):
        pen.oval(0, 0.5, 0.95 - step * 0.1, 0.95 - step * 0.1, colour)
    pen.oval(0, 0.55, 0.36, 0.36, (235, 240, 245))


def _hat(pen: Pen) -> None:
    """A hat."""
    felt = any_colour(pen.rng)
    pen.oval(0, 0.4, 0.95, 0.25, shade(felt, 0.8))
    pen.blob([(-0.5, 0.4), (-0.45, -0.4), (-0.1, -0.35), (0.4, -0.45), (0.5, 0.4), (0, 0.5)], felt)
    pen.box(-0.5, 0.15, 0.5, 0.34, INK)


OBJECTS: list[Callable[[Pen], None]] = [
    _umbrella,
    _heart,
    _cactus,
    _snowman,
    _tent,
    _robot,
    _envelope,
    _gift,
    _ice_cream,
    _guitar,
    _glasses,
    _candle,
    _chess,
    _dice,
    _pizza,
    _anchor,
    _signal,
    _kite,
    _rainbow,
    _hat,
]


def _toned(scene: Image.Image, tone: int) -> Image.Image:
    """The scene as it is, in grey, in two colours or with its colours shifted round."""
    if tone == 1:
        return scene.convert("L").convert("RGB")
    if tone == 2:
        return ImageOps.colorize(
            ImageOps.autocontrast(scene.convert("L")), (40, 20, 70), (255, 225, 170), (200, 80, 70)
        )
    if tone == 3:
        red, green, blue = scene.split()
        return Image.merge("RGB", (green, blue, red))
    return scene


def jumble(rng: Rng, turn: int, things: list[Image.Image], width: int, height: int) -> Image.Image:
    """One picture of the jumbled class: `turn` picks a one-off object, or a scene once those are used up."""
    scene = background(rng, width * SUPERSAMPLE, height * SUPERSAMPLE)
    if turn < len(OBJECTS):
        pen = Pen(rng)
        OBJECTS[turn](pen)
        put(rng, scene, pen.image, rng.uniform(0.85, 1.05), 25, (rng.uniform(0.45, 0.55), rng.uniform(0.45, 0.55)))
        return develop(rng, _toned(scene, turn % 4), width, height)
    kind = (turn - len(OBJECTS)) % 6
    if kind == 0:
        for _ in range(int(rng.integers(15, 40))):
            scrap(rng, scene, rng.uniform(0.1, 0.4))
    elif kind == 1:
        put(rng, scene, spiky(rng), rng.uniform(0.8, 1.1), 180, (rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.6)))
    elif kind == 2:
        for thing in things:
            put(rng, scene, thing, rng.uniform(0.4, 0.7), 180, (rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9)))
    elif kind == 3:
        half = scene.crop((0, 0, scene.width // 2, scene.height))
        scene.paste(ImageOps.mirror(half), (scene.width - scene.width // 2, 0))
        scene = ImageOps.posterize(scene, 2)
    elif kind == 4:
        side = int(rng.integers(9, 14))
        scene = scene.resize((side, side), Image.Resampling.BOX).resize(scene.size, Image.Resampling.NEAREST)
    else:
        put(rng, scene, things[0], rng.uniform(2.2, 3.5), 180, (rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8)))
        scene = ImageOps.autocontrast(scene.filter(ImageFilter.EMBOSS).convert("L")).convert("RGB")
    return develop(rng, scene, width, height)
