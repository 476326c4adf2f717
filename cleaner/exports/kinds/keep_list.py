"""`--to keep-list`: the names of the kept images, one a line."""

from __future__ import annotations

from cleaner.exports.kind import Kind
from cleaner.exports.lists import prepare_keep_list

KIND = Kind(
    name="keep-list",
    title="names of the kept images, one a line",
    prepare=prepare_keep_list,
    suffixes=(".txt", ".lst"),
)
