"""`--to hf`: a Hugging Face imagefolder with `metadata.parquet`, as `datasets.load_dataset` reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cleaner.exports.cleaned import Cleaned
from cleaner.exports.files import ExportedFile, place_file
from cleaner.exports.kind import ExportOptions, Kind, Prepared
from cleaner.exports.numbered import number_files
from cleaner.exports.snippets import quoted
from cleaner.exports.splits import plain_splits

_READS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_PER_FOLDER = 5_000  # the hub takes ten thousand


def prepare(cleaned: Cleaned, out: Path, options: ExportOptions) -> Prepared:
    """`OUT/<split>/metadata.parquet` beside folders of numbered images, and the card `README.md` that names the splits.

    The columns: image (`file_name`), label (a ClassLabel, by clean_label), source (its file_name in the set),
    given_label, image_id; repeats and weight.
    """
    kept = cleaned.kept
    files = number_files(
        kept, cleaned.images_root, reads=_READS, convert=options.convert, reader="datasets.Image without plugins"
    )
    files = [
        replace(file, target=PurePosixPath(f"{number // _PER_FOLDER:05d}", file.target))
        for number, file in enumerate(files)
    ]
    names = plain_splits(cleaned.splits)

    def write(folder: Path) -> int:
        num_copied = 0
        with cleaned.progress.task("export", len(files)) as task:
            for split, name in names.items():
                rows = np.flatnonzero((kept["split"] == split).to_numpy())
                mine = [files[row] for row in rows]
                for file in mine:
                    num_copied += place_file(folder / name, file, options.mode)
                    task.advance()
                table = _metadata(kept.iloc[rows], mine, cleaned.classes, with_counts=options.repeats == "column")
                pq.write_table(table, folder / name / "metadata.parquet", compression="zstd")
        (folder / "README.md").write_text(_card(names), encoding="utf-8")
        return num_copied

    first = names[cleaned.splits[0]]
    return Prepared(
        write=write,
        use=lambda out: _use(out, first, draws=cleaned.is_repeated and options.repeats == "column"),
        classes=cleaned.classes,
        num_files=len(files),
    )


def _metadata(rows: pd.DataFrame, files: list[ExportedFile], classes: list[str], *, with_counts: bool) -> pa.Table:
    columns = {
        "file_name": pa.array([file.target.as_posix() for file in files], pa.string()),
        "label": pa.array(pd.Index(classes).get_indexer(pd.Index(rows["clean_label"])), pa.int64()),
        "source": pa.array(rows["file_name"].tolist(), pa.string()),
        "given_label": pa.array(rows["label"].tolist(), pa.string()),
        "image_id": pa.array(rows["image_id"].tolist(), pa.string()),
    }
    features: dict[str, object] = {name: {"dtype": str(a.type), "_type": "Value"} for name, a in columns.items()}
    features["label"] = {"names": classes, "_type": "ClassLabel"}
    if with_counts:
        columns["repeats"] = pa.array(rows["repeats"].to_numpy(np.int64))
        columns["weight"] = pa.array(rows["weight"].to_numpy(np.float64))
        features |= {
            "repeats": {"dtype": "int64", "_type": "Value"},
            "weight": {"dtype": "float64", "_type": "Value"},
        }
    # how `datasets` itself keeps the names of classes in a Parquet file
    return pa.table(columns).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def _card(names: Mapping[str, str]) -> str:
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    for name in names.values():
        lines += [f'  - split: "{name}"', f'    path: "{name}/**"']
    return "\n".join([*lines, "---", ""])


def _use(out: Path, split: str, *, draws: bool) -> str:
    lines = ["from datasets import load_dataset", f'data = load_dataset({quoted(out)}, split="{split}")']
    if draws:
        lines.insert(1, "from torch.utils.data import WeightedRandomSampler")
        lines.append('sampler = WeightedRandomSampler(data["weight"], num_samples=sum(data["repeats"]))')
    return "\n".join(lines)


KIND = Kind(
    name="hf",
    title="Hugging Face imagefolder, read by load_dataset",
    prepare=prepare,
    options=frozenset({"mode", "repeats", "convert"}),
)
