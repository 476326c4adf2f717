"""Noise images: pictures that are no photograph of anything, in seven kinds."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scenery import Colour, Rng, fractal, hsv, smooth, tint

WORDS = [
    "the", "of", "and", "model", "data", "total", "report", "year", "price", "page", "table", "figure", "value",
    "item", "north", "road", "street", "order", "sum", "net", "cost", "index", "list", "city", "river", "note",
    "section", "result", "mean", "change", "half", "rate", "per", "unit", "stock", "area", "line", "point", "group",
    "file", "view",
]  # fmt: skip


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's built-in font at a size."""
    return ImageFont.load_default(size=size)


def _words(rng: Rng, count: int) -> str:
    """Some random words."""
    return " ".join(str(word) for word in rng.choice(WORDS, count))


def _paper(rng: Rng, width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw, Colour]:
    """White, off-white or (seldom) dark ground, its draw object and the ink to use on it."""
    dark = rng.random() < 0.12
    ground = hsv(rng.random(), 0.15, 0.16) if dark else hsv(rng.random(), rng.uniform(0, 0.05), rng.uniform(0.95, 1))
    image = Image.new("RGB", (width, height), ground)
    return image, ImageDraw.Draw(image), (230, 230, 230) if dark else (35, 35, 40)


def chart(rng: Rng, width: int, height: int) -> Image.Image:
    """Bar, line, scatter or pie chart with axes, title and ticks."""
    image, draw, ink = _paper(rng, width, height)
    draw.text((width * 0.3, 2), _words(rng, 2), fill=ink, font=_font(10))
    left, top, right, bottom = 22, 18, width - 8, height - 18
    kind, count = int(rng.integers(4)), int(rng.integers(4, 11))
    hues = rng.random(count)
    if kind == 3:
        side, start = min(right - left, bottom - top), 0.0
        shares = rng.dirichlet(np.full(count, 2.0)) * 360
        for share, hue in zip(shares, hues, strict=True):
            draw.pieslice((left, top, left + side, top + side), start, start + share, fill=tint(rng, hue), outline=ink)
            start += share
        return image
    for step in range(6):
        y = bottom - step * (bottom - top) / 5
        draw.line((left, y, right, y), fill=(200, 200, 205))
        draw.text((3, y - 5), str(step * 20), fill=ink, font=_font(8))
    xs = np.linspace(left + 8, right - 8, count)
    for row in range(int(rng.integers(1, 4))):
        ys = bottom - rng.random(count) * (bottom - top) * 0.9
        colour = tint(rng, hues[row])
        if kind == 0:
            wide = (right - left) / count / 3
            for x, y in zip(xs, ys, strict=True):
                draw.rectangle((x - wide, y, x + wide, bottom), fill=colour)
        elif kind == 1:
            draw.line(list(zip(xs.tolist(), ys.tolist(), strict=True)), fill=colour, width=2)
        else:
            for x, y in zip(rng.uniform(left, right, 25), rng.uniform(top, bottom, 25), strict=True):
                draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)
    draw.line((left, top, left, bottom, right, bottom), fill=ink, width=1)
    for x in xs:
        draw.text((x - 4, bottom + 3), str(rng.integers(10, 99)), fill=ink, font=_font(8))
    return image


def table(rng: Rng, width: int, height: int) -> Image.Image:
    """Ruled table of words and numbers with a head row."""
    image, draw, ink = _paper(rng, width, height)
    rows, columns = int(rng.integers(6, 13)), int(rng.integers(3, 6))
    tall, wide = height / rows, width / columns
    size = min(11.0, tall * 0.65)
    head = hsv(rng.random(), rng.uniform(0.1, 0.6), 0.75)
    striped = rng.random() < 0.5
    for row in range(rows):
        if row == 0 or (striped and row % 2 and ink[0] < 100):
            fill = head if row == 0 else (232, 234, 238)
            draw.rectangle((0, row * tall, width, row * tall + tall), fill=fill)
        draw.line((0, row * tall, width, row * tall), fill=(140, 140, 145))
        for column in range(columns):
            text = _words(rng, 1) if row == 0 or column == 0 else f"{rng.uniform(0, 999):.1f}"
            draw.text((column * wide + 3, row * tall + 2), text, fill=ink, font=_font(size))
    if rng.random() < 0.7:
        for column in range(columns):
            draw.line((column * wide, 0, column * wide, height), fill=(140, 140, 145))
    return image


def text(rng: Rng, width: int, height: int) -> Image.Image:
    """Page of text with a title and paragraphs."""
    image, draw, ink = _paper(rng, width, height)
    size = rng.uniform(7, 12)
    margin = rng.uniform(0.04, 0.12) * width
    draw.text((margin, 4), _words(rng, 3), fill=ink, font=_font(size * 1.5))
    y = float(size * 2.4 + 4)
    while y < height - size:
        line = _words(rng, 14)
        fits = int((width - 2 * margin) / (size * 0.52))
        if rng.random() < 0.16:
            fits = int(fits * rng.uniform(0.2, 0.8))
            draw.text((margin, y), line[:fits], fill=ink, font=_font(size))
            y += size * 0.8
        else:
            draw.text((margin, y), line[:fits], fill=ink, font=_font(size))
        y += size * 1.3
    return image


def street_map(rng: Rng, width: int, height: int) -> Image.Image:
    """Street map: blocks, parks, a river, roads and names."""
    image = Image.new("RGB", (width, height), hsv(0.12, 0.06, 0.93))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 6))):
        x, y, reach = rng.random() * width, rng.random() * height, rng.uniform(10, 40)
        ring = [
            (x + math.cos(t) * reach * rng.uniform(0.6, 1.2), y + math.sin(t) * reach) for t in np.linspace(0, 5.5, 6)
        ]
        draw.polygon(ring, fill=(200, 225, 175))
    for y in np.arange(-height, height * 2, rng.uniform(12, 20)):
        draw.line((0, y, width, y + width * 0.3), fill=(255, 255, 255), width=2)
    for x in np.arange(-width, width * 2, rng.uniform(12, 22)):
        draw.line((x, 0, x - height * 0.3, height), fill=(255, 255, 255), width=2)
    bends = [(x, height * rng.uniform(0.2, 0.8)) for x in np.linspace(-20, width + 20, 5)]
    course = smooth([*bends, *[(x, y + rng.uniform(8, 18)) for x, y in reversed(bends)]])
    draw.polygon(course, fill=(165, 200, 230))
    for colour, wide in (((240, 175, 80), 5), ((250, 220, 120), 4), ((250, 220, 120), 3)):
        path = [(rng.random() * width, -5), (rng.random() * width, height / 2), (rng.random() * width, height + 5)]
        draw.line(path, fill=colour, width=wide, joint="curve")
    for _ in range(int(rng.integers(5, 12))):
        place = (rng.random() * width * 0.8, rng.random() * height * 0.9)
        draw.text(place, _words(rng, 1).title(), fill=(80, 80, 90), font=_font(rng.uniform(8, 11)))
    return image


def logo(rng: Rng, width: int, height: int) -> Image.Image:
    """Flat emblem of one or two simple shapes with a name below."""
    white = rng.random() < 0.95
    image = Image.new("RGB", (width, height), (255, 255, 255) if white else tint(rng, rng.random(), 0.1, 0.75, 0.55))
    draw = ImageDraw.Draw(image)
    main = tint(rng, rng.random(), 0.1, 0.85, 0.75) if white else (255, 255, 255)
    second = tint(rng, rng.random(), 0.1, 0.85, 0.75)
    x, y, reach = width / 2, height * 0.4, min(width, height) * rng.uniform(0.24, 0.33)
    kind, around = int(rng.integers(5)), (x - reach, y - reach, x + reach, y + reach)
    if kind == 0:
        draw.ellipse(around, fill=main)
        draw.pieslice(around, rng.uniform(0, 180), rng.uniform(200, 340), fill=second)
    elif kind == 1:
        draw.regular_polygon((x, y, reach), int(rng.integers(3, 8)), fill=main)
        draw.regular_polygon((x, y, reach * 0.5), 3, fill=second)
    elif kind == 2:
        draw.rounded_rectangle(around, reach * 0.3, fill=main)
        letter = chr(65 + int(rng.integers(26)))
        draw.text((x, y), letter, fill=second, font=_font(reach * 1.5), anchor="mm")
    elif kind == 3:
        for step in range(3):
            grow = reach * (1 - step * 0.3)
            draw.arc(
                (x - grow, y - grow, x + grow, y + grow), 200, 340 + step * 40, fill=main, width=max(3, int(reach / 7))
            )
        draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=second)
    else:
        for step in range(3):
            shift = (step - 1) * reach * 0.6
            draw.rectangle(
                (x + shift - reach / 4, y - reach + step * 9, x + shift + reach / 5, y + reach),
                fill=(main, second)[step % 2],
            )
    name = _words(rng, 1).upper() if rng.random() < 0.5 else _words(rng, 1).title()
    draw.text((x, height * 0.85), name, fill=main, font=_font(height * 0.15), anchor="mm")
    return image


def screenshot(rng: Rng, width: int, height: int) -> Image.Image:
    """Window with a title bar, a menu, a side bar, buttons and lines of text."""
    dark = rng.random() < 0.3
    ground, ink = ((40, 42, 48), (205, 205, 210)) if dark else ((246, 246, 248), (50, 50, 55))
    image = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(image)
    accent = tint(rng, rng.random(), 0.1, 0.6, 0.7)
    draw.rectangle((0, 0, width, 13), fill=accent)
    draw.text((4, 1), _words(rng, 2), fill=(255, 255, 255), font=_font(9))
    for step, colour in enumerate(((230, 90, 80), (240, 190, 60), (90, 190, 90))):
        draw.ellipse((width - 10 - step * 10, 3, width - 3 - step * 10, 10), fill=colour)
    draw.text((4, 15), "File  Edit  View  Help", fill=ink, font=_font(8))
    side = int(width * rng.uniform(0.2, 0.35))
    draw.rectangle((0, 27, side, height), fill=(58, 60, 68) if dark else (226, 228, 233))
    for y in range(31, height - 8, 12):
        draw.text((4, y), _words(rng, 1), fill=ink, font=_font(8))
        tab = rng.uniform(0, 0.3) * width
        draw.text((side + 5 + tab * 0.4, y), _words(rng, 6)[: int((width - side) / 5)], fill=ink, font=_font(8))
    for _ in range(int(rng.integers(1, 4))):
        x, top = rng.uniform(side + 5, width - 45), rng.uniform(32, height - 20)
        draw.rounded_rectangle((x, top, x + 40, top + 14), 3, fill=accent)
        draw.text((x + 5, top + 2), _words(rng, 1)[:6], fill=(255, 255, 255), font=_font(8))
    return image


def blank(rng: Rng, width: int, height: int) -> Image.Image:
    """Nearly one colour: a plain ground with a hint of grain or slope."""
    level = rng.choice([rng.uniform(0.92, 1.0), rng.uniform(0.0, 0.06), rng.uniform(0.5, 0.8)])
    base = np.asarray(hsv(rng.random(), rng.choice([0.0, 0.04, 0.08]), level), np.float32)
    pixels = base + (fractal(rng, width, height, (1, 2))[..., None] - 0.5) * rng.uniform(0, 3)
    pixels += rng.normal(0, rng.uniform(0.0, 1.0), (height, width, 1))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


JUNK: dict[str, Callable[[Rng, int, int], Image.Image]] = {
    "chart": chart,
    "table": table,
    "text": text,
    "map": street_map,
    "logo": logo,
    "screenshot": screenshot,
    "blank": blank,
}
