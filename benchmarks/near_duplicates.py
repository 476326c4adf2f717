"""Recall of the perceptual hash on near duplicates of known kinds, and accidental pairs, by radius.

    python benchmarks/near_duplicates.py ../shared/data/tiny50.parquet [--num 1000]

DATA is a Parquet file whose column `image` holds encoded images. Each of `--num` images gets one near duplicate of
every kind. Joined by accident are images among the distinct ones of the whole file that the search puts into the
group of another, exact copies aside; a web collection may hold a few true near duplicates of its own.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageEnhance

from cleaner.dataset.images import UNIFORM_STD, perceptual_hash
from cleaner.scoring.duplicates import find_near_duplicates

RADII = (4, 8, 12, 14, 16, 18, 20, 22, 24)
Rng = np.random.Generator


def resized(image: Image.Image, rng: Rng) -> Image.Image:
    scale = rng.uniform(0.7, 1.3)
    size = (round(image.width * scale), round(image.height * scale))
    return image.resize(size, [Image.Resampling.BILINEAR, Image.Resampling.LANCZOS][rng.integers(2)])


def compressed(image: Image.Image, rng: Rng) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(rng.integers(50, 76)))
    return Image.open(buffer).convert("RGB")


def relit(image: Image.Image, rng: Rng) -> Image.Image:
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.92, 1.08))
    return ImageEnhance.Contrast(image).enhance(rng.uniform(0.92, 1.08))


def cropped(image: Image.Image, rng: Rng) -> Image.Image:
    left, top, right, bottom = rng.uniform(0, 0.03, 4)
    box = (left * image.width, top * image.height, (1 - right) * image.width, (1 - bottom) * image.height)
    return image.resize(image.size, Image.Resampling.BICUBIC, box=box)


def watermarked(image: Image.Image, rng: Rng) -> Image.Image:
    image = image.copy()
    width, height = image.width // 4, image.height // 12
    x, y = int(rng.integers(image.width - width)), image.height - height - int(rng.integers(4))
    ImageDraw.Draw(image).rectangle((x, y, x + width, y + height), fill=(255, 255, 255))
    return image


def all_of_it(image: Image.Image, rng: Rng) -> Image.Image:
    return compressed(relit(resized(image, rng), rng), rng)


KINDS: dict[str, Callable[[Image.Image, Rng], Image.Image]] = {
    "resize 0.7-1.3": resized,
    "JPEG q50-75": compressed,
    "brightness, contrast 8 %": relit,
    "crop up to 3 % a side": cropped,
    "watermark": watermarked,
    "resize + light + JPEG": all_of_it,
}


def hash_of(image: Image.Image) -> np.ndarray:
    return np.frombuffer(perceptual_hash(image), np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--num", type=int, default=1000)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    encoded = pq.read_table(args.data, columns=["image"]).column("image").to_pylist()
    images = [Image.open(io.BytesIO(data)).convert("RGB") for data in encoded]
    images = [image for image in images if np.asarray(image.convert("L")).std() / 255 > UNIFORM_STD]
    hashes = np.unique(np.stack([hash_of(image) for image in images]), axis=0)
    chosen = [images[i] for i in rng.permutation(len(images))[: args.num]]
    print(
        f"{args.data.name}: {len(images):,} images, {len(chosen):,} of them altered; recall in % by radius of 128 bits"
    )
    print(f"{'kind':26}" + "".join(f"{radius:>8}" for radius in RADII))
    originals = np.stack([hash_of(image) for image in chosen])
    for kind, alter in KINDS.items():
        altered = np.stack([hash_of(alter(image, rng)) for image in chosen])
        distances = np.unpackbits(originals ^ altered, axis=1).sum(axis=1)
        print(f"{kind:26}" + "".join(f"{100 * (distances <= radius).mean():8.1f}" for radius in RADII))
    grouped = []
    for radius in RADII:
        groups = find_near_duplicates(hashes, radius)
        grouped.append(int((groups >= 0).sum() - (groups.max() + 1)))
    print(f"{'images joined by accident':26}" + "".join(f"{num:>8,}" for num in grouped))


if __name__ == "__main__":
    main()
