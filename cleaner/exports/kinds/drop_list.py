"""`--to drop-list`: the names of the dropped images, one a line."""

from __future__ import annotations

from cleaner.exports.kind import Kind
from cleaner.exports.lists import prepare_drop_list

KIND = Kind(
    name="drop-list",
    title="names of the dropped images, one a line",
    prepare=prepare_drop_list,
    suffixes=(".txt", ".lst"),
)
