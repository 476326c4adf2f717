"""Ways of storing a picture: odd modes, poor quality, exact and near copies."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont
from scenery import Rng, to_image

ORIENTATION = 0x0112
# EXIF orientation -> how to turn the upright picture before it is stored
STORED: dict[int, Image.Transpose] = {
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}


def degrade(rng: Rng, image: Image.Image, quality: str) -> Image.Image:
    """The picture made blurry, dark, bright (washed out) or flat (without contrast)."""
    pixels = np.asarray(image, np.float32)
    if quality == "blurry":
        return image.filter(ImageFilter.GaussianBlur(rng.uniform(3.2, 4.2)))
    if quality == "dark":
        return to_image((pixels / 255) ** 1.8 * rng.uniform(36, 50))
    if quality == "bright":
        return to_image(255 - ((255 - pixels) / 255) ** 1.6 * rng.uniform(28, 38))
    if quality == "flat":
        grey = np.asarray(image.convert("L"), np.float32)[..., None]
        level, colour = rng.uniform(90, 170), rng.uniform(0.97, 1.03, 3)
        return to_image((level + (grey - grey.mean()) * rng.uniform(0.09, 0.12)) * colour)
    return image


def exif_with(orientation: int) -> Image.Exif:
    """EXIF data holding nothing but an orientation."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def with_clear_corners(rng: Rng, image: Image.Image) -> Image.Image:
    """RGBA picture whose corners fade to half or full transparency."""
    width, height = image.size
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    reach = np.abs(rows) ** 4 + np.abs(columns) ** 4
    alpha = np.clip(1 - (reach - 1.0) * rng.uniform(1.0, 3.0), rng.choice([0.0, 0.4]), 1)
    result = image.convert("RGBA")
    result.putalpha(Image.fromarray((alpha * 255).astype(np.uint8)))
    return result


def frames(rng: Rng, image: Image.Image, count: int = 3) -> list[Image.Image]:
    """The picture followed by slightly shifted and dimmed ones."""
    width, height = image.size
    result = [image]
    for step in range(1, count):
        moved = Image.new("RGB", image.size)
        moved.paste(image, (int(rng.integers(-9, 10)), int(rng.integers(-9, 10))))
        small = moved.resize((width // 2, height // 2)).resize(image.size)
        result.append(ImageEnhance.Brightness(small).enhance(1 - 0.25 * step))
    return result


def save_variant(rng: Rng, image: Image.Image, variant: str, turn: int, stem: Path) -> Path:
    """Store a good picture in an odd mode; `turn` counts the files of this variant and picks the format."""
    even = turn % 2 == 0
    if variant == "palette":
        path = stem.with_suffix(".png" if even else ".gif")
        image.quantize(96 if even else 64).save(path)
    elif variant == "grey":
        path = stem.with_suffix(".png" if turn == 0 else ".jpg")
        image.convert("L").save(path, quality=86, optimize=True)
    elif variant == "alpha":
        path = stem.with_suffix(".png" if turn < 3 else ".webp")
        with_clear_corners(rng, image).save(path, quality=80)
    elif variant == "cmyk":
        path = stem.with_suffix(".jpg")
        image.convert("CMYK").save(path, quality=84, optimize=True)
    elif variant == "16bit":
        path = stem.with_suffix(".png")
        wide = np.asarray(image.convert("L"), np.uint16) // 4 * 4 * 257
        Image.fromarray(wide).save(path)
    elif variant == "exif_rotated":
        path = stem.with_suffix(".jpg")
        orientation = (6, 8, 3)[turn % 3]
        turned = image.transpose(STORED[orientation])
        turned.save(path, quality=86, optimize=True, exif=exif_with(orientation))
    else:
        path = stem.with_suffix(".gif" if even else ".webp")
        first, *rest = frames(rng, image)
        if even:
            first, *rest = (frame.quantize(64) for frame in (first, *rest))
            first.save(path, save_all=True, append_images=rest, duration=120, loop=0)
        else:
            first.save(path, save_all=True, append_images=rest, duration=120, loop=0, quality=75, minimize_size=True)
    return path


def save_plain(rng: Rng, image: Image.Image, form: str, stem: Path) -> Path:
    """Store a picture as JPEG (quality 80-92), WebP, PNG, BMP or TIFF."""
    path = stem.with_suffix(f".{form}")
    if form in ("jpg", "jpeg", "JPG"):
        quality = int(np.clip(rng.normal(83, 3), 80, 92))
        image.save(path, "JPEG", quality=quality, optimize=True, progressive=bool(rng.random() < 0.3))
    elif form == "webp":
        image.save(path, quality=int(rng.integers(78, 88)))
    elif form == "tiff":
        image.save(path, compression="jpeg", quality=85)
    else:
        image.save(path)
    return path


def save_equal(image: Image.Image, turn: int, stem: Path) -> Path:
    """Store the very same upright pixels in other bytes; `turn` picks one of four ways."""
    way = turn % 4
    if way == 0:
        path = stem.with_suffix(".png")
        image.save(path, compress_level=1)
    elif way == 1:
        path = stem.with_suffix(".bmp")
        image.save(path)
    elif way == 2:
        path = stem.with_suffix(".webp")
        image.save(path, lossless=True, exact=True)
    else:
        path = stem.with_suffix(".png")
        orientation = 6 if turn % 8 < 4 else 8
        image.transpose(STORED[orientation]).save(path, exif=exif_with(orientation))
    return path


def near_copy(rng: Rng, image: Image.Image) -> bytes:
    """JPEG bytes of the picture after a slight crop, resize, change of light and perhaps a watermark."""
    width, height = image.size
    cut = rng.uniform(0, 0.015, 4)
    if rng.random() < 0.5:
        image = image.crop(
            (int(width * cut[0]), int(height * cut[1]), width - int(width * cut[2]), height - int(height * cut[3]))
        )
    scale = rng.uniform(0.7, 1.15) if rng.random() < 0.85 else rng.uniform(1.15, 1.3)
    image = image.resize(
        (max(64, round(image.width * scale)), max(64, round(image.height * scale))), Image.Resampling.LANCZOS
    )
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.92, 1.08))
    image = ImageEnhance.Contrast(image).enhance(rng.uniform(0.92, 1.08))
    if rng.random() < 0.4:
        font = ImageFont.load_default(size=10)
        ImageDraw.Draw(image).text(
            (image.width - 4, image.height - 3), "(c) 2021", fill=(225, 225, 225), font=font, anchor="rs"
        )
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(rng.integers(50, 76)), optimize=True)
    return buffer.getvalue()


def save_junk(rng: Rng, image: Image.Image, mode: str, stem: Path) -> Path:
    """Store a noise image: `palette`, `alpha` and `grey` as PNG, `gif` as GIF, else plain PNG or JPEG."""
    if mode == "jpeg":
        path = stem.with_suffix(".jpg")
        image.save(path, quality=int(rng.integers(74, 86)), optimize=True)
    elif mode == "gif":
        path = stem.with_suffix(".gif")
        image.quantize(32).save(path)
    else:
        path = stem.with_suffix(".png")
        if mode == "palette":
            image = image.quantize(48)
        elif mode == "grey":
            image = image.convert("L")
        elif mode == "alpha":
            image = _clear_ground(image)
        image.save(path, optimize=True)
    return path


def _clear_ground(image: Image.Image) -> Image.Image:
    """RGBA picture in which a light ground (the colour of the top left pixel) has become transparent."""
    pixels = np.asarray(image)
    result = image.convert("RGBA")
    if pixels[0, 0].mean() > 200:
        ground = (pixels == pixels[0, 0]).all(axis=2)
        result.putalpha(Image.fromarray(np.where(ground, 0, 255).astype(np.uint8)))
    return result
