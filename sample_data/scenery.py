"""Backgrounds, light and the pasting of a drawn thing into a scene."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Rng = np.random.Generator
Colour = tuple[int, int, int]
Point = tuple[float, float]

SUPERSAMPLE = 2
LAYER = 288  # side, in pixels, of the square layer a thing is drawn on


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Colour from hue (any float, wraps at 1), saturation and value (clipped to 0..1)."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))
    return int(red * 255), int(green * 255), int(blue * 255)


def tint(rng: Rng, hue: float, spread: float = 0.04, saturation: float = 0.7, value: float = 0.75) -> Colour:
    """A colour near the given hue, with random saturation and value."""
    return hsv(
        hue + rng.uniform(-spread, spread),
        saturation + rng.uniform(-0.18, 0.18),
        value + rng.uniform(-0.18, 0.18),
    )


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker (factor < 1) or lighter (factor > 1)."""
    if factor <= 1:
        return (int(colour[0] * factor), int(colour[1] * factor), int(colour[2] * factor))
    keep = 2 - factor
    return tuple(int(255 - (255 - channel) * max(keep, 0.0)) for channel in colour)  # type: ignore[return-value]


def fractal(rng: Rng, width: int, height: int, octaves: tuple[int, ...] = (2, 5, 11, 23)) -> np.ndarray:
    """Smooth random field in 0..1, the sum of ever finer random grids."""
    total = np.zeros((height, width), np.float32)
    weight = 1.0
    for cells in octaves:
        grid = rng.random((cells + 1, cells + 1), dtype=np.float32)
        field = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
        total += weight * np.asarray(field)
        weight *= 0.6
    total -= total.min()
    return total / max(float(total.max()), 1e-6)


def blend(low: Colour, high: Colour, field: np.ndarray) -> np.ndarray:
    """Colour array running from `low` to `high` as `field` runs from 0 to 1."""
    return np.asarray(low, np.float32) + field[..., None] * (np.asarray(high, np.float32) - np.asarray(low, np.float32))


def to_image(pixels: np.ndarray) -> Image.Image:
    """RGB image of a float array in 0..255."""
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


class Pen:
    """Draws on a transparent square layer in coordinates -1..1 (y points down)."""

    def __init__(self, rng: Rng, side: int = LAYER) -> None:
        self.rng = rng
        self.side = side
        self.image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        self.draw = ImageDraw.Draw(self.image)

    def at(self, point: Point) -> Point:
        """Pixel position of a point; the layer keeps a margin of 5 % around -1..1."""
        half = self.side / 2
        return half + point[0] * half * 0.95, half + point[1] * half * 0.95

    def width(self, share: float) -> int:
        """Line width in pixels for a width given as a share of the half side."""
        return max(1, round(share * self.side * 0.475))

    def poly(self, points: list[Point], fill: Colour) -> None:
        """Filled polygon."""
        self.draw.polygon([self.at(point) for point in points], fill=fill)

    def blob(self, points: list[Point], fill: Colour) -> None:
        """Filled closed smooth curve through the points (Catmull-Rom)."""
        self.poly(smooth(points), fill)

    def oval(self, x: float, y: float, rx: float, ry: float, fill: Colour, angle: float = 0.0) -> None:
        """Filled ellipse, turned by `angle` radians."""
        turn_x, turn_y = math.cos(angle), math.sin(angle)
        steps = [2 * math.pi * step / 32 for step in range(32)]
        ring = [(rx * math.cos(step), ry * math.sin(step)) for step in steps]
        self.poly([(x + a * turn_x - b * turn_y, y + a * turn_y + b * turn_x) for a, b in ring], fill)

    def line(self, points: list[Point], fill: Colour, width: float) -> None:
        """Line through the points with rounded joints."""
        self.draw.line([self.at(point) for point in points], fill=fill, width=self.width(width), joint="curve")

    def box(self, left: float, top: float, right: float, bottom: float, fill: Colour, radius: float = 0.0) -> None:
        """Filled upright rectangle, with round corners if a radius is given."""
        corners = [*self.at((left, top)), *self.at((right, bottom))]
        self.draw.rounded_rectangle(corners, radius=radius * self.side * 0.475, fill=fill)

    def mirror(self) -> None:
        """Make the right half the mirror picture of the left half."""
        half = self.side // 2
        left = self.image.crop((0, 0, half, self.side))
        self.image.paste(left.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (self.side - half, 0))

    def clip(self, other: Pen) -> None:
        """Paint another layer, but only where this one is already painted."""
        alpha = self.image.getchannel("A")
        mask = ImageChops.multiply(alpha, other.image.getchannel("A"))
        self.image.paste(other.image, (0, 0), mask)
        self.image.putalpha(alpha)
        self.draw = ImageDraw.Draw(self.image)


def smooth(points: list[Point], steps: int = 7) -> list[Point]:
    """Closed Catmull-Rom curve through the points, as a polygon."""
    ring = np.asarray(points, float)
    result: list[Point] = []
    for index in range(len(ring)):
        before, start, end, after = (ring[(index + shift) % len(ring)] for shift in (-1, 0, 1, 2))
        for step in range(steps):
            t = step / steps
            cubic = -before + 3 * start - 3 * end + after
            square = 2 * before - 5 * start + 4 * end - after
            x, y = 0.5 * (2 * start + (end - before) * t + square * t**2 + cubic * t**3)
            result.append((float(x), float(y)))
    return result


def any_colour(rng: Rng) -> Colour:
    """Any not too dark and not too garish colour."""
    return hsv(rng.random(), rng.uniform(0.05, 0.6), rng.uniform(0.35, 0.95))


def back_cloth(rng: Rng, width: int, height: int) -> Image.Image:
    """Mottled surface in three colours."""
    pixels = blend(any_colour(rng), any_colour(rng), fractal(rng, width, height))
    third = np.asarray(any_colour(rng), np.float32)
    spots = np.clip(fractal(rng, width, height, (3, 8, 20)) * 2.4 - 1.2, 0, 1)[..., None]
    return to_image(pixels * (1 - spots) + third * spots)


def back_landscape(rng: Rng, width: int, height: int) -> Image.Image:
    """Sky, one or two rows of hills and a meadow or beach."""
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None].repeat(width, 1)
    pixels = blend(tint(rng, 0.58, 0.08, 0.5, 0.75), tint(rng, 0.6, 0.5, 0.2, 0.85), rows)
    clouds = np.clip(fractal(rng, width, height) * 2.5 - 1.3, 0, 1)[..., None]
    pixels = pixels * (1 - clouds) + 235 * clouds
    horizon = rng.uniform(0.3, 0.75)
    for step in range(int(rng.integers(1, 4))):
        ridge = fractal(rng, width, 8, (2, 4, 9))[4] * rng.uniform(0.05, 0.3) + horizon + step * 0.12 - 0.15
        hill = rows > ridge[None, :]
        dark, light = tint(rng, 0.28, 0.12, 0.45, 0.4), tint(rng, 0.25, 0.12, 0.45, 0.65)
        pixels[hill] = blend(dark, light, fractal(rng, width, height, (4, 12, 40)))[hill]
    return to_image(pixels)


def back_foliage(rng: Rng, width: int, height: int) -> Image.Image:
    """A tangle of leaves or pebbles, out of focus or sharp."""
    base = rng.choice([0.28, 0.1, 0.6, 0.3])
    image = Image.new("RGB", (width, height), tint(rng, base, 0.1, 0.5, 0.35))
    draw = ImageDraw.Draw(image)
    slim = rng.uniform(0.2, 0.9)
    size = rng.uniform(0.08, 0.2) * width
    for _ in range(int(rng.integers(60, 160))):
        x, y, angle = rng.random() * width, rng.random() * height, rng.random() * 6.3
        ring = [(math.cos(t) * size, math.sin(t) * size * slim) for t in np.linspace(0, 6.28, 12)]
        cos, sin = math.cos(angle), math.sin(angle)
        leaf = [(x + a * cos - b * sin, y + a * sin + b * cos) for a, b in ring]
        draw.polygon(leaf, fill=tint(rng, base, 0.07, 0.45, 0.55))
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 5)))


def back_bokeh(rng: Rng, width: int, height: int) -> Image.Image:
    """Soft gradient with out-of-focus lights."""
    field = fractal(rng, width, height, (1, 3))
    image = to_image(blend(shade(any_colour(rng), 0.6), any_colour(rng), field))
    lights = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(lights)
    for _ in range(int(rng.integers(6, 25))):
        x, y, r = rng.random() * width, rng.random() * height, rng.uniform(0.03, 0.15) * width
        draw.ellipse((x - r, y - r, x + r, y + r), fill=shade(any_colour(rng), rng.uniform(0.2, 0.6)))
    return ImageChops.add(image, lights.filter(ImageFilter.GaussianBlur(rng.uniform(2, 6))))


def back_planks(rng: Rng, width: int, height: int) -> Image.Image:
    """Boards, bricks or tiles seen at a slant."""
    side = int(math.hypot(width, height)) + 2
    image = to_image(blend(any_colour(rng), any_colour(rng), fractal(rng, side, side, (2, 4))))
    draw = ImageDraw.Draw(image)
    tall = int(rng.uniform(0.1, 0.3) * side)
    long = int(tall * rng.choice([1.0, 2.2, 9.0]))
    base, spread = any_colour(rng), rng.uniform(0.05, 0.2)
    for row, top in enumerate(range(0, side, tall)):
        for left in range(-long * (row % 2) // 2, side, long):
            colour = shade(base, 1 - spread + rng.uniform(-spread, spread))
            draw.rectangle((left + 2, top + 2, left + long - 2, top + tall - 2), fill=colour)
    streaks = fractal(rng, side, side, (3, 7, 15)) * 60 - 30
    image = to_image(np.asarray(image, np.float32) + streaks[..., None])
    image = image.rotate(rng.uniform(-80, 80), Image.Resampling.BICUBIC)
    left, top = (side - width) // 2, (side - height) // 2
    return image.crop((left, top, left + width, top + height))


def back_room(rng: Rng, width: int, height: int) -> Image.Image:
    """A wall, a table top and the light of a lamp."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j].astype(np.float32)
    wall = blend(any_colour(rng), any_colour(rng), fractal(rng, width, height, (2, 3)))
    table = blend(any_colour(rng), any_colour(rng), fractal(rng, width, height, (3, 9, 30)))
    edge = rng.uniform(0.4, 0.8) + (columns - 0.5) * rng.uniform(-0.4, 0.4)
    pixels = np.where((rows > edge)[..., None], table, wall)
    x, y = rng.random(2)
    lamp = 0.65 + 0.6 * np.exp(-3 * ((columns - x) ** 2 + (rows - y) ** 2))
    return to_image(pixels * lamp[..., None])


def back_water(rng: Rng, width: int, height: int) -> Image.Image:
    """Ripples: a stretched random field, in blue, grey or sand."""
    wide = fractal(rng, width, height * 4, (2, 5, 11, 19))[::4]
    wave = 0.5 + 0.5 * np.sin(wide * rng.uniform(10, 30) + rng.uniform(0, 6))
    hue = rng.choice([0.55, 0.6, 0.12, 0.45])
    pixels = blend(tint(rng, hue, 0.05, 0.5, 0.45), tint(rng, hue, 0.05, 0.35, 0.8), wave)
    light = 0.7 + 0.5 * fractal(rng, width, height, (1, 2))
    return to_image(pixels * light[..., None])


BACKGROUNDS: list[Callable[[Rng, int, int], Image.Image]] = [
    back_cloth,
    back_landscape,
    back_foliage,
    back_bokeh,
    back_planks,
    back_room,
    back_water,
]


def background(rng: Rng, width: int, height: int) -> Image.Image:
    """A random background with one to five bits of clutter on it."""
    image = BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))](rng, width, height)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for _ in range(int(rng.integers(1, 6))):
        scrap(rng, image, rng.uniform(0.08, 0.3))
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 2.0)))


def scrap(rng: Rng, image: Image.Image, size: float, where: Point | None = None) -> None:
    """One bit of clutter (stone, stick, leaf or box), painted straight onto the image."""
    width, height = image.size
    x, y = where if where else (rng.random() * width, rng.random() * height)
    draw = ImageDraw.Draw(image)
    colour, reach = any_colour(rng), size * min(width, height)
    if rng.random() < 0.4:
        angle = rng.random() * 3.14
        dx, dy = math.cos(angle) * reach * 1.5, math.sin(angle) * reach * 1.5
        draw.line((x - dx, y - dy, x + dx, y + dy), fill=colour, width=max(2, int(reach * rng.uniform(0.1, 0.3))))
        return
    count = int(rng.integers(3, 9))
    turns = np.sort(rng.random(count)) * 2 * math.pi
    ring = [
        (x + math.cos(t) * reach * rng.uniform(0.5, 1), y + math.sin(t) * reach * rng.uniform(0.5, 1)) for t in turns
    ]
    draw.polygon(smooth(ring) if rng.random() < 0.7 else ring, fill=colour)
    draw.polygon([(px * 0.6 + x * 0.4, py * 0.6 + y * 0.4) for px, py in ring], fill=shade(colour, 0.8))


def textured(rng: Rng, layer: Image.Image) -> Image.Image:
    """The layer with shading from one side and a mottled surface."""
    side = layer.width
    rows, columns = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * math.pi)
    light = 0.92 + rng.uniform(0.1, 0.3) * (rows * math.sin(angle) + columns * math.cos(angle))
    light += rng.uniform(0.08, 0.25) * (fractal(rng, side, side, (4, 9, 21)) - 0.5)
    pixels = np.asarray(layer.convert("RGB"), np.float32) * light[..., None]
    result = to_image(pixels).convert("RGBA")
    result.putalpha(layer.getchannel("A"))
    return result


def put(rng: Rng, scene: Image.Image, layer: Image.Image, size: float, tilt: float, centre: Point) -> None:
    """Paste a layer into the scene at a size (share of the short side), with a random tilt and a soft shadow."""
    layer = textured(rng, layer)
    if rng.random() < 0.5:
        layer = layer.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    side = int(size * min(scene.size))
    squeeze = rng.uniform(0.92, 1.08)
    layer = layer.resize((max(8, int(side * squeeze)), max(8, int(side / squeeze))), Image.Resampling.BICUBIC)
    layer = layer.rotate(rng.uniform(-tilt, tilt), Image.Resampling.BICUBIC, expand=True)
    x, y = int(centre[0] * scene.width - layer.width / 2), int(centre[1] * scene.height - layer.height / 2)
    shadow = layer.getchannel("A").filter(ImageFilter.GaussianBlur(side * 0.03)).point(lambda a: int(a * 0.45))
    slip = int(side * rng.uniform(0.01, 0.05))
    scene.paste((15, 15, 20), (x + slip, y + slip), shadow)
    scene.paste(layer, (x, y), layer)


def develop(rng: Rng, scene: Image.Image, width: int, height: int) -> Image.Image:
    """Light the scene, scale it down to its final size and add a little film grain."""
    image = scene.resize((width, height), Image.Resampling.LANCZOS)
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    slope = rng.uniform(-0.25, 0.25, 2)
    light = rng.uniform(0.95, 1.2) + slope[0] * rows + slope[1] * columns
    light -= rng.uniform(0, 0.15) * (rows**2 + columns**2)
    cast = rng.uniform(0.9, 1.1, 3)
    pixels = np.asarray(image, np.float32) * light[..., None] * cast
    pixels += rng.normal(0, rng.uniform(0.3, 2.5), (height, width, 1))
    return to_image(pixels)


def photograph(rng: Rng, layer: Image.Image, width: int, height: int, tilt: float) -> Image.Image:
    """A drawn thing in a random scene, as a finished picture."""
    scene = background(rng, width * SUPERSAMPLE, height * SUPERSAMPLE)
    size = rng.uniform(0.62, 1.02)
    reach = 0.06 + max(0.0, 0.9 - size) * 0.4
    put(rng, scene, layer, size, tilt, (0.5 + rng.uniform(-reach, reach), 0.5 + rng.uniform(-reach, reach)))
    for _ in range(int(rng.integers(0, 3))):
        edge = rng.random() * 2 * math.pi
        where = (scene.width * (0.5 + 0.4 * math.cos(edge)), scene.height * (0.5 + 0.4 * math.sin(edge)))
        scrap(rng, scene, rng.uniform(0.06, 0.18), where)
    return develop(rng, scene, width, height)
