"""Every stage, report and export over sets that nobody would call usual: each a result or a clear word.

A command may end with 0 (a result), 2 or 3 (a word about the set, with what to do next). Any other end, a word without
a next step, and an image that changed are faults, and are listed.

    python benchmarks/holds/strange_sets.py [--only NAME …] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.launcher import Launcher
from tests.support.program import tree_digest

SMALL = ("--backbone", "embedded-small", "--workers", "1")
COMMANDS: dict[str, tuple[str, ...]] = {
    "scan": ("scan", "{images}", "--workers", "1"),
    "noise": ("noise", *SMALL),
    "labels": ("labels", *SMALL),
    "balance": ("balance", *SMALL),
    "status": ("status",),
    "report": ("report",),
    "export folder": ("export", "{out}/folder", "--mode", "copy", "--dropped"),
    "export csv": ("export", "{out}/table.csv", "--to", "csv"),
    "export early": ("export", "{out}/early", "--from", "{work}/scan/manifest.parquet", "--mode", "copy"),
    "balance early": ("balance", "--from", "{work}/scan/manifest.parquet", *SMALL),
    "report early": ("report",),
}
"""In their order; the early ones pass over the stages between, as somebody may who needs only the one."""

SETS: dict[str, Callable[[Path], None]] = {}


def strange(function: Callable[[Path], None]) -> Callable[[Path], None]:
    """Add a set to those that are tried, under its function's name."""
    SETS[function.__name__] = function
    return function


def picture(seed: int, side: int = 24, hue: int | None = None) -> Image.Image:
    """A picture of its own: a few coloured patches, of the same colours for the same `hue`."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 256, (4, 4, 3))
    if hue is not None:
        patches = np.random.default_rng(hue).integers(40, 216, (4, 4, 3)) + rng.integers(-40, 40, (4, 4, 3))
    return Image.fromarray(patches.astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)


def put(path: Path, image: Image.Image, **how: Any) -> None:
    """Save a picture, whatever the name's ending, as the format in `how` or as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **{"format": "PNG"} | how)


def fill(root: Path, sizes: dict[str, int], side: int = 24) -> None:
    """Classes of that many pictures each."""
    for hue, (label, num) in enumerate(sizes.items()):
        for i in range(num):
            put(root / label / f"{i}.png", picture(1000 * hue + i, side, hue))


def spoil(path: Path) -> None:
    """Cut a file in the middle of its pixels."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@strange
def nothing(root: Path) -> None:
    root.mkdir()


@strange
def hidden_files_alone(root: Path) -> None:
    put(root / ".git" / "a.png", picture(1))
    put(root / "cat" / ".a.png", picture(1))


@strange
def one_image(root: Path) -> None:
    fill(root, {"cat": 1})


@strange
def one_image_a_class(root: Path) -> None:
    fill(root, {f"class {i}": 1 for i in range(12)})


@strange
def one_class(root: Path) -> None:
    fill(root, {"cat": 30})


@strange
def two_images_a_class(root: Path) -> None:
    fill(root, {f"{i}": 2 for i in range(8)})


@strange
def a_class_of_one_among_others(root: Path) -> None:
    fill(root, {"cat": 20, "dog": 20, "yak": 1})


@strange
def one_large_class_and_one_of_one(root: Path) -> None:
    fill(root, {"cat": 120, "yak": 1})


@strange
def images_without_a_class(root: Path) -> None:
    for i in range(20):
        put(root / f"{i}.png", picture(i))


@strange
def images_beside_classes(root: Path) -> None:
    fill(root, {"cat": 10, "dog": 10})
    put(root / "stray.png", picture(99))


@strange
def all_noise(root: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(40):
        pixels = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
        put(root / f"{i % 3}" / f"{i}.png", Image.fromarray(pixels))


@strange
def one_colour_each(root: Path) -> None:
    for i in range(30):
        put(root / f"{i % 3}" / f"{i}.png", Image.new("RGB", (16, 16), (8 * i, 255 - 8 * i, 60)))


@strange
def all_copies_in_one_class(root: Path) -> None:
    for i in range(20):
        put(root / "cat" / f"{i}.png", picture(7))


@strange
def all_copies_under_many_classes(root: Path) -> None:
    for i in range(20):
        put(root / f"{i % 5}" / f"{i}.png", picture(7))


@strange
def two_classes_of_the_same_images(root: Path) -> None:
    for label in ("cat", "feline"):
        for i in range(15):
            put(root / label / f"{i}.png", picture(i))


@strange
def all_near_copies(root: Path) -> None:
    original = picture(3, 64)
    for i in range(24):
        put(root / f"{i % 2}" / f"{i}.jpg", ImageEnhance.Brightness(original).enhance(1 + i / 400), format="JPEG")


@strange
def two_thousand_classes_of_three(root: Path) -> None:
    fill(root, {f"c{i:04d}": 3 for i in range(2000)}, side=8)


@strange
def broken_two_in_five(root: Path) -> None:
    fill(root, {"cat": 20, "dog": 20, "owl": 20})
    for path in sorted(root.rglob("*.png")):
        if int(path.stem) % 5 < 2:
            spoil(path)


@strange
def all_broken(root: Path) -> None:
    fill(root, {"cat": 5, "dog": 5})
    for path in root.rglob("*.png"):
        spoil(path)


@strange
def a_class_of_broken_files(root: Path) -> None:
    fill(root, {"cat": 15, "dog": 15, "yak": 6})
    for path in (root / "yak").iterdir():
        spoil(path)


@strange
def no_images_at_all(root: Path) -> None:
    for label, text in (("notes", "to do"), ("tables", "a,b\n1,2\n"), ("pages", "<html>")):
        for i in range(4):
            path = root / label / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text * (i + 1))


@strange
def names_that_differ_in_case(root: Path) -> None:
    for label in ("Cat", "cat", "CAT"):
        for i, name in enumerate(("a.png", "A.png", "a.PNG", "b.png")):
            put(root / label / name, picture(hash_of(label) + i))


@strange
def names_that_look_equal(root: Path) -> None:
    for seed, label in enumerate(("caf\u00e9", "cafe\u0301", "cat", "c\u0430t", "cat ", " cat")):  # NFC, NFD, Cyrillic
        for i in range(4):
            put(root / label / f"{i}.png", picture(10 * seed + i))


@strange
def names_that_mean_something_else(root: Path) -> None:
    labels = ("NA", "nan", "None", "null", "-1", "007", "1e5", "true", "=1+1", "@sum", "'quoted", "noise", "-rf", "con")
    fill(root, dict.fromkeys(labels, 3))


@strange
def names_of_every_kind(root: Path) -> None:
    labels = (
        "<script>alert(1)</script>",
        'a"b',
        "a,b",
        "a\nb",
        "a\rb",
        "a\tb",
        "猫",
        "🐈",
        "قطة",
        "a\\b",
        "%2e%2e",
        "x" * 200,
    )
    fill(root, dict.fromkeys(labels, 3))
    (root / "cat").mkdir()
    for i, name in enumerate((b"\xff\xfe.png", b"\xe9t\xe9.png", b"new\nline.png")):
        put(root / "cat" / os.fsdecode(name), picture(500 + i))


@strange
def folders_forty_deep(root: Path) -> None:
    for i in range(12):
        put(Path(root, f"{i % 3}", *("deep" for _ in range(40)), f"{i}.png"), picture(i))


@strange
def one_pixel_images(root: Path) -> None:
    for i in range(24):
        put(root / f"{i % 3}" / f"{i}.png", Image.new("RGB", (1, 1), (10 * i, 0, 255 - 10 * i)))


@strange
def threads_of_images(root: Path) -> None:
    for i in range(18):
        size = (1, 3000) if i % 2 else (3000, 1)
        put(root / f"{i % 3}" / f"{i}.png", picture(i).resize(size))


@strange
def every_mode_and_format(root: Path) -> None:
    modes = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I")
    for i in range(32):
        mode = modes[i % len(modes)]
        image = picture(i).convert(mode) if not mode.startswith("I") else picture(i).convert("L").convert(mode)
        put(
            root / f"{i % 4}" / f"{i}.png", image, format="TIFF" if mode == "I" else "PNG"
        )  # Pillow 13 writes no such PNG
    put(root / "0" / "cmyk.jpg", picture(50).convert("CMYK"), format="JPEG")
    put(root / "1" / "film.gif", picture(51), format="GIF", save_all=True, append_images=[picture(52), picture(53)])
    put(root / "2" / "pages.tif", picture(54), format="TIFF", save_all=True, append_images=[picture(55)])


@strange
def only_a_test_split(root: Path) -> None:
    fill(root, {"test/cat": 8, "test/dog": 8})


@strange
def splits_that_share_no_class(root: Path) -> None:
    fill(root, {"train/cat": 12, "train/dog": 12, "val/owl": 6, "test/yak": 1})


@strange
def links_of_every_kind(root: Path) -> None:
    fill(root, {"cat": 8, "dog": 8})
    (root / "cat" / "gone.png").symlink_to("nowhere.png")
    (root / "cat" / "loop.png").symlink_to("loop.png")
    (root / "dog" / "passwd.png").symlink_to("/etc/passwd")
    (root / "owl").symlink_to("cat")
    (root / "dog" / "up").symlink_to("..")
    os.link(root / "cat" / "0.png", root / "dog" / "hard.png")


@strange
def no_regular_files(root: Path) -> None:
    fill(root, {"cat": 8, "dog": 8})
    os.mkfifo(root / "cat" / "pipe.png")
    (root / "dog" / "folder.png").mkdir()
    (root / "dog" / "zero.png").symlink_to("/dev/zero")
    listening = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(root / "cat")  # the name of a socket is short
    listening.bind("socket.png")
    os.chdir(here)
    listening.close()


@strange
def one_huge_class_and_many_small(root: Path) -> None:
    fill(root, {"cat": 300} | {f"rare {i}": 1 + i % 3 for i in range(20)}, side=8)


def hash_of(text: str) -> int:
    """A small number of a text's own, the same in every run."""
    return sum(ord(char) << i for i, char in enumerate(text))


@dataclass
class Trial:
    """What the commands made of one set."""

    name: str
    codes: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


def try_set(launcher: Launcher, name: str, folder: Path) -> Trial:
    """Make a set below `folder` and run all commands over it, in workspaces of their own."""
    trial, started = Trial(name), time.monotonic()
    images, work = folder / "images", folder / "work"
    SETS[name](images)
    before = tree_digest(images)
    work.mkdir()
    for title, arguments in COMMANDS.items():
        if title == "balance early":  # the stages passed over must not be there
            for stage in ("noise", "labels", "balance"):
                shutil.rmtree(work / stage, ignore_errors=True)
        filled = [a.format(images=images, out=folder, work=work) for a in arguments]
        outcome = launcher.start(*filled, "-C", work)
        trial.codes[title] = outcome["code"]
        if fault := fault_of(outcome):
            trial.faults.append(f"{title}: {fault}")
    if tree_digest(images) != before:
        trial.faults.append("the images changed")
    trial.seconds = time.monotonic() - started
    return trial


def fault_of(outcome: dict[str, Any]) -> str:
    """What is wrong with the end of a command; '' if nothing is."""
    code, words = outcome["code"], outcome["stderr"]
    last = words.strip()[-300:]
    if code not in (0, 2, 3) or "unexpected" in words or "Traceback" in words:
        return f"exit {code}: {last}"
    if "Warning:" in words:  # Python's own, which say nothing to people
        return f"a library's warning: {last}"
    if code == 3 and "next:" not in words:
        return f"no next step: {last}"
    return ""


def try_sets(names: list[str], keep: Path | None = None) -> Iterator[Trial]:
    """The trial of each set of `names`."""
    launcher = Launcher(Path())
    try:
        for name in names:
            with tempfile.TemporaryDirectory() as scratch:
                folder = keep / name if keep else Path(scratch) / name
                folder.mkdir(parents=True)
                yield try_set(launcher, name, folder)
    finally:
        launcher.close()


def main() -> None:
    """Print a line for each set, and the sum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--keep", type=Path, help="leave images and workspaces in this folder")
    options = parser.parse_args()
    ends: Counter[int] = Counter()
    num_faults = 0
    for trial in try_sets(options.only, options.keep):
        ends.update(trial.codes.values())
        num_faults += len(trial.faults)
        print(f"{trial.name:36} {' '.join(map(str, trial.codes.values()))}  {trial.seconds:.0f} s", flush=True)
        for fault in trial.faults:
            print(f"    {fault}", flush=True)
    codes = dict(sorted(ends.items()))
    print(f"{len(options.only)} sets, {ends.total()} commands, exit codes {codes}, {num_faults} faults")
    sys.exit(num_faults > 0)


if __name__ == "__main__":
    main()
