"""A folder of images that cleaning never saw, which `train` and `verify` measure on."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.class_folders import read_folders
from cleaner.dataset.files import FoundFile, list_files
from cleaner.dataset.locations import locate
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError
from cleaner.stages.inputs import inspect_with_engine


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

    # a folder of its own: where scan remembers what it saw, other files would be cleared away
    max_pixels = own.get("max_pixels", ScanSettings.max_pixels)
    facts = inspect_with_engine(workspace, files, "held-out images", "held_out_files", max_pixels, options)
    columns = {
        "image_id": [f.image_id for f in facts],
        "pixel_id": [f.pixel_id for f in facts],
        "path": [f.path for f in files],
        "label": labels,
    }
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
    frame["sound"] = np.array([not f.fault and bool(label) for f, label in zip(facts, labels, strict=True)], bool)
    return frame
