"""Draw the sample data set: `python sample_data/generate.py [--out DIR] [--seed 0]`.

Writes DIR/images/<class>/<file>, DIR/outside/ (targets of links that leave the tree), DIR/seeds.csv and
DIR/truth.csv. The same seed gives the same bytes (with the same versions of Pillow and numpy).
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from pathlib import Path

import numpy as np
from faults import write_faults, write_hidden
from junk import JUNK
from oddments import jumble
from PIL import Image
from plan import DRAWERS, JUMBLED, REGULAR, UPRIGHT, Item, choose_seeds, make_plan, tally
from scenery import Rng, photograph
from variants import degrade, near_copy, save_equal, save_junk, save_plain, save_variant

COLUMNS = (
    "file_name",
    "given_label",
    "clean_label",
    "is_noise_image",
    "noise_kind",
    "label_error",
    "fault",
    "duplicate_of",
    "duplicate_kind",
    "conflict",
    "quality",
    "variant",
)


def draw_picture(rng: Rng, label: str, width: int, height: int, turn: int = 0) -> Image.Image:
    """A picture of a class; `turn` counts the pictures of the jumbled class."""
    if label == JUMBLED:
        things = [DRAWERS[str(rng.choice(REGULAR))](rng) for _ in range(int(rng.integers(3, 6)))]
        return jumble(rng, turn, things, width, height)
    tilt = 9 if label.split("_")[0] in UPRIGHT else 30
    return photograph(rng, DRAWERS[label](rng), width, height, tilt)


def write_original(seed: int, item: Item, stem: Path) -> Path:
    """Draw a picture and store it in the form the plan asks for."""
    rng = np.random.default_rng([seed, 3, item.number])
    if item.noise_kind:
        return save_junk(rng, JUNK[item.noise_kind](rng, item.width, item.height), item.mode, stem)
    image = degrade(rng, draw_picture(rng, item.clean, item.width, item.height, item.turn), item.quality)
    if item.variant:
        return save_variant(rng, image, item.variant, item.turn, stem)
    return save_plain(rng, image, item.form, stem)


def write_copy(seed: int, item: Item, source: Path, stem: Path) -> Path:
    """Store an exact or near copy of a file that is already written."""
    if item.copy_how == "bytes":
        path = stem.with_suffix(source.suffix)
        path.write_bytes(source.read_bytes())
        return path
    with Image.open(source) as opened:
        image = opened.convert("RGB")
    if item.copy_how == "pixels":
        return save_equal(image, item.turn, stem)
    path = stem.with_suffix(".jpg")
    path.write_bytes(near_copy(np.random.default_rng([seed, 4, item.number]), image))
    return path


def write_pictures(seed: int, items: list[Item], root: Path) -> None:
    """Write every planned picture and set its file name relative to the root."""
    for item in items:
        stem = root / item.given / item.stem
        stem.parent.mkdir(parents=True, exist_ok=True)
        if item.original:
            path = write_copy(seed, item, root / item.original.file_name, stem)
        else:
            path = write_original(seed, item, stem)
        item.file_name = path.relative_to(root).as_posix()


def fault_rows(seed: int, out: Path) -> list[dict[str, str]]:
    """Write the faulty and the hidden files and return their rows of the truth table."""
    rng = np.random.default_rng([seed, 5])
    root = out / "images"
    pictures = [draw_picture(rng, name, 128, 120) for name in REGULAR[:6]]
    (out / "outside").mkdir(exist_ok=True)
    for number, picture in enumerate(pictures[4:6], 1):
        picture.save(out / "outside" / f"photo_{number}.jpg", quality=85)
    names = rng.permutation(REGULAR).tolist()
    folders = [root / name for name in names]
    write_hidden(root, folders)
    rows = []
    for path, fault in write_faults(folders, pictures):
        row = dict.fromkeys(COLUMNS, "")
        row |= {"file_name": path.relative_to(root).as_posix(), "given_label": path.parent.name, "fault": fault}
        rows.append(row | {"is_noise_image": "false", "conflict": "false"})
    return rows


def picture_row(item: Item) -> dict[str, str]:
    """The row of the truth table for a readable picture."""
    return {
        "file_name": item.file_name,
        "given_label": item.given,
        "clean_label": item.clean,
        "is_noise_image": str(bool(item.noise_kind)).lower(),
        "noise_kind": item.noise_kind,
        "label_error": item.label_error,
        "fault": "",
        "duplicate_of": item.original.file_name if item.original else "",
        "duplicate_kind": "" if not item.original else "near" if item.copy_how == "near" else "exact",
        "conflict": str(item.conflict).lower(),
        "quality": item.quality,
        "variant": item.variant,
    }


def write_table(path: Path, columns: tuple[str, ...], rows: list[dict[str, str]]) -> None:
    """Write rows to a CSV file, sorted by file name."""
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: row["file_name"]))


def clear(out: Path) -> None:
    """Remove an earlier drawing; refuse to touch a folder that this program did not write."""
    images = out / "images"
    if images.exists() and any(images.iterdir()) and not (out / "truth.csv").is_file():
        sys.exit(f"{images} holds files but there is no truth.csv beside it; choose another --out")
    for folder in (images, out / "outside"):
        if folder.exists():
            shutil.rmtree(folder)
    for name in ("truth.csv", "seeds.csv"):
        (out / name).unlink(missing_ok=True)


def generate(out: Path, seed: int) -> list[Item]:
    """Write the whole sample data set into a folder and return its readable pictures."""
    clear(out)
    root = out / "images"
    root.mkdir(parents=True)
    (out / "truth.csv").touch()
    items = make_plan(seed)
    write_pictures(seed, items, root)
    rows = [picture_row(item) for item in items] + fault_rows(seed, out)
    write_table(out / "truth.csv", COLUMNS, rows)
    seeds = [
        {"file_name": item.file_name, "is_noise": str(bool(item.noise_kind)).lower()}
        for item in choose_seeds(seed, items)
    ]
    write_table(out / "seeds.csv", ("file_name", "is_noise"), seeds)
    return items


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent, help="default: this folder")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    options = parser.parse_args()
    items = generate(options.out, options.seed)
    print(f"{len(items)} readable pictures")
    for field in ("given", "noise_kind", "label_error", "copy_how", "quality", "variant"):
        print(f"{field}: {dict(sorted(tally(items, field).items()))}")


if __name__ == "__main__":
    main()
