"""`labels/classes.parquet`: the labels stage's findings about classes, read by balance."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cleaner.dataset.stage_tables import CLASSES, FINDING_COLUMNS, read_stage_table

CLASSES_FILE = "classes.parquet"


def read_findings(path: Path, names: list[str], merged: dict[str, str]) -> pd.DataFrame:
    """FINDING_COLUMNS of the classes `names`, in their order; no findings without the file, or for unknown classes.

    `path`: `Path()` where the stage wrote none.
    `merged`: the class that each merged class became; an overlap that people merged is no longer a finding. Raises
    BadInputError for a file that is not what the stage writes.
    """
    written = read_stage_table(path, CLASSES["labels"]) if path.name and path.exists() else no_classes()
    table = written.set_index("label")[[name for name, _ in FINDING_COLUMNS]].reindex(names)
    for name in ("nearest", "finding", "overlaps_with"):
        table[name] = table[name].fillna("").astype(object)
    settled = table["overlaps_with"].replace(merged) == table.index
    table.loc[settled, ["finding", "overlaps_with"]] = ""
    return table


def no_classes() -> pd.DataFrame:
    """The table without rows."""
    return pd.DataFrame(CLASSES["labels"].schema.empty_table().to_pandas())
