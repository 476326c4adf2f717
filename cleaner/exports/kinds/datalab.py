"""`--to datalab`: labels, features and out-of-fold probabilities as arrays, for cleanlab's Datalab."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.dataset.store import write_json
from cleaner.dataset.tables import write_table_file
from cleaner.exports.cleaned import Cleaned
from cleaner.exports.folder_plan import IMAGES_FILE
from cleaner.exports.kind import ExportOptions, Kind, Prepared
from cleaner.exports.out_of_fold import Judged, about_missing
from cleaner.exports.snippets import quoted


def prepare(cleaned: Cleaned, out: Path, options: ExportOptions) -> Prepared:
    """Arrays over the n images that were judged, by file_name, and what they are about.

    `labels.npy` (n,) int64, the number of clean_label in `classes.json`, a sorted list of K; `pred_probs.npy` (n, K)
    float32; `features.npy` (n, D) float32, what the heads of the labels stage learned from, if it looked at images;
    `images.csv`: file_name, clean_label, label, image_id. Large arrays are written by chunk, and can be memory-mapped.
    `dropped` adds the dropped images.
    """
    judged = Judged.of(cleaned, dropped=options.dropped)

    def write(folder: Path) -> int:
        labels = pd.Index(judged.classes).get_indexer(pd.Index(judged.rows["clean_label"]))
        np.save(folder / "labels.npy", labels.astype(np.int64), allow_pickle=False)
        arrays = {"pred_probs": _new_array(folder / "pred_probs.npy", len(judged.rows), len(judged.classes))}
        if judged.num_features:
            arrays["features"] = _new_array(folder / "features.npy", len(judged.rows), judged.num_features)
        with cleaned.progress.task("export", len(judged.rows)) as task:
            for part, probs, features in judged.chunks():
                arrays["pred_probs"][part] = probs
                if "features" in arrays:
                    arrays["features"][part] = features
                task.advance(len(probs))
        for array in arrays.values():
            array.flush()
        write_json(folder / "classes.json", judged.classes)
        write_table_file(folder / IMAGES_FILE, judged.rows[["file_name", "clean_label", "label", "image_id"]])
        return 0

    num_dropped = int((~judged.rows["keep"]).sum())
    num_kept = len(judged.rows) - num_dropped
    return Prepared(
        write=write,
        use=lambda out: _use(out, has_features=judged.num_features > 0),
        classes=judged.classes,
        num_files=num_kept,
        num_dropped=num_dropped,
        warnings=about_missing(len(cleaned.kept) - num_kept),
    )


def _new_array(path: Path, length: int, width: int) -> np.memmap:
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(length, width))


def _use(out: Path, *, has_features: bool) -> str:
    def load(name: str) -> str:
        return f'np.load({quoted(out / f"{name}.npy")}, mmap_mode="r")'

    features = f"features={load('features')}, " if has_features else ""
    return "\n".join(
        [
            "import numpy as np",
            "from cleanlab import Datalab",
            f'lab = Datalab({{"label": {load("labels")}}}, label_name="label")',
            f"lab.find_issues({features}pred_probs={load('pred_probs')})",
        ]
    )


KIND = Kind(
    name="datalab",
    title="labels, features and out-of-fold probabilities, read by cleanlab's Datalab",
    prepare=prepare,
    options=frozenset({"dropped"}),
)
