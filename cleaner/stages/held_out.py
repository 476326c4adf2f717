"""A folder of images that cleaning never saw, which `train` and `verify` measure on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.class_folders import read_folders
from cleaner.dataset.files import FoundFile, list_files
from cleaner.dataset.inspection import inspect_files
from cleaner.dataset.locations import locate
from cleaner.dataset.store import ArrayStore
from cleaner.dataset.workspace import Workspace
from cleaner.engine.engine import open_engine
from cleaner.errors import BadInputError
from cleaner.stages.inputs import task_cache


def list_held_out(val: str) -> list[FoundFile]:
    """The files below the folder `val`. Raises BadInputError if it is none."""
    root = locate(val)
    if not root.is_dir():
        raise BadInputError(
            f"{val}: {'not a folder' if root.exists() else 'no such folder'}",
            expected="a folder of class folders with images that cleaning never saw",
            next_step="check --val",
        )
    return list_files(root, follow_symlinks=False)


def inspect_held_out(workspace: Workspace, files: list[FoundFile], options: RunOptions) -> pd.DataFrame:
    """What the files are: image_id, pixel_id, path, label and sound (it can be read, and lies in a class folder).

    Folders are read as the scan read its own; what was seen is remembered.
    """
    scan = workspace.record("scan")
    own = scan.settings if scan is not None else {}
    labels, _ = read_folders(files, own.get("label_from", ScanSettings.label_from))

    def run(function: Any, tasks: Any, store: ArrayStore) -> Any:
        return open_engine(options).map(function, tasks, store=store)

    with options.progress.task("held-out images", len(files)) as task:
        # a folder of its own: where scan remembers what it saw, other files would be cleared away
        facts = inspect_files(
            files, max_pixels=own.get("max_pixels", ScanSettings.max_pixels),
            folder=task_cache(workspace, options) / "held_out_files", map_tasks=run, advance=task.advance,
        )  # fmt: skip
    columns = {
        "image_id": [f.image_id for f in facts],
        "pixel_id": [f.pixel_id for f in facts],
        "path": [f.path for f in files],
        "label": labels,
    }
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
    frame["sound"] = np.array([not f.fault and bool(label) for f, label in zip(facts, labels, strict=True)], bool)
    return frame
