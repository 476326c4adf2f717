"""Image-quality findings against cleanvision's, on the same files: agreement, planted faults, speed.

    python benchmarks/image_quality.py DATA [--num 3000] [--seed 0] [--work DIR] [--only tables|speed]

DATA is the folder with lay_out.py and the packs (../shared/data). Table 1: findings on plain images of tiny50, ours,
theirs, both, agreement and Cohen's kappa. Table 2: faults planted by altering other images of it: recall, and
precision against the plain images of table 1, each fault alone. All figures are of the `test` half of the classes; the
thresholds were chosen on the other half (`--half tune` prints that). Table 3: images a second on 400 x 533 JPEGs, one
process each. Size is relative to the set, so that a file of odd size is looked at among the plain images.
cleanvision stops at truncated JPEGs and at PNGs with grey and alpha; none are laid out here.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter

THEIRS = {
    "blurry": "is_blurry_issue",
    "bright": "is_light_issue",
    "dark": "is_dark_issue",
    "low_information": "is_low_information_issue",
    "odd_aspect": "is_odd_aspect_ratio_issue",
    "odd_size": "is_odd_size_issue",
}
Alter = Callable[[Image.Image, np.random.Generator], Image.Image]


def blur(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(1.5, 2.5) * max(image.size) / 64))


def darken(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    strength = rng.uniform(0.1, 0.25)
    return image.point(lambda v: v * strength)


def wash_out(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    strength = rng.uniform(0.06, 0.16)
    return image.point(lambda v: 255 - (255 - v) * strength)


def flatten(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    grey = np.asarray(image.convert("L"), dtype=np.float32)
    flat = rng.uniform(90, 170) + (grey - grey.mean()) * rng.uniform(0.05, 0.12)
    return Image.fromarray(np.clip(flat, 0, 255).astype(np.uint8)).convert("RGB")


def crop(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    width, height = image.size
    part = int(rng.uniform(0.15, 0.3) * min(width, height))
    if rng.random() < 0.5:
        return image.crop((0, (height - part) // 2, width, (height - part) // 2 + part))
    return image.crop(((width - part) // 2, 0, (width - part) // 2 + part, height))


def resize(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    factor = 1 / rng.uniform(4, 6) if rng.random() < 0.5 else rng.uniform(4, 8)
    return image.resize([max(1, round(side * factor)) for side in image.size], Image.Resampling.BICUBIC)


FAULTS: dict[str, Alter] = {
    "blurry": blur,
    "bright": wash_out,
    "dark": darken,
    "low_information": flatten,
    "odd_aspect": crop,
    "odd_size": resize,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--num", type=int, default=3000, help="images of the half that is looked at")
    parser.add_argument("--half", choices=["tune", "test"], default="test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("/tmp/cleaner-image-quality"))
    parser.add_argument("--only", choices=["tables", "speed"])
    args = parser.parse_args()
    if args.only != "speed":
        planted = plant(args.data, args.num, args.half, args.seed, args.work)
        images = args.work / f"{args.half}-{args.seed}"
        ours, theirs = find_ours(images, args.work), find_theirs(images)
        print(f"tiny50, {args.half} half: {len(planted)} images, {(planted == '').sum()} of them plain\n")
        print(agreement(planted, ours, theirs).to_string(float_format="%.3f", na_rep="-"))
        print("\nplanted faults\n" + recall_table(planted, ours, theirs).to_string(float_format="%.3f", na_rep="-"))
    if args.only != "tables":
        print("\n" + speed(args.data, args.work))


def plant(data: Path, num: int, half: str, seed: int, work: Path) -> pd.Series:
    """Lay tiny50 out, take `num` images of one half and alter a tenth of them for each fault: name to fault or ''."""
    source, out = lay_out(data, work), work / f"{half}-{seed}"
    truth = pd.read_csv(source / "truth.csv", keep_default_na=False)
    rng = np.random.default_rng([seed, 1])
    names = sorted(truth.loc[truth["part"] == half, "file_name"])
    chosen = [names[i] for i in rng.permutation(len(names))[:num]]
    share = len(chosen) // 20
    faults = [fault for fault in FAULTS for _ in range(share)]
    planted = pd.Series(faults + [""] * (len(chosen) - len(faults)), index=chosen)
    shutil.rmtree(out, ignore_errors=True)
    for name, fault in planted.items():
        path = out / str(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if fault:
            with Image.open(source / "train" / str(name)) as image:
                FAULTS[fault](image.convert("RGB"), rng).save(path, "JPEG", quality=90)
        else:
            shutil.copyfile(source / "train" / str(name), path)
    return planted.sort_index()


def lay_out(data: Path, work: Path) -> Path:
    folder = work / "tiny50"
    if not (folder / "truth.csv").exists():
        command = [sys.executable, str(data / "lay_out.py"), "tiny50", "--flip", "0", "--out", str(folder)]
        subprocess.run(command, check=True, stdout=sys.stderr)
    return folder


def find_ours(images: Path, work: Path) -> pd.DataFrame:
    """One bool column for each finding, by file name."""
    from cleaner.config import QUALITY_ISSUES, RunOptions, ScanSettings
    from cleaner.dataset.workspace import Workspace
    from cleaner.stages.scan import run_scan

    home = work / f"workspace-{images.name}"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    run_scan(Workspace(home), images, ScanSettings(), RunOptions())
    found = Workspace(home).read("scan").set_index("file_name")["quality"].str.split(",")
    return pd.DataFrame({name: [name in row for row in found] for name in QUALITY_ISSUES}, index=found.index)


def find_theirs(images: Path, num_jobs: int | None = None) -> pd.DataFrame:
    """The same of cleanvision."""
    from cleanvision import Imagelab

    issues = {name[3:-6]: {} for name in THEIRS.values()}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        lab = Imagelab(data_path=str(images))
        lab.find_issues(issues, n_jobs=num_jobs, verbose=False)
    table = lab.issues
    table.index = [os.path.relpath(path, images) for path in table.index]
    return pd.DataFrame({name: table[column].astype(bool) for name, column in THEIRS.items()}).sort_index()


def agreement(planted: pd.Series, ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """For each issue, on the plain images and on all."""
    rows = {}
    for name in THEIRS:
        row: dict[str, float] = {}
        for what, part in (("plain", planted == ""), ("all", planted == planted)):
            a = ours.loc[planted.index, name][part].to_numpy()
            b = theirs.loc[planted.index, name][part].to_numpy()
            same, chance = float((a == b).mean()), float(a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean()))
            kappa = (same - chance) / (1 - chance) if chance < 1 else np.nan
            counts = {"ours": int(a.sum()), "theirs": int(b.sum()), "both": int((a & b).sum())}
            row |= {f"{what} {k}": v for k, v in (counts | {"agree": same, "kappa": kappa}).items()}
        rows[name] = row
    return pd.DataFrame(rows).T.astype({f"{w} {k}": int for w in ("plain", "all") for k in ("ours", "theirs", "both")})


def recall_table(planted: pd.Series, ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Recall of each planted fault, and precision among its own images and the plain ones."""
    rows = {}
    for name in THEIRS:
        part = planted.isin(["", name])
        true = (planted[part] == name).to_numpy()
        row: dict[str, float] = {"planted": float(true.sum())}
        for who, found in (("ours", ours), ("theirs", theirs)):
            flag = found.loc[planted.index, name][part].to_numpy()
            row[f"{who} recall"] = float((flag & true).sum() / true.sum())
            row[f"{who} precision"] = float((flag & true).sum() / flag.sum()) if flag.any() else np.nan
        rows[name] = row
    return pd.DataFrame(rows).T.astype({"planted": int})


def speed(data: Path, work: Path, num: int = 300, repeats: int = 3) -> str:
    """Images a second: our inspection and cleanvision, one process each, in turn; the best of each."""
    from cleaner.dataset.images import inspect_image

    folder = work / "photos"
    if not folder.exists():
        files = sorted((lay_out(data, work) / "train").glob("*/*"))
        for i, path in enumerate(files[:: len(files) // num][:num]):
            (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
            with Image.open(path) as image:
                big = image.convert("RGB").resize((533, 400), Image.Resampling.BICUBIC)
            big.save(folder / path.parent.name / f"{i:03d}.jpg", quality=90)
    names = sorted(folder.glob("*/*"))
    best = {"ours": 0.0, "theirs": 0.0}
    for _ in range(repeats):
        started = time.perf_counter()
        for path in names:
            inspect_image(path, 10**8)
        best["ours"] = max(best["ours"], len(names) / (time.perf_counter() - started))
        started = time.perf_counter()
        find_theirs(folder, num_jobs=1)
        best["theirs"] = max(best["theirs"], len(names) / (time.perf_counter() - started))
    each = f"ours {best['ours']:.0f}, cleanvision {best['theirs']:.0f} img/s"
    return f"400 x 533 JPEG, one process: {each}, ratio {best['ours'] / best['theirs']:.1f}"


if __name__ == "__main__":
    main()
