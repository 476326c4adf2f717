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


def load(name: str, data: Path, num: int, seed: int) -> list[Image.Image]:
    """`num` pictures of a set, RGB, made or drawn at random by `seed`."""
    if name in MADE:
        return [MADE[name](np.random.default_rng([1 + seed, i])) for i in range(num)]
    if name in ("grocery", "objects", "trash"):
        frame = pd.read_parquet(data / "realphotos.parquet", columns=["image", "set"])
        frame = frame[frame["set"] == name]
    elif name == "sports":
        frame = pd.read_parquet(data / "crawl_sports.parquet", columns=["image", "verdict"])
        frame = frame[frame["verdict"] != ""]
    else:
        frame = pd.read_parquet(data / "tiny50.parquet", columns=["image"])
    images = []
    for content in frame["image"].sample(frac=1, random_state=seed):
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


def icon(rng: Rng) -> Image.Image:
    """A badge of one of three outlines on one background, with one or two signs in a few colours."""
    page = Image.new("RGB", (256, 256), (236, 239, 241))
    draw = ImageDraw.Draw(page)
    palette = [(198, 40, 40), (21, 101, 192), (46, 125, 50), (249, 168, 37), (69, 39, 160), (38, 50, 56)]
    ground, *inks = (palette[i] for i in rng.permutation(len(palette))[:3])
    outline = (draw.ellipse, lambda box, fill: draw.rounded_rectangle(box, 36, fill=fill), draw.rectangle)
    outline[rng.integers(3)]((40, 40, 216, 216), fill=ground)
    for ink in [*inks, "white"][: 1 + int(rng.integers(1, 3))]:
        x, y, size = *rng.uniform(95, 160, 2), rng.uniform(22, 48)
        kind, turn = rng.integers(4), rng.uniform(0, 6.2)
        if kind == 3:
            draw.ellipse((x - size, y - size, x + size, y + size), outline=ink, width=int(rng.integers(6, 16)))
            continue
        corners = turn + np.linspace(0, 2 * np.pi, 3 + int(kind) * 2, endpoint=False)
        draw.polygon([(x + size * np.cos(a), y + size * np.sin(a)) for a in corners], fill=ink)
    return page.resize((192, 192), Image.Resampling.LANCZOS)


def screenshot(rng: Rng) -> Image.Image:
    """A mail program's window in one theme: a bar, a list of subjects, a letter."""
    page = Image.new("RGB", (480, 320), (250, 250, 250))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=11)
    draw.rectangle((0, 0, 480, 26), fill=(48, 63, 159))
    draw.text((10, 6), "Inbox   Drafts   Sent", fill="white", font=font)
    draw.rectangle((0, 27, 150, 320), fill=(232, 234, 246))
    chosen = int(rng.integers(9))
    draw.rectangle((0, 34 + 30 * chosen, 150, 60 + 30 * chosen), fill=(197, 202, 233))
    for row in range(9):
        draw.text((8, 40 + 30 * row), " ".join(rng.choice(_WORDS, 5))[:22], fill=(33, 33, 33), font=font)
    draw.text((165, 36), " ".join(rng.choice(_WORDS, 6))[:40], fill=0, font=ImageFont.load_default(size=15))
    for line in range(4 + int(rng.integers(12))):
        words = " ".join(rng.choice(_WORDS, 14))[: 42 + int(rng.integers(8))]
        draw.text((165, 66 + 15 * line), words, fill=(60, 60, 60), font=font)
    return page


def satellite(rng: Rng) -> Image.Image:
    """Fields in the colours of a season, each grained alike, and a road, seen from above."""
    y, x = np.mgrid[0:256, 0:256] / 256
    seeds = rng.uniform(-0.1, 1.1, (40, 2))
    field = ((x[..., None] - seeds[:, 0]) ** 2 + (y[..., None] - seeds[:, 1]) ** 2).argmin(axis=2)
    greens = np.array([(88, 112, 66), (122, 128, 80), (150, 140, 98), (70, 92, 60), (132, 116, 84)], dtype=float)
    land = greens[rng.integers(len(greens), size=len(seeds))] + rng.normal(0, 6, (len(seeds), 1))
    angle = rng.uniform(0, np.pi, len(seeds))[field]
    furrows = 5 * np.sin(2 * np.pi * 32 * (x * np.cos(angle) + y * np.sin(angle)))
    grain = np.zeros((256, 256))
    for side in (8, 16, 32, 64, 128):
        noise = Image.fromarray(rng.normal(0, 1, (side, side)).astype(np.float32))
        grain += np.asarray(noise.resize((256, 256), Image.Resampling.BICUBIC)) * 4
    picture = land[field] + (furrows + grain)[..., None]
    angle, offset = rng.uniform(0, np.pi), rng.uniform(0.3, 0.7, 2)
    away = np.abs((x - offset[0]) * np.sin(angle) - (y - offset[1]) * np.cos(angle))
    picture = np.where((away < 0.008)[..., None], (176, 172, 166), picture)
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


MADE: dict[str, Callable[[Rng], Image.Image]] = {
    "products": product,
    "recoloured": recoloured,
    "xrays": xray,
    "tissue": scan_of_tissue,
    "catalogue": catalogue,
    "text": text_page,
    "icons": icon,
    "screens": screenshot,
    "satellite": satellite,
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
    "crop 3 % a side": lambda image, rng: cropped(image, rng, 0.03, 0.03),
    "crop 0-15 % a side": lambda image, rng: cropped(image, rng, 0, 0.15),
    "crop 15 % a side": lambda image, rng: cropped(image, rng, 0.15, 0.15),
    "mirror": mirrored,
    "turn": turned,
    "watermark": watermarked,
}
