"""`--to parquet`: one table, as Parquet."""

from __future__ import annotations

from cleaner.exports.kind import Kind
from cleaner.exports.tables import prepare_table

KIND = Kind(
    name="parquet",
    title="table for pandas, Arrow, DuckDB and Spark",
    prepare=prepare_table,
    options=frozenset({"repeats", "dropped"}),
    suffixes=(".parquet", ".pq"),
    is_told_by_suffix=True,
)
