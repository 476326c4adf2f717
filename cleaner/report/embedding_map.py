"""The map of the images, as `cleaner map` placed them: points on a canvas, by what became of them or by class."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from cleaner.dataset.embedding_map import read_map_points, read_map_record
from cleaner.dataset.locations import is_remote
from cleaner.errors import CleanerError
from cleaner.report.data import ReportData
from cleaner.report.wording import visible

MOST_POINTS = 100_000
"""Of more images a random part is drawn: their names would fill the page."""
_SEED = 0
_STEPS = 65_535
_KEPT = "kept"


def compute_map(data: ReportData) -> dict[str, Any] | None:
    """How the map was made, and how many of its images the page shows; None without a map."""
    record = read_map_record(data.workspace)
    if record is None:
        return None
    shown = _shown(data)
    if shown is None:
        return None
    num_placed = int(shown.attrs["num_placed"])
    return {
        "method": record.method,
        "networks": record.networks,
        "created_utc": record.created_utc,
        "images": num_placed,
        "shown": len(shown),
        "not_placed": shown.attrs["num_rows"] - num_placed,
    }


def illustrate_map(data: ReportData, folder: Path) -> dict[str, Any]:
    """The points as the page's script reads them: base64 of little-endian arrays, and lists of names."""
    shown = _shown(data)
    assert shown is not None
    label, reason = shown["label"].astype("category"), shown["fate"].astype("category")
    reasons = [str(name) for name in reason.cat.categories]
    points = {
        "x": _packed(shown["x"].to_numpy() * _STEPS, "<u2"),
        "y": _packed(shown["y"].to_numpy() * _STEPS, "<u2"),
        "label": _packed(label.cat.codes, "<u2" if len(label.cat.categories) <= _STEPS else "<u4"),
        "reason": _packed(reason.cat.codes, "<u1"),
        "wide": len(label.cat.categories) > _STEPS,
        "labels": [visible(str(name)) for name in label.cat.categories],
        "reasons": [name.replace("_", " ") for name in reasons],
        "names": [visible(name) for name in shown["file_name"]],
        "root": _relative_root(data, folder),
    }
    text = json.dumps(points, ensure_ascii=True, separators=(",", ":"))
    return {"points": Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))}


def _shown(data: ReportData) -> pd.DataFrame | None:
    """file_name, label, fate, x and y of the images that the page shows; None if the map is of other images."""
    try:
        points = read_map_points(data.workspace)
    except CleanerError:
        return None
    mapped = (data.rows["image_id"] != "") & (data.rows["readable"] if data.has("readable") else True)
    rows = data.rows.loc[mapped, ["file_name", "image_id", "label", "keep", "drop_reason"]]
    placed = rows[rows["image_id"].isin(points.index)]
    if placed.empty:
        return None
    if len(placed) > MOST_POINTS:
        chosen = np.random.default_rng(_SEED).choice(len(placed), MOST_POINTS, replace=False)
        shown = placed.iloc[np.sort(chosen)]
    else:
        shown = placed
    fate = shown["drop_reason"].astype(object).where(~shown["keep"], _KEPT)
    shown = shown.assign(fate=fate, **points.loc[shown["image_id"]].reset_index(drop=True).set_index(shown.index))
    shown.attrs.update(num_placed=len(placed), num_rows=len(rows))
    return shown


def _packed(values: Any, form: str) -> str:
    return base64.b64encode(np.asarray(values).astype(form).tobytes()).decode()


def _relative_root(data: ReportData, folder: Path) -> str:
    """The images root as a page in `folder` finds it; '' where it is behind a URL."""
    if is_remote(data.images_root):
        return ""
    return os.path.relpath(data.images_root.resolve(), folder.resolve())
