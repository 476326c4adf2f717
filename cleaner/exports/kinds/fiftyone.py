"""`--to fiftyone`: a `FiftyOneImageClassificationDataset`: images in `data/`, their classes in `labels.json`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from cleaner.dataset.store import write_json
from cleaner.dataset.tables import write_table_file
from cleaner.exports.cleaned import Cleaned
from cleaner.exports.files import place_file
from cleaner.exports.folder_plan import IMAGES_FILE
from cleaner.exports.kind import ExportOptions, Kind, Prepared
from cleaner.exports.numbered import number_files
from cleaner.exports.snippets import quoted
from cleaner.exports.splits import plain_splits

_READS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # what its app, a browser, and its readers know


def prepare(cleaned: Cleaned, out: Path, options: ExportOptions) -> Prepared:
    """`OUT/<split>/data/<number>.<ext>` and `OUT/<split>/labels.json`; with one split, both in OUT itself.

    `labels.json` has `classes`, the names by number, and `labels`, the number of each image by its file's name without
    the extension. `images.csv` says which image each file is.
    """
    kept = cleaned.kept
    reads, by_split = _READS, len(cleaned.splits) > 1
    files = number_files(kept, cleaned.images_root, reads=reads, convert=options.convert, reader="FiftyOne")
    files = [replace(file, target=PurePosixPath("data", file.target)) for file in files]
    numbers = pd.Index(cleaned.classes).get_indexer(pd.Index(kept["clean_label"])).tolist()
    place = {split: name if by_split else "" for split, name in plain_splits(cleaned.splits).items()}

    def write(folder: Path) -> int:
        num_copied = 0
        with cleaned.progress.task("export", len(files)) as task:
            for split, name in place.items():
                labels = {}
                for row in np.flatnonzero((kept["split"] == split).to_numpy()):
                    num_copied += place_file(folder / name, files[row], options.mode)
                    labels[files[row].target.stem] = numbers[row]
                    task.advance()
                write_json(folder / name / "labels.json", {"classes": cleaned.classes, "labels": labels})
        images = kept[["file_name", "clean_label", "split", "image_id"]].copy()
        paths = [str(PurePosixPath(place[s], f.target)) for s, f in zip(kept["split"], files, strict=True)]
        images.insert(0, "path", pd.Series(paths, index=kept.index, dtype=object))
        write_table_file(folder / IMAGES_FILE, images)
        return num_copied

    return Prepared(
        write=write,
        use=lambda out: _use(out / place[cleaned.splits[0]]),
        classes=cleaned.classes,
        num_files=len(files),
    )


def _use(out: Path) -> str:
    kind = "dataset_type=fo.types.FiftyOneImageClassificationDataset"
    return f"import fiftyone as fo\ndata = fo.Dataset.from_dir(dataset_dir={quoted(out)}, {kind})"


KIND = Kind(
    name="fiftyone",
    title="images and labels.json, read by FiftyOne",
    prepare=prepare,
    options=frozenset({"mode", "convert"}),
)
