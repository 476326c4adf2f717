"""Plain lists of file names, for `rsync --files-from`, `xargs` and scripts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cleaner.dataset.names import is_printable, to_path
from cleaner.dataset.store import atomic_writer
from cleaner.exports.cleaned import Cleaned
from cleaner.exports.kind import ExportOptions, Prepared
from cleaner.exports.snippets import quoted


def prepare_keep_list(cleaned: Cleaned, out: Path, options: ExportOptions) -> Prepared:
    """The names of the kept images, relative to the images root, in the order of the manifest."""
    return _prepare(cleaned, cleaned.kept["file_name"].tolist(), num_dropped=0)


def prepare_drop_list(cleaned: Cleaned, out: Path, options: ExportOptions) -> Prepared:
    """The names of all images that are not kept, relative to the images root, in the order of the manifest."""
    return _prepare(cleaned, cleaned.dropped["file_name"].tolist(), num_dropped=len(cleaned.dropped))


def _prepare(cleaned: Cleaned, names: Sequence[str], *, num_dropped: int) -> Prepared:
    # as the file system has them; one with control characters, which no list can hold, as the manifest writes it
    lines = [to_path(name) if is_printable(to_path(name)) else name for name in names]

    def write(path: Path) -> int:
        with atomic_writer(path) as file:
            for line in lines:
                file.write(f"{line}\n".encode("utf-8", "surrogateescape"))
        return 0

    return Prepared(
        write=write,
        use=lambda out: f'names = open({quoted(out)}, encoding="utf-8", errors="surrogateescape").read().splitlines()',
        classes=cleaned.classes,
        num_files=len(names) - num_dropped,
        num_dropped=num_dropped,
    )
