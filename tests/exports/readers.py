"""The real readers of exports: each gives the label and the digest of every image, in its own order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from torchvision.datasets import ImageFolder

from cleaner.dataset.label_studio import read_annotations
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
    return _below_images(out, table["clean_label"], table["file_name"])


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


def _below_images(out: Path, labels: Iterable[str], names: Iterable[str]) -> list[Sample]:
    return [
        (label, digest((out.parent / "images" / name).read_bytes())) for label, name in zip(labels, names, strict=True)
    ]


def by_numpy(out: Path) -> list[Sample]:
    """As Datalab gets them; it reads real ones in test_judged.py."""
    classes, numbers = json.loads((out / "classes.json").read_text()), np.load(out / "labels.npy")
    assert np.load(out / "pred_probs.npy").shape == (len(numbers), len(classes))
    images = pd.read_csv(out / "images.csv", dtype=str, keep_default_na=False)
    return _below_images(out, [classes[number] for number in numbers], images["file_name"])


def by_pyarrow(out: Path) -> list[Sample]:
    table = pq.read_table(out)
    assert set(json.loads(table.schema.metadata[b"classes"])) == set(table["clean_label"].to_pylist())
    return _below_images(out, table["clean_label"].to_pylist(), table["file_name"].to_pylist())


def by_label_studio_and_back(out: Path) -> list[Sample]:
    """Every pre-annotation submitted as it is, and read back as a decision."""
    tasks, answers = json.loads((out / "tasks.json").read_text()), out.parent / "answers.json"
    config = ElementTree.parse(out / "interface.xml")
    choices = {one.get("value") for one in config.iterfind("Choices[@name='label']/Choice")}
    assert all(task["predictions"][0]["result"][0]["value"]["choices"][0] in choices for task in tasks)
    answers.write_text(json.dumps([answered(number, task) for number, task in enumerate(tasks)]))
    said = read_annotations(answers)
    begin = "/data/local-files/?d=images/"
    names = [unquote(task["data"]["image"].removeprefix(begin)) for task in tasks]
    assert said["image_id"].tolist() == [task["data"]["image_id"] for task in tasks]
    return _below_images(out, said["label"], names)


def answered(number: int, task: dict[str, Any]) -> dict[str, Any]:
    """A task whose pre-annotation a person submitted, as Label Studio's documentation shows its export."""
    annotation = {
        "id": number,
        "completed_by": {"id": 1, "email": "ann@example.org"} if number % 2 else 7,
        "result": [dict(one, id="a1", origin="manual") for one in task["predictions"][0]["result"]],
        "was_cancelled": False,
        "created_at": "2026-01-02T03:04:05.000000Z",
    }
    return {"id": number, "data": task["data"], "annotations": [annotation], "predictions": []}


READERS: dict[str, tuple[str, Callable[[Path], list[Sample]]]] = {
    "ImageFolder": ("folder", by_image_folder),
    "timm": ("folder", by_timm),
    "datasets": ("hf", by_datasets),
    "webdataset": ("wds", by_webdataset),
    "timm wds": ("wds", by_timm_wds),
    "pandas csv": ("csv", by_pandas),
    "pandas jsonl": ("jsonl", by_pandas),
    "pandas parquet": ("parquet", by_pandas),
    "pandas weights": ("weights", by_pandas),
    "Datalab's arrays": ("datalab", by_numpy),
    "pyarrow": ("pred-probs", by_pyarrow),
    "FiftyOne's format": ("fiftyone", by_fiftyone_rules),
    "Label Studio's format": ("label-studio", by_label_studio_and_back),
}
