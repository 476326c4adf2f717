"""Sets where photographs are not the norm, drawn for trials: line drawings, products on white, X-rays, text pages.

    python benchmarks/drawn_sets.py DATA KIND OUT [--junk 120] [--flip 0.1] [--seed 0]

DATA is the folder with the packs of junk (../shared/data). Writes OUT/train/CLASS/FILE and OUT/truth.csv as
lay_out.py does. Each kind has classes that can be told apart and whose images differ as real ones do: in place, size,
stroke, light and compression. Junk keeps its own size and format; pages get photographs alone, since screenshots are
pages.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFilter

Rng = np.random.Generator
Draw = Callable[[Rng, int], Image.Image]
"""Random numbers and the number of a class to a picture of it."""


def drawing(rng: Rng, kind: int) -> Image.Image:
    """A line drawing on white: strokes of one subject with a shaking hand."""
    side = int(rng.integers(240, 400))
    page = Image.new("L", (side, int(side * rng.uniform(0.8, 1.2))), int(rng.integers(244, 256)))
    draw = ImageDraw.Draw(page)
    subject = np.random.default_rng([7, kind])
    scale, tilt = side * rng.uniform(0.28, 0.42), rng.normal(0, 0.15)
    middle = np.array(page.size) / 2 + rng.normal(0, side * 0.05, 2)
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    for _ in range(int(subject.integers(4, 9))):
        angles = np.linspace(0, subject.uniform(2, 6.4), 24) + subject.uniform(0, 6.3)
        radii = subject.uniform(0.1, 0.6, 2)
        stroke = np.column_stack([np.cos(angles) * radii[0], np.sin(angles * subject.integers(1, 3)) * radii[1]])
        stroke = (stroke + subject.uniform(-0.5, 0.5, 2)) * rng.normal(1, 0.08, 2) + rng.normal(0, 0.04, 2)
        stroke += np.cumsum(rng.normal(0, 0.008, stroke.shape), 0)
        points = [tuple(p) for p in stroke @ turn.T * scale + middle]
        draw.line(points, fill=int(rng.integers(0, 70)), width=int(rng.integers(2, 5)), joint="curve")
    return page if rng.random() < 0.3 else page.convert("RGB")


def product(rng: Rng, kind: int) -> Image.Image:
    """One thing on white with a soft shadow; a class is a shape, colours are free."""
    side = int(rng.integers(280, 420))
    thing = np.random.default_rng([11, kind])
    angles = np.linspace(0, 2 * np.pi, int(thing.integers(5, 40)), endpoint=False)
    radii = 1 + 0.45 * np.sin(angles * thing.integers(1, 6) + thing.uniform(0, 6)) * thing.uniform(0.2, 1)
    wide, high = thing.uniform(0.5, 1.2), thing.uniform(0.5, 1.2)
    scale = side * rng.uniform(0.2, 0.3)
    outline = np.column_stack([np.cos(angles) * wide, np.sin(angles) * high]) * radii[:, None] * scale
    outline = outline * rng.normal(1, 0.06, 2) + side / 2 + rng.normal(0, side * 0.02, 2)
    page = Image.new("RGB", (side, side), "white")
    shadow = Image.new("L", page.size, 0)
    ImageDraw.Draw(shadow).polygon([(x + 6, y + 10) for x, y in outline], fill=90)
    page.paste((120, 120, 120), mask=shadow.filter(ImageFilter.GaussianBlur(9)))
    body = Image.new("RGB", page.size, tuple(int(c) for c in rng.integers(20, 230, 3)))
    detail = ImageDraw.Draw(body)
    for _ in range(int(thing.integers(2, 7))):
        x, y = side / 2 + thing.uniform(-0.8, 0.8, 2) * scale
        size = scale * thing.uniform(0.1, 0.4)
        detail.ellipse((x - size, y - size, x + size, y + size), fill=tuple(int(c) for c in rng.integers(0, 256, 3)))
    light = np.linspace(rng.uniform(0.9, 1.3), rng.uniform(0.5, 0.9), side)[None, :, None]
    body = Image.fromarray(np.clip(np.asarray(body) * light, 0, 255).astype(np.uint8))
    mask = Image.new("L", page.size, 0)
    ImageDraw.Draw(mask).polygon([tuple(p) for p in outline], fill=255)
    page.paste(body, mask=mask.filter(ImageFilter.GaussianBlur(1)))
    return page


def xray(rng: Rng, kind: int) -> Image.Image:
    """A smooth grey picture of one layout: two dark lungs, ribs, and a spot whose place is the class."""
    wide, high = int(rng.integers(300, 380)), int(rng.integers(300, 380))
    y, x = np.mgrid[0:high, 0:wide] / np.array([high, wide])[:, None, None]
    shift = rng.normal(0, 0.03, 4)
    grey = 0.75 - 0.25 * np.abs(y - 0.5)
    for side in (-1, 1):
        spread = (rng.uniform(0.11, 0.15), rng.uniform(0.24, 0.32))
        lung = ((x - 0.5 - side * 0.2 - shift[0]) / spread[0]) ** 2 + ((y - 0.48 - shift[1]) / spread[1]) ** 2
        grey = grey - rng.uniform(0.35, 0.5) * np.exp(-(lung**1.5))
    ribs = np.sin(2 * np.pi * (y * rng.uniform(7, 9) + 1.2 * (x - 0.5) ** 2 + rng.uniform(0, 1)))
    grey = grey + rng.uniform(0.03, 0.06) * ribs * np.exp(-(((x - 0.5) / 0.32) ** 4))
    place = np.array([(0.3, 0.3), (0.7, 0.35), (0.32, 0.65), (0.68, 0.66)])[kind % 4] + rng.normal(0, 0.02, 2)
    size = rng.uniform(0.05, 0.08)
    grey = grey + rng.uniform(0.25, 0.4) * np.exp(-(((x - place[0]) / size) ** 2 + ((y - place[1]) / size) ** 2))
    grey = grey + rng.normal(0, 0.01, grey.shape)
    return Image.fromarray((np.clip(grey, 0, 1) * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))


def page(rng: Rng, kind: int) -> Image.Image:
    """A scanned page: a letter, a table, a form, a list, two columns, or a page of headings."""
    wide, high = 300, 400
    sheet = Image.new("L", (wide, high), int(rng.integers(230, 256)))
    draw = ImageDraw.Draw(sheet)
    ink, pitch = int(rng.integers(0, 90)), int(rng.integers(9, 13))

    def words(left: int, top: int, right: int) -> None:
        while left < right - 8:
            width = int(min(rng.integers(6, 30), right - left))
            draw.line((left, top, left + width, top), fill=ink, width=3)
            draw.line((left, top + 2, left + width, top + 2), fill=(ink + 255) // 2, width=1)
            left += width + 5

    margin = int(rng.integers(20, 40))
    rows = range(margin, high - margin, pitch)
    match kind % 6:
        case 0:
            for top in list(rows)[6 : -int(rng.integers(3, 9))]:
                words(margin, top, wide - margin)
        case 1:
            step = int(rng.integers(35, 60))
            for top in rows:
                for left in range(margin, wide - margin - step + 1, step):
                    draw.rectangle((left, top, left + step, top + pitch), outline=ink)
                    words(left + 4, top + 5, left + int(rng.integers(12, step)))
        case 2:
            for top in list(rows)[::3]:
                words(margin, top, margin + 60)
                draw.rectangle((margin + 80, top - 6, wide - margin, top + 10), outline=ink)
        case 3:
            for top in list(rows)[::2]:
                draw.ellipse((margin, top - 2, margin + 5, top + 3), fill=ink)
                words(margin + 14, top, int(rng.integers(120, wide - margin)))
        case 4:
            for top in rows:
                words(margin, top, wide // 2 - 8)
                words(wide // 2 + 8, top, wide - margin)
        case _:
            for top in list(rows)[::6]:
                draw.line((margin, top, int(rng.integers(120, 240)), top), fill=ink, width=8)
                words(margin, top + 16, wide - margin)
    return sheet.rotate(rng.normal(0, 0.8), fillcolor=240)


KINDS: dict[str, tuple[Draw, int, int, list[str]]] = {
    "drawings": (drawing, 12, 40, ["offtopic", "offtopic_photos"]),
    "products": (product, 12, 40, ["offtopic", "offtopic_photos"]),
    "xrays": (xray, 4, 120, ["offtopic", "offtopic_photos"]),
    "pages": (page, 6, 80, ["offtopic_photos"]),
}
"""How a picture is drawn, how many classes and images of each, and the packs of junk."""


def read_junk(data: Path, packs: list[str], kind: str) -> pd.DataFrame:
    """Junk with columns file_name, image, repo: photographs alone for pages."""
    junk = pd.concat([pd.read_parquet(data / f"{p}.parquet") for p in packs], ignore_index=True)
    return junk[junk["kind"] == "photo"] if kind == "pages" else junk


def lay_out(data: Path, kind: str, out: Path, num_junk: int, flip: float, seed: int) -> None:
    """Write the set and its truth."""
    draw, num_classes, each, packs = KINDS[kind]
    rng = np.random.default_rng([seed, len(kind)])
    rows = []

    def keep(name: str, given: str, clean: str, source: str) -> None:
        rows.append((name, given, clean, clean == "", source))

    for number in range(num_classes):
        for i in range(each):
            picture = draw(np.random.default_rng([seed, number, i]), number)
            given = number
            if rng.random() < flip:
                given = (number + int(rng.integers(1, num_classes))) % num_classes
            suffix = "png" if rng.random() < 0.2 else "jpg"
            buffer = io.BytesIO()
            picture.save(buffer, "PNG" if suffix == "png" else "JPEG", **({} if suffix == "png" else {"quality": 90}))
            name = f"{kind}{given:02}/{number:02}_{i:03}.{suffix}"
            path = out / "train" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(buffer.getvalue())
            keep(name, f"{kind}{given:02}", f"{kind}{number:02}", "")
    junk = read_junk(data, packs, kind)
    for i, row in enumerate(junk.sample(num_junk, random_state=seed).itertuples()):
        label = f"{kind}{int(rng.integers(num_classes)):02}"
        name = f"{label}/junk_{i:03}{Path(row.file_name).suffix}"
        (out / "train" / name).write_bytes(row.image)
        keep(name, label, "", row.repo)
    columns = ["file_name", "given_label", "clean_label", "is_noise_image", "source"]
    pd.DataFrame(rows, columns=columns).to_csv(out / "truth.csv", index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("kind", choices=list(KINDS))
    parser.add_argument("out", type=Path)
    parser.add_argument("--junk", type=int, default=120)
    parser.add_argument("--flip", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    lay_out(args.data, args.kind, args.out, args.junk, args.flip, args.seed)


if __name__ == "__main__":
    main()
