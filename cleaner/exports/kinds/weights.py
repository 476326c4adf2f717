"""`--to weights`: how often to draw each training image, for a `WeightedRandomSampler`."""

from __future__ import annotations

from pathlib import Path

from cleaner.dataset.tables import write_table_file
from cleaner.exports.cleaned import Cleaned
from cleaner.exports.kind import ExportOptions, Kind, Prepared
from cleaner.exports.snippets import read_table_line
from cleaner.exports.tables import COUNTS


def prepare(cleaned: Cleaned, out: Path, options: ExportOptions) -> Prepared:
    """A table of the training rows: file_name, clean_label, label, repeats, weight."""
    rows = cleaned.kept.loc[cleaned.kept["split"] == cleaned.splits[0]]
    table = rows[["file_name", "clean_label", "label", *COUNTS]]

    def write(path: Path) -> int:
        write_table_file(path, table)
        return 0

    return Prepared(write=write, use=_use, classes=cleaned.classes, num_files=len(rows))


def _use(out: Path) -> str:
    return "\n".join(
        [
            "import pandas as pd",
            "from torch.utils.data import WeightedRandomSampler",
            read_table_line(out),
            'sampler = WeightedRandomSampler(table["weight"].tolist(), num_samples=int(table["repeats"].sum()))',
        ]
    )


KIND = Kind(
    name="weights",
    title="how often to draw each training image, for a WeightedRandomSampler",
    prepare=prepare,
    suffixes=(".csv", ".tsv", ".jsonl", ".parquet"),
)
