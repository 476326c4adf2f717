"""Pictures that look alike, and copies of pictures."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def photo(seed: int, width: int = 200, height: int = 150) -> Image.Image:
    """A busy picture with detail of several sizes; no two are alike."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(30, 226, (5, 6, 3), dtype=np.uint8)).resize((width, height), Image.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(40):
        x, y, size = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.03, 0.12) * width
        shape = draw.ellipse if rng.integers(2) else draw.rectangle
        shape((x, y, x + size, y + size * rng.uniform(0.5, 1)), fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image


def product(colour: tuple[int, int, int], wide: int = 45) -> Image.Image:
    """A thing of one colour in the middle of white."""
    page = Image.new("RGB", (220, 220), "white")
    draw = ImageDraw.Draw(page)
    draw.rounded_rectangle((110 - wide, 60, 110 + wide, 160), 12, fill=colour)
    draw.rectangle((98, 48, 122, 66), fill=colour)
    return page


def chest(seed: int, size: int = 220) -> Image.Image:
    """A soft picture in one layout, with spots of its own."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    field = np.full((size, size), 0.75)
    for middle in (0.3, 0.7):
        field -= 0.5 * np.exp(-((((x - middle) / 0.13) ** 2 + ((y - 0.5) / 0.28) ** 2) ** 2))
    for _ in range(10):
        u, v = rng.uniform(0.15, 0.85, 2)
        field += 0.12 * rng.uniform(-1, 1) * np.exp(-((x - u) ** 2 + (y - v) ** 2) / rng.uniform(0.03, 0.07) ** 2)
    levels = np.clip(field * 220 + rng.normal(0, 1.5, field.shape), 0, 255).astype(np.uint8)
    return Image.fromarray(levels).filter(ImageFilter.GaussianBlur(1)).convert("RGB")


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def cut(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """The picture without these shares of its sides."""
    width, height = image.size
    return image.crop(
        (round(left * width), round(top * height), round((1 - right) * width), round((1 - bottom) * height))
    )
