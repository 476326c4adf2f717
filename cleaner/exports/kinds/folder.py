"""`--to folder`: one folder a class, as torchvision's `ImageFolder` and timm read them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cleaner.dataset.tables import write_table_file
from cleaner.exports.cleaned import Cleaned
from cleaner.exports.files import ExportedFile, place_file
from cleaner.exports.folder_plan import CLASS_NAMES_FILE, CLASSES_FILE, IMAGES_FILE, FolderPlan, plan_folder
from cleaner.exports.kind import ExportOptions, Kind, Prepared
from cleaner.exports.snippets import quoted
from cleaner.exports.tables import COUNTS

_TIMM_EXTENSIONS = (".jpg", ".jpeg", ".png")  # what its readers look for unless they are told


def prepare(cleaned: Cleaned, out: Path, options: ExportOptions) -> Prepared:
    """The kept images as `OUT/<clean_label>/<name>`; `classes.txt`, the folders in ImageFolder's order; `images.csv`.

    With several splits, or with `dropped`, each split has a folder of its own: `OUT/train/<clean_label>/<name>`;
    every split then has a folder for every class, so that ImageFolder numbers them alike. `dropped` writes the dropped
    images to `OUT/dropped/<stage>-<reason>/<label>/`. `images.csv` says of each file what it was, and how often to draw
    it; with `repeats` `files` an image that is repeated n times stands under n names instead, which is for readers that
    cannot draw: whoever splits such a folder at random has copies on both sides. Files that ImageFolder would not
    recognise as images get the extension of their format; those of a format that it does not read stay as they are, or
    with `convert` become PNG. A class whose name no folder can have gets another one (see `folder_names`); then
    `classes.csv` has a row for each class, with its folder and its label.
    """
    kept, rest = cleaned.kept, cleaned.dropped if options.dropped else None
    once = kept if options.repeats == "files" else kept.assign(repeats=1)
    plan = plan_folder(once, cleaned.classes, rest, cleaned.images_root, convert=options.convert)

    def write(folder: Path) -> int:
        return _write(folder, plan, _images_table(kept, plan.kept, options), options, cleaned)

    draws = cleaned.is_repeated and options.repeats == "column"
    return Prepared(
        write=write,
        use=lambda out: _use(out, plan, draws=draws, has_train="train" in cleaned.splits),
        classes=list(plan.classes),
        num_files=len(plan.kept),
        num_repeats=sum(len(file.repeats) for file in plan.kept),
        num_dropped=len(plan.dropped),
        warnings=plan.warnings,
    )


def _write(folder: Path, plan: FolderPlan, images: pd.DataFrame, options: ExportOptions, cleaned: Cleaned) -> int:
    files, num_copied = [*plan.kept, *plan.dropped], 0
    with cleaned.progress.task("export", len(files)) as task:
        for empty in plan.folders:
            (folder / empty).mkdir(parents=True)
        for file in files:
            num_copied += place_file(folder, file, options.mode)
            task.advance()
    (folder / CLASSES_FILE).write_bytes("".join(f"{c}\n" for c in plan.classes).encode())
    if plan.is_renamed:
        table = pd.DataFrame(plan.classes.items(), columns=["folder", "label"])
        write_table_file(folder / CLASS_NAMES_FILE, table)
    write_table_file(folder / IMAGES_FILE, images)
    return num_copied


def _images_table(kept: pd.DataFrame, exported: list[ExportedFile], options: ExportOptions) -> pd.DataFrame:
    counts = COUNTS if options.repeats == "column" else ()
    table = kept[["file_name", "clean_label", "split", "image_id", *counts]].copy()
    table.insert(0, "path", pd.Series([f.target.as_posix() for f in exported], index=kept.index, dtype=object))
    return table


def _use(out: Path, plan: FolderPlan, *, draws: bool, has_train: bool) -> str:
    images = quoted(out / "train" if plan.folders and has_train else out)
    extensions = {file.target.suffix.lower() for file in plan.kept}
    told = "" if extensions <= set(_TIMM_EXTENSIONS) else f', input_key="{";".join(sorted(extensions))}"'
    lines = ["from torchvision.datasets import ImageFolder", f"data = ImageFolder({images})"]
    if draws:
        lines = ["import os", "import pandas as pd", "from torch.utils.data import WeightedRandomSampler", *lines]
        lines += [
            f'weight = pd.read_csv({quoted(out / IMAGES_FILE)}, index_col="path")["weight"]',
            f"weights = [weight[os.path.relpath(path, {quoted(out)})] for path, _ in data.samples]",
            "sampler = WeightedRandomSampler(weights, num_samples=round(sum(weights)))",
        ]
    timm = f'create_dataset("", {images}, class_map={quoted(out / CLASSES_FILE)}{told})'
    return "\n".join([*lines, "from timm.data import create_dataset", f"timm_data = {timm}  # the same class numbers"])


KIND = Kind(
    name="folder",
    title="one folder a class, read by torchvision's ImageFolder and timm",
    prepare=prepare,
    options=frozenset({"mode", "repeats", "dropped", "convert"}),
)
