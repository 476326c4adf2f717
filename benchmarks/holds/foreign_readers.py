"""Exports read by programs that the tests do not install: FiftyOne's importer, and Label Studio's SDK.

    python -m venv OTHER && OTHER/bin/pip install fiftyone label-studio-sdk
    cleaner export fo --to fiftyone && OTHER/bin/python foreign_readers.py fiftyone fo
    cleaner export ls --to label-studio && OTHER/bin/python foreign_readers.py label-studio ls

FiftyOne's importer needs no database. This file imports nothing of cleaner.
"""

from __future__ import annotations

import collections
import json
import sys
from pathlib import Path


def read_fiftyone(folder: Path) -> None:
    """Print how many images of each class FiftyOne finds."""
    from fiftyone.utils.data.importers import FiftyOneImageClassificationDatasetImporter

    with FiftyOneImageClassificationDatasetImporter(dataset_dir=str(folder)) as importer:
        found = [(Path(path).is_file(), label.label) for path, _, label in importer]
        assert all(is_file for is_file, _ in found)
        print(len(found), importer.get_dataset_info(), dict(collections.Counter(label for _, label in found)))


def check_label_studio(folder: Path) -> None:
    """Print how many tasks and pre-annotations Label Studio would refuse under the interface."""
    from label_studio_sdk.label_interface import LabelInterface

    interface = LabelInterface((folder / "interface.xml").read_text(encoding="utf-8"))
    interface.validate()
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    refused = sum(not interface.validate_task({"data": task["data"]}) for task in tasks)
    predictions = [one for task in tasks for one in task["predictions"]]
    wrong = sum(not interface.validate_prediction(one) for one in predictions)
    print(f"{len(tasks)} tasks, {refused} refused; {len(predictions)} predictions, {wrong} refused")


if __name__ == "__main__":
    {"fiftyone": read_fiftyone, "label-studio": check_label_studio}[sys.argv[1]](Path(sys.argv[2]))
