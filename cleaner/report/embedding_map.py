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

from cleaner.dataset.embedding_map import read_map_record
from cleaner.dataset.locations import is_remote
from cleaner.report.data import ReportData
from cleaner.report.wording import visible, words

MOST_POINTS = 100_000
"""Of more images a random part is drawn: their names would fill the page."""
_SEED = 0
_STEPS = 65_535
_KEPT = "kept"


def compute_map(data: ReportData) -> dict[str, Any] | None:
    """How the map was made, and how many of its images the page shows; None without one, or if it is of others."""
    record = read_map_record(data.workspace)
    if record is None or data.map_points is None:
        return None
    rows = _readable(data)
    num_placed = int(rows["image_id"].isin(data.map_points.index).sum())
    if not num_placed:
        return None
    return {
        "method": record.method,
        "networks": record.networks,
        "created_utc": record.created_utc,
        "images": num_placed,
        "shown": min(num_placed, MOST_POINTS),
        "not_placed": len(rows) - num_placed,
    }


def illustrate_map(data: ReportData, folder: Path) -> dict[str, Any]:
    """The points as the page's script reads them: base64 of little-endian arrays, and lists of names."""
    assert data.map_points is not None
    shown = _shown(_readable(data), data.map_points)
    label, reason = shown["label"].astype("category"), shown["fate"].astype("category")
    points = {
        "x": _packed(shown["x"].to_numpy() * _STEPS, "<u2"),
        "y": _packed(shown["y"].to_numpy() * _STEPS, "<u2"),
        "label": _packed(label.cat.codes, "<u2" if len(label.cat.categories) <= _STEPS else "<u4"),
        "reason": _packed(reason.cat.codes, "<u1"),
        "wide": len(label.cat.categories) > _STEPS,
        "labels": [visible(str(name)) for name in label.cat.categories],
        "reasons": [words(str(name)) for name in reason.cat.categories],
        "names": [visible(name) for name in shown["file_name"]],
        "root": _relative_root(data, folder),
    }
    text = json.dumps(points, ensure_ascii=True, separators=(",", ":"))
    return {"points": Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))}


def _readable(data: ReportData) -> pd.DataFrame:
    """The rows that a map has a place for, with what it tells of them."""
    mapped = (data.rows["image_id"] != "") & (data.rows["readable"] if data.has("readable") else True)
    return data.rows.loc[mapped, ["file_name", "image_id", "label", "keep", "drop_reason"]]


def _shown(rows: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """file_name, label, fate, x and y of those of `rows` that the page shows."""
    shown = rows[rows["image_id"].isin(points.index)]
    if len(shown) > MOST_POINTS:
        chosen = np.random.default_rng(_SEED).choice(len(shown), MOST_POINTS, replace=False)
        shown = shown.iloc[np.sort(chosen)]
    fate = shown["drop_reason"].astype(object).where(~shown["keep"], _KEPT)
    return shown.assign(fate=fate, **points.loc[shown["image_id"]].set_index(shown.index))


def _packed(values: Any, form: str) -> str:
    return base64.b64encode(np.asarray(values).astype(form).tobytes()).decode()


def _relative_root(data: ReportData, folder: Path) -> str:
    """The images root as a page in `folder` finds it; '' where it is behind a URL."""
    if is_remote(data.images_root):
        return ""
    return os.path.relpath(data.images_root.resolve(), folder.resolve())
