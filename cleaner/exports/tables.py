"""The cleaned set as one table, in any format that tables have."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cleaner.dataset.table_text import DELIMITERS
from cleaner.dataset.tables import write_table_file
from cleaner.errors import first_few
from cleaner.exports.cleaned import Cleaned
from cleaner.exports.kind import ExportOptions, Prepared
from cleaner.exports.snippets import quoted, read_table_line

_COLUMNS = ("file_name", "clean_label", "split", "label", "image_id")
_OF_DROPPED = ("keep", "drop_stage", "drop_reason")
COUNTS = ("repeats", "weight")


def prepare_table(cleaned: Cleaned, out: Path, options: ExportOptions) -> Prepared:
    """The kept rows: file_name, clean_label, split, label, image_id, repeats, weight.

    `repeats`: `files` writes a row as often as its image counts, instead of the two last columns; `ignore` does
    neither. `dropped` adds the dropped rows, with keep, drop_stage and drop_reason.
    """
    kept, rows = cleaned.kept, cleaned.kept
    if options.dropped:
        rows = pd.concat([kept, cleaned.dropped]).sort_values("file_name", kind="stable")
    if options.repeats == "files":
        rows = rows.loc[rows.index.repeat(rows["repeats"].clip(lower=int(options.dropped)))]
    columns = [*_COLUMNS, *(_OF_DROPPED if options.dropped else ()), *(COUNTS if options.repeats == "column" else ())]
    table = rows[columns]

    def write(path: Path) -> int:
        write_table_file(path, table, spreadsheet_safe=options.spreadsheet_safe)
        return 0

    return Prepared(
        write=write,
        use=lambda out: _use(out, cleaned.images_root, options.spreadsheet_safe),
        classes=cleaned.classes,
        num_files=len(kept),
        num_repeats=int((kept["repeats"] - 1).clip(lower=0).sum()) if options.repeats == "files" else 0,
        num_dropped=len(cleaned.dropped) if options.dropped else 0,
        warnings=_warnings(cleaned.classes, out, options.spreadsheet_safe),
    )


def labels_changed_by_pandas(labels: Sequence[str]) -> list[str]:
    """Those of `labels` that pandas.read_csv, as it is called by default, would not read as the same text."""
    text = pd.DataFrame({"label": labels}).to_csv(index=False, quoting=csv.QUOTE_ALL)
    read = pd.read_csv(io.StringIO(text, newline=""), skip_blank_lines=False)["label"].tolist()
    return [label for label, value in zip(labels, read, strict=True) if value != label]


def _use(out: Path, images_root: Path, spreadsheet_safe: bool) -> str:
    if spreadsheet_safe:
        return ""  # for people; what reads it would have to take the apostrophes off again
    root = quoted(f"{str(images_root).rstrip('/')}/")
    return f'import pandas as pd\n{read_table_line(out)}\npaths = {root} + table["file_name"]'


def _warnings(classes: Sequence[str], out: Path, spreadsheet_safe: bool) -> list[str]:
    changed = labels_changed_by_pandas(classes) if out.suffix.lower() in DELIMITERS else []
    if not changed:
        return []
    how = "export .parquet" if spreadsheet_safe else "read it as below, or export .parquet"
    return [f"a plain pandas.read_csv changes labels ({first_few(changed)}): {how}"]
