"""The real readers of exports: each gives the label and the digest of every image, in its own order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from torchvision.datasets import ImageFolder

from cleaner.dataset.tables import read_table
from cleaner.exports.snippets import read_table_line

Sample = tuple[str, str]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _labels(out: Path) -> dict[str, str]:
    """The label of each class folder."""
    folders = (out / "classes.txt").read_text().splitlines()
    if not (out / "classes.csv").exists():
        return {folder: folder for folder in folders}
    table = read_table(out / "classes.csv")
    return dict(zip(table["folder"], table["label"], strict=True))


def by_image_folder(out: Path) -> list[Sample]:
    data, label = ImageFolder(str(out)), _labels(out)
    assert data.classes == (out / "classes.txt").read_text().splitlines()
    return [(label[data.classes[target]], digest(Path(path).read_bytes())) for path, target in data.samples]


def by_timm(out: Path) -> list[Sample]:
    from timm.data import create_dataset

    data = create_dataset("", str(out), class_map=str(out / "classes.txt"))
    classes, label = ImageFolder(str(out)).classes, _labels(out)
    found = []
    for number in range(len(data)):
        file, target = data.reader[number]
        with file:
            found.append((label[classes[target]], digest(file.read())))
    return found


def by_datasets(out: Path) -> list[Sample]:
    from datasets import Image, load_dataset

    data = load_dataset(str(out), split="train", cache_dir=str(out.parent / "cache"))
    names = data.features["label"].names
    rows = data.cast_column("image", Image(decode=False))
    return [(names[row["label"]], digest(Path(row["image"]["path"]).read_bytes())) for row in rows]


def by_webdataset(out: Path) -> list[Sample]:
    import webdataset as wds

    info = json.loads((out / "_info.json").read_text())
    shards = [str(out / name) for name in info["splits"]["train"]["filenames"]]
    data = wds.WebDataset(shards, shardshuffle=False).to_tuple("jpg;png;webp", "cls", "json")
    found = []
    for image, number, about in data:
        label = info["classes"][int(number)]
        assert json.loads(about)["clean_label"] == label
        found.append((label, digest(image)))
    return found


def by_timm_wds(out: Path) -> list[Sample]:
    """timm hands out pixels alone: the image that has them is looked up among those of the set."""
    from PIL import Image
    from timm.data import create_dataset

    ids = {}
    for path in (out.parent / "images").rglob("*.png"):
        with Image.open(path) as image:
            ids[image.convert("RGB").tobytes()] = digest(path.read_bytes())
    classes = json.loads((out / "_info.json").read_text())["classes"]
    data = create_dataset("wds/", str(out), split="train")
    assert len(data) == len(ids)
    return [(classes[target], ids[image.tobytes()]) for image, target in data]


def by_pandas(out: Path) -> list[Sample]:
    names = {"pd": pd}
    exec(read_table_line(out), names)
    table = names["table"]
    files = [out.parent / "images" / name for name in table["file_name"]]
    return [(label, digest(path.read_bytes())) for label, path in zip(table["clean_label"], files, strict=True)]


def by_fiftyone_rules(out: Path) -> list[Sample]:
    """As FiftyOne's documentation says that FiftyOneImageClassificationDataset is read; its database is not here.

    `data/` is searched with all folders in it, names lose their extension, and `classes[target]` is the label.
    """
    labels = json.loads((out / "labels.json").read_text())
    assert set(labels) == {"classes", "labels"}
    files = {str(path.relative_to(out / "data").with_suffix("")): path for path in (out / "data").rglob("*.*")}
    assert set(files) == set(labels["labels"])
    return [
        (labels["classes"][labels["labels"][uuid]], digest(files[uuid].read_bytes()))
        for uuid in sorted(labels["labels"])
    ]


READERS: dict[str, tuple[str, Callable[[Path], list[Sample]]]] = {
    "ImageFolder": ("folder", by_image_folder),
    "timm": ("folder", by_timm),
    "datasets": ("hf", by_datasets),
    "webdataset": ("wds", by_webdataset),
    "timm wds": ("wds", by_timm_wds),
    "pandas csv": ("csv", by_pandas),
    "pandas jsonl": ("jsonl", by_pandas),
    "pandas parquet": ("parquet", by_pandas),
    "FiftyOne's format": ("fiftyone", by_fiftyone_rules),
}
