"""`labels/classes.parquet`: the labels stage's findings about classes, read by balance and the report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

CLASSES = "classes.parquet"
FINDING_COLUMNS = [
    ("recognised_with", pa.float32()),
    ("spread", pa.float32()),
    ("nearest", pa.string()),
    ("separability", pa.float32()),
    ("separability_error", pa.float32()),
    ("overlap", pa.float32()),
    ("finding", pa.string()),
    ("overlaps_with", pa.string()),
]
"""Evidence and findings, the columns that `cleaner balance` copies."""
SCHEMA = pa.schema(
    [
        ("label", pa.string()),
        ("images", pa.int32()),
        ("kept", pa.int32()),
        ("issue_prob", pa.float32()),
        ("recognised", pa.float32()),
        *FINDING_COLUMNS,
    ]
)


def read_findings(path: Path, names: list[str], merged: dict[str, str]) -> pd.DataFrame:
    """FINDING_COLUMNS of the classes `names`, in their order; no findings without the file, or for unknown classes.

    `merged`: the class that each merged class became; an overlap that people merged is no longer a finding.
    """
    written = pd.read_parquet(path) if path.is_file() else no_classes()
    table = written.set_index("label")[[name for name, _ in FINDING_COLUMNS]].reindex(names)
    for name in ("nearest", "finding", "overlaps_with"):
        table[name] = table[name].fillna("").astype(object)
    settled = table["overlaps_with"].replace(merged) == table.index
    table.loc[settled, ["finding", "overlaps_with"]] = ""
    return table


def no_classes() -> pd.DataFrame:
    """The table without rows."""
    return pd.DataFrame(SCHEMA.empty_table().to_pandas())
