"""`labels/classes.parquet`: what the labels stage found of the classes, as balance and the report take it up."""

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
"""Evidence and finding, as `cleaner balance` takes them over."""
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
    """FINDING_COLUMNS of the classes `names`, in their order; without the file, or of unknown classes: no finding.

    `merged`: where people's merges end; what they made one is no finding any more.
    """
    written = pd.read_parquet(path) if path.is_file() else no_classes()
    table = written.set_index("label")[[name for name, _ in FINDING_COLUMNS]].reindex(names)
    for name in ("nearest", "finding", "overlaps_with"):
        table[name] = table[name].fillna("").astype(object)
    settled = table["overlaps_with"].replace(merged) == table.index
    table.loc[settled, ["finding", "overlaps_with"]] = ""
    return table


def no_classes() -> pd.DataFrame:
    """The table without a row."""
    return pd.DataFrame(SCHEMA.empty_table().to_pandas())
