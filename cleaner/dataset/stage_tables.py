"""The tables of a workspace besides its manifests, as declarations, and the one way to read them. Loads Arrow alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cleaner.dataset.column_checks import check_column, check_key, text_array
from cleaner.errors import BadInputError
from cleaner.reading import reading

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class StageTable:
    """A table that a stage writes."""

    what: str
    """For messages."""
    schema: pa.Schema
    next_step: str
    """What to do if it is damaged."""
    key: str = ""
    """The column in which no value stands twice; '': there is none."""


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
"""Evidence and findings about classes, the columns that `cleaner balance` copies from the labels stage."""
_FOUND = [("label", pa.string()), ("images", pa.int32()), ("kept", pa.int32())]
_FOUND += [("issue_prob", pa.float32()), ("recognised", pa.float32())]
_BALANCED = [("label", pa.string()), ("size_raw", pa.int32()), ("size_clean", pa.int32())]
_BALANCED += [(name, pa.float32()) for name in ("oof_accuracy", "share_kept", "coherence_p")]
_BALANCED += [("action", pa.string()), ("sum_repeats", pa.int32())]
_BALANCED += [("rank_p", pa.float32()), ("kept_coherence_p", pa.float32()), ("evidence", pa.string())]
_VOTES = [("file_name", pa.string()), ("label", pa.string()), ("votes", pa.int32()), ("share", pa.float32())]
_NOISE_ROUNDS = [("round", pa.int16()), ("file_name", pa.string())]
_NOISE_ROUNDS += [("noise_prob", pa.float32()), ("found", pa.bool_())]
_LABEL_ROUNDS = [("pass", pa.string()), ("round", pa.int16()), ("recipe", pa.string()), ("file_name", pa.string())]
_LABEL_ROUNDS += [("given_rank", pa.int32()), ("self_confidence", pa.float32())]
_LABEL_ROUNDS += [("predicted_label", pa.string()), ("positive", pa.bool_())]
_SAMPLED = [(name, pa.string()) for name in ("image_id", "file_name", "label", "stratum")]
_JUDGED = [*_SAMPLED, ("verdict", pa.string()), ("verdict_label", pa.string())]

_REDRAW = "remove its folder and run `cleaner audit` again"
VOTES = StageTable("table of votes", pa.schema(_VOTES), "run `cleaner scan --force IMAGES`")
ROUNDS = {
    "noise": StageTable("table of rounds", pa.schema(_NOISE_ROUNDS), "run `cleaner noise --force`"),
    "labels": StageTable("table of rounds", pa.schema(_LABEL_ROUNDS), "run `cleaner labels --force`"),
}
CLASSES = {
    "labels": StageTable(
        "table of classes", pa.schema([*_FOUND, *FINDING_COLUMNS]), "run `cleaner labels --force`", key="label"
    ),
    "balance": StageTable(
        "table of classes", pa.schema([*_BALANCED, *FINDING_COLUMNS]), "run `cleaner balance --force`", key="label"
    ),
}
"""`classes.parquet` by the stage that writes it."""
AUDIT_SAMPLE = StageTable("audit sample", pa.schema(_SAMPLED), _REDRAW)
AUDIT_JUDGED = StageTable("audit sample", pa.schema(_JUDGED), _REDRAW)


def read_stage_table(
    path: Path, table: StageTable, columns: Sequence[str] = (), file_name: str | None = None
) -> pd.DataFrame:
    """A table, or some `columns` of it, text as Python objects; with `file_name` only the rows of that file.

    Raises BadInputError, naming column and row, for a file that is not `table` as it is declared.
    """
    wanted = list(columns) or table.schema.names
    with reading(path, table.what, table.next_step), path.open("rb") as file:
        parquet = pq.ParquetFile(file)
        absent = [name for name in wanted if name not in parquet.schema_arrow.names]
        if absent:
            raise BadInputError(
                f"{path}: column {', '.join(absent)} is missing",
                expected=f"columns {', '.join(wanted)}",
                next_step=table.next_step,
            )
        read = parquet.read(columns=wanted, use_threads=False)
        checked = {n: check_column(path, n, read.column(n), table.schema.field(n), table.next_step) for n in wanted}
        if table.key in checked:
            check_key(path, table.key, checked[table.key], table.next_step)
        found = pa.table(checked)
        if file_name is not None:
            found = found.filter(pc.is_in(found["file_name"], value_set=text_array([file_name])))
        return _to_pandas(found)


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    import pandas as pd  # takes a quarter of a second to load

    values = {n: table.column(n).to_numpy() for n in table.column_names}
    return pd.DataFrame(
        {n: pd.Series(v, dtype=object if pa.types.is_string(table.field(n).type) else None) for n, v in values.items()}
    )
