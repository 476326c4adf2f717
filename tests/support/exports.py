"""A set to be exported."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from cleaner.exports.cleaned import Cleaned
from cleaner.exports.export import Exported, export
from cleaner.exports.kind import ExportOptions, load_kind

FORMATS = {".jpg": "JPEG", ".png": "PNG", ".gif": "GIF", ".dat": "JPEG"}


def make_set(root: Path, rows: list[dict[str, object]]) -> pd.DataFrame:
    """Real images and the manifest of them; a row gives file_name and what differs from a kept training image."""
    made = []
    for i, row in enumerate(rows):
        path = root / str(row["file_name"])
        path.parent.mkdir(parents=True, exist_ok=True)
        image_format = FORMATS[path.suffix]
        Image.fromarray(np.full((8, 8, 3), 10 * i, np.uint8)).save(path, format=image_format)
        label = str(row.get("label", path.relative_to(root).parts[0]))
        made.append(
            {
                "image_id": hashlib.sha256(path.read_bytes()).hexdigest(),
                "label": label,
                "clean_label": label,
                "split": "train",
                "keep": True,
                "drop_stage": "",
                "drop_reason": "",
                "format": image_format,
                "file_bytes": path.stat().st_size,
                "fault": "",
                "repeats": 1,
                **row,
            }
        )
    return pd.DataFrame(made)


def gone(stage: str, reason: str) -> dict[str, object]:
    return {"keep": False, "drop_stage": stage, "drop_reason": reason, "repeats": 0}


def files_of(out: Path) -> list[str]:
    return sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())


def write_to(
    kind: str, manifest: pd.DataFrame, root: Path, out: Path, *, dry_run: bool = False, **options: Any
) -> Exported:
    """Export a manifest, as `--to KIND` does with `options`."""
    return export(Cleaned.of(manifest, root), load_kind(kind), out, ExportOptions(**options), dry_run=dry_run)
