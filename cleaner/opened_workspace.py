"""The workspace that Python programs and notebooks open: its tables, the export, the report, a dataset of torch."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Callable
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cleaner.dataset import workspace as stored
from cleaner.dataset.frames import Frames
from cleaner.dataset.stage_inputs import STAGES
from cleaner.errors import UsageError
from cleaner.exports.cleaned import Cleaned
from cleaner.exports.export import Exported, export
from cleaner.exports.kind import ExportOptions, find_kind, kind_names
from cleaner.progress import Progress
from cleaner.report.build import ReportResult, write_report

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

    from cleaner.modeling.cleaned_images import CleanedImages


class Workspace(stored.Workspace):
    """The folder that holds the stages' output, with what can be done with it; `cleaner.open_workspace` makes one.

    In a notebook it shows itself as a table of its stages.
    """

    @cached_property
    def frames(self) -> Frames:
        """The tables of the complete stages: `frames["noise"]`, `frames["labels/classes"]`; read when asked for."""
        return Frames(self)

    def export(
        self,
        out: str | PathLike[str],
        to: str | None = None,
        options: ExportOptions | None = None,
        *,
        from_file: str | PathLike[str] | None = None,
        progress: Progress | None = None,
    ) -> Exported:
        """Write the cleaned set to `out`, which must not exist yet, as `cleaner export` does.

        `to`: the kind, see docs/export.md; without it the suffix of `out` tells a table, anything else is a folder.
        `from_file`: another manifest than that of the last stage. `use` of the result holds the lines that load it.
        Raises CleanerError if the last stage is stale, `out` is taken, or an image is missing or changed.
        """
        place, chosen = Path(out), _checked(options or ExportOptions())
        if to is not None and to not in kind_names():
            raise UsageError(f"no kind of export {to!r}", expected=f"one of {', '.join(kind_names())}")
        kind = find_kind(to, place)
        given = {f.name for f in dataclasses.fields(chosen) if getattr(chosen, f.name) != f.default}
        kind.require(given, place)
        with self.lock_for_reading():
            manifest = None if from_file is None else Path(from_file)
            cleaned = Cleaned.open(self, from_file=manifest, columns=kind.columns, progress=progress)
            return export(cleaned, kind, place, chosen)

    def report(self, out: str | PathLike[str] | None = None, *, progress: Progress | None = None) -> ReportResult:
        """Write the report as a page, and its figures beside it as JSON; by default report.html in the workspace."""
        page = None if out is None else Path(out)
        if page is not None and page.suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"{page}: not the name of a page", expected="a name that ends in .html")
        return write_report(self, progress, page)

    def to_torch_dataset(
        self,
        split: str = "train",
        transform: Callable[[Image.Image], Any] | None = None,
        *,
        repeats: bool = True,
    ) -> CleanedImages:
        """The kept images of a split under the labels that count, as a dataset of torch; nothing is written.

        Without `transform` its images are PIL images in RGB. An image that balance repeats is there so often; without
        `repeats` once, as `sampler_weights` wants it. Classes have the same numbers in every split.
        Raises CleanerError if the last stage is missing or stale, or has no such split.
        """
        from cleaner.modeling.cleaned_images import CleanedImages  # loads torch

        cleaned, rows = self._cleaned(split)
        if repeats:
            rows = rows.loc[rows.index.repeat(rows["repeats"])]
        names, ids, labels = (rows[name].tolist() for name in ("file_name", "image_id", "clean_label"))
        return CleanedImages(cleaned.images_root, names, ids, labels, cleaned.classes, transform)

    def sampler_weights(self, split: str = "train") -> pd.Series[float]:
        """How often to draw each image of a split in one pass, by file_name, for torch's `WeightedRandomSampler`.

        In the order of `to_torch_dataset(split, repeats=False)`. The repeats of a class, divided among its images
        evenly; their sum is the length of a pass. Raises as `to_torch_dataset` does.
        """
        _, rows = self._cleaned(split)
        return rows.set_index("file_name")["weight"]

    def _cleaned(self, split: str) -> tuple[Cleaned, pd.DataFrame]:
        """The cleaned set and its kept rows of a split, by file_name."""
        with self.lock_for_reading():
            cleaned = Cleaned.open(self)
        if split not in cleaned.splits:
            raise UsageError(f"{self.root}: no split {split!r}", expected=f"one of {', '.join(cleaned.splits)}")
        return cleaned, cleaned.kept.loc[cleaned.kept["split"] == split]

    def __repr__(self) -> str:
        return f"Workspace({str(self.root)!r}, last stage: {self.latest() or 'none'})"

    def _repr_html_(self) -> str:
        """A table of the complete stages: what each kept, and what it dropped for which reason."""
        rows = []
        for stage in STAGES:
            record = self.record(stage)
            if record is not None:
                dropped = ", ".join(f"{why} {num:,}" for why, num in record.counts["dropped"].items())
                kept = f"{record.counts['kept']:,} of {record.counts['rows']:,}"
                cells = [stage, kept, dropped or "–", record.created_utc]
                rows.append("".join(f"<td>{html.escape(cell)}</td>" for cell in cells))
        head = "".join(f"<th>{name}</th>" for name in ("stage", "kept", "dropped", "ended"))
        body = "".join(f"<tr>{row}</tr>" for row in rows) or '<tr><td colspan="4">no stage has run</td></tr>'
        caption = f"<caption>{html.escape(str(self.root))}</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _checked(options: ExportOptions) -> ExportOptions:
    """The options, whose values are of their types. Raises UsageError."""
    try:
        return msgspec.convert(dataclasses.asdict(options), ExportOptions)
    except msgspec.ValidationError as error:
        raise UsageError(f"export: {error}") from None
