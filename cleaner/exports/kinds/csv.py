"""`--to csv`: one table, as CSV or TSV."""

from __future__ import annotations

from cleaner.exports.kind import Kind
from cleaner.exports.tables import prepare_table

KIND = Kind(
    name="csv",
    title="table of text, one row an image, read by everything",
    prepare=prepare_table,
    options=frozenset({"repeats", "dropped", "spreadsheet_safe"}),
    suffixes=(".csv", ".tsv", ".tab"),
    is_told_by_suffix=True,
)
