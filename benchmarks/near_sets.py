"""Sets of pictures for trials of near duplicates: photographs from packs, smooth and look-alike ones that are made."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

Rng = np.random.Generator
T = Image.Transpose
PHOTOS = ("grocery", "objects", "trash", "sports", "tiny")
_WORDS = ["the", "of", "and", "a", "to", "in", "is", "you", "that", "it", "he", "was", "for", "on", "are", "as", "with"]


def load(name: str, data: Path, num: int) -> list[Image.Image]:
    """`num` pictures of a set, RGB; photographs drawn at random."""
    if name in MADE:
        return [MADE[name](np.random.default_rng([1, i])) for i in range(num)]
    if name in ("grocery", "objects", "trash"):
        frame = pd.read_parquet(data / "realphotos.parquet", columns=["image", "set"])
        frame = frame[frame["set"] == name]
    elif name == "sports":
        frame = pd.read_parquet(data / "crawl_sports.parquet", columns=["image", "verdict"])
        frame = frame[frame["verdict"] != ""]
    else:
        frame = pd.read_parquet(data / "tiny50.parquet", columns=["image"])
    images = []
    for content in frame["image"].sample(frac=1, random_state=0):
        try:
            images.append(Image.open(io.BytesIO(content)).convert("RGB"))
        except Exception:  # the crawl has broken files
            continue
        if len(images) == num:
            break
    return images


def _colour(rng: Rng, low: int = 0, high: int = 256) -> tuple[int, ...]:
    return tuple(rng.integers(low, high, 3).tolist())


def product(rng: Rng) -> Image.Image:
    """One thing of several parts in the middle of white."""
    page = Image.new("RGB", (300, 300), "white")
    draw = ImageDraw.Draw(page)
    size, (x, y) = rng.uniform(35, 90), 150 + rng.uniform(-4, 4, 2)
    one, two, kind = _colour(rng), _colour(rng), rng.integers(4)
    if kind == 0:
        draw.ellipse((x - size, y - size, x + size, y + size), fill=one)
    elif kind == 1:
        angles = np.linspace(0, 6.2, 5 + int(rng.integers(6)))
        reach = size * rng.uniform(0.6, 1, (len(angles), 2))
        draw.polygon(
            [(x + r * np.cos(a), y + s * np.sin(a)) for a, (r, s) in zip(angles, reach, strict=True)], fill=one
        )
    elif kind == 2:
        wide = size * rng.uniform(0.5, 1)
        draw.rounded_rectangle((x - wide, y - size, x + wide, y + size), 14, fill=one)
        draw.rectangle((x - wide * 0.8, y - size * 0.7, x + wide * 0.8, y + size * 0.7), fill=two)
    else:
        draw.rectangle((x - size * 0.2, y - size * 1.3, x + size * 0.2, y - size * 0.6), fill=two)
        draw.ellipse((x - size * 0.6, y - size * 0.8, x + size * 0.6, y + size * 1.2), fill=one)
        draw.rectangle((x - size * 0.4, y, x + size * 0.4, y + size * 0.5), fill=_colour(rng, 150))
    return page.filter(ImageFilter.GaussianBlur(1))


def recoloured(rng: Rng) -> Image.Image:
    """One shape in one place, in a colour of its own."""
    page = Image.new("RGB", (300, 300), "white")
    ImageDraw.Draw(page).ellipse((110, 110, 190, 190), fill=_colour(rng))
    return page


def xray(rng: Rng) -> Image.Image:
    """Two lungs, ribs and a spine, a little different in each, and a few spots."""
    y, x = np.mgrid[0:256, 0:256] / 256
    field = np.full((256, 256), 0.75)
    for middle in (0.3, 0.7):
        dx = (x - middle - rng.normal(0, 0.01)) / (0.13 + rng.normal(0, 0.01))
        dy = (y - 0.5 - rng.normal(0, 0.01)) / (0.28 + rng.normal(0, 0.02))
        field -= 0.5 * np.exp(-((dx**2 + dy**2) ** 2))
    step, start, bend = 0.07 + rng.normal(0, 0.004), 0.18 + rng.normal(0, 0.02), 0.5 + rng.normal(0, 0.06)
    for rib in range(9):
        away = (y - start - rib * step - bend * (x - 0.5) ** 2) / 0.012
        field += 0.08 * np.exp(-((away**2) ** 2)) * (np.abs(x - 0.5) > 0.05)
    field += 0.1 * np.exp(-(((x - 0.5) / 0.03) ** 2))
    field += spots(rng, x, y, 5, 0.06, (0.02, 0.06))
    field *= 1 + 0.15 * rng.normal() * (x - 0.5) + 0.15 * rng.normal() * (y - 0.5)
    field += rng.normal(0, 0.008, field.shape)
    return _grey(field * 220).filter(ImageFilter.GaussianBlur(1.2))


def scan_of_tissue(rng: Rng) -> Image.Image:
    """One outline for all, and soft spots."""
    y, x = np.mgrid[0:256, 0:256] / 256
    outline = np.exp(-((((x - 0.5) / 0.35) ** 2 + ((y - 0.5) / 0.4) ** 2) ** 2))
    return _grey((0.6 - 0.4 * outline + spots(rng, x, y, 12, 0.12, (0.03, 0.12))) * 230)


def spots(rng: Rng, x: np.ndarray, y: np.ndarray, num: int, depth: float, sizes: tuple[float, float]) -> np.ndarray:
    field = np.zeros_like(x)
    for _ in range(num):
        u, v = rng.uniform(0.15, 0.85, 2)
        field += depth * rng.uniform(-1, 1) * np.exp(-((x - u) ** 2 + (y - v) ** 2) / rng.uniform(*sizes) ** 2)
    return field


def _grey(levels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)).convert("RGB")


def catalogue(rng: Rng) -> Image.Image:
    """A phone or a plate in one place, in colours of its own, with a few marks."""
    page = Image.new("RGB", (300, 300), "white")
    draw = ImageDraw.Draw(page)
    one, two = _colour(rng, 0, 140), _colour(rng, 0, 140)
    if rng.integers(2):
        draw.rounded_rectangle((105, 50, 195, 250), 14, fill=one)
        draw.rectangle((112, 70, 188, 225), fill=two)
    else:
        draw.ellipse((60, 60, 240, 240), fill=one)
        draw.ellipse((95, 95, 205, 205), fill=two)
    for _ in range(6):
        x, y = rng.integers(115, 180, 2).tolist()
        draw.ellipse((x, y, x + 9, y + 9), fill=_colour(rng))
    return page


def text_page(rng: Rng) -> Image.Image:
    """A page of print in one layout."""
    page = Image.new("RGB", (300, 390), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=11)
    draw.text((90, 8), " ".join(rng.choice(_WORDS, 3)), fill=0, font=font)
    for y in range(25, 370, 14):
        line = " ".join(rng.choice(_WORDS, 14))[: 40 + int(rng.integers(10))]
        draw.text((20, y), line, fill=(20, 20, 20), font=font)
    return page


MADE: dict[str, Callable[[Rng], Image.Image]] = {
    "products": product,
    "recoloured": recoloured,
    "xrays": xray,
    "tissue": scan_of_tissue,
    "catalogue": catalogue,
    "text": text_page,
}


def resized(image: Image.Image, rng: Rng) -> Image.Image:
    scale = rng.uniform(0.5, 1.3)
    size = (max(8, round(image.width * scale)), max(8, round(image.height * scale)))
    return image.resize(size, [Image.Resampling.BILINEAR, Image.Resampling.LANCZOS][rng.integers(2)])


def compressed(image: Image.Image, rng: Rng) -> Image.Image:
    return _jpeg(image, int(rng.integers(40, 76)))


def relit(image: Image.Image, rng: Rng) -> Image.Image:
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.92, 1.08))
    return ImageEnhance.Contrast(image).enhance(rng.uniform(0.92, 1.08))


def cropped(image: Image.Image, rng: Rng, low: float = 0, high: float = 0.03) -> Image.Image:
    left, top, right, bottom = rng.uniform(low, high, 4)
    width, height = image.size
    box = (round(left * width), round(top * height), round(width - right * width), round(height - bottom * height))
    return _jpeg(image.crop(box), 85)


def mirrored(image: Image.Image, rng: Rng) -> Image.Image:
    return _jpeg(image.transpose(T.FLIP_LEFT_RIGHT), 80)


def turned(image: Image.Image, rng: Rng) -> Image.Image:
    return _jpeg(image.transpose([T.ROTATE_90, T.ROTATE_180, T.ROTATE_270][rng.integers(3)]), 80)


def watermarked(image: Image.Image, rng: Rng) -> Image.Image:
    image = image.copy()
    width, height = image.width // 4, image.height // 12
    x, y = int(rng.integers(image.width - width)), image.height - height - int(rng.integers(4))
    ImageDraw.Draw(image).rectangle((x, y, x + width, y + height), fill=(255, 255, 255))
    return _jpeg(image, 85)


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


KINDS: dict[str, Callable[[Image.Image, Rng], Image.Image]] = {
    "resize 0.5-1.3": resized,
    "JPEG q40-75": compressed,
    "light 8 %": relit,
    "all three": lambda image, rng: compressed(relit(resized(image, rng), rng), rng),
    "crop 0-3 % a side": cropped,
    "crop 0-15 % a side": lambda image, rng: cropped(image, rng, 0, 0.15),
    "crop 15 % a side": lambda image, rng: cropped(image, rng, 0.15, 0.15),
    "mirror": mirrored,
    "turn": turned,
    "watermark": watermarked,
}
