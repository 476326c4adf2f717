"""`--to jsonl`: one table, as JSON lines."""

from __future__ import annotations

from cleaner.exports.kind import Kind
from cleaner.exports.tables import prepare_table

KIND = Kind(
    name="jsonl",
    title="table with one JSON object a line",
    prepare=prepare_table,
    options=frozenset({"repeats", "dropped"}),
    suffixes=(".jsonl", ".ndjson"),
    is_told_by_suffix=True,
)
