"""Lines of Python that load an export, as its summary prints them."""

from __future__ import annotations

import json
from pathlib import Path

TEXT_COLUMNS = ("file_name", "clean_label", "label")


def quoted(path: str | Path) -> str:
    """A path as a literal of Python in double quotes."""
    return json.dumps(str(path), ensure_ascii=False)


def read_table_line(path: Path) -> str:
    """The line that reads a table with pandas as it was written: `NA` stays text, and so does `007`."""
    suffix, name = path.suffix.lower(), quoted(path)
    if suffix in (".parquet", ".pq"):
        return f"table = pd.read_parquet({name})"
    if suffix in (".jsonl", ".ndjson"):
        return f"table = pd.read_json({name}, lines=True, dtype=False)"
    types = "{" + ", ".join(f'"{column}": str' for column in TEXT_COLUMNS) + "}"
    tabs = "" if suffix == ".csv" else ', sep="\\t"'
    return f"table = pd.read_csv({name}{tabs}, dtype={types}, keep_default_na=False)"
