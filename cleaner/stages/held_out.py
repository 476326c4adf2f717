"""Held-out images in a folder of their own, for `train` and `verify`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.class_folders import read_folders
from cleaner.dataset.files import list_files
from cleaner.dataset.locations import locate
from cleaner.dataset.workspace import Workspace
from cleaner.stages.inputs import inspect_with_engine, scan_limits


def inspect_held_out(workspace: Workspace, val: str, options: RunOptions) -> pd.DataFrame:
    """The files below the folder `val`: image_id, pixel_id, path, label and sound (readable, and in a class folder).

    Labels are read from folders as in the scan, and inspections are cached.
    """
    files = list_files(locate(val), follow_symlinks=False)
    scan = workspace.record("scan")
    own = scan.settings if scan is not None else {}
    tree = read_folders(files, own.get("label_from", ScanSettings.label_from))

    # in a cache of its own: scan removes other files from its cache
    limits = scan_limits(workspace)
    facts = inspect_with_engine(workspace, tree.files, "held-out images", "held_out_files", limits, options)
    columns = {
        "image_id": [f.image_id for f in facts],
        "pixel_id": [f.pixel_id for f in facts],
        "path": [f.path for f in tree.files],
        "label": list(tree.labels),
    }
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
    frame["sound"] = np.array([not f.fault and bool(label) for f, label in zip(facts, tree.labels, strict=True)], bool)
    return frame
