"""Queues of noise images: candidates for seeds, the doubtful, and those that the model found."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cleaner.review.catalogue import Catalogue
from cleaner.review.queue import (
    Action,
    Queue,
    QueueKind,
    Sources,
    absent_queue,
    first_of_content,
    make_image_items,
    most_doubtful_first,
)

NOISE_ACTIONS: tuple[Action, ...] = (
    ("k", "Normal", "normal", ""),
    ("d", "Noise", "noise", ""),
    ("r", "Unusable", "drop", ""),
    ("u", "Unsure", "unsure", ""),
)
_FLAT_STD = 0.05  # of 0 .. 0.5; photographs have 0.1 and more
_ODD_SHARE = 0.05
"""The share of ordinary files with fewest colours, and of those with least contrast, that become candidates too."""


def find_seed_candidates(kind: QueueKind, sources: Sources) -> Queue:
    """Images that are unlike photographs: of another mode, with few colours or little contrast."""
    catalogue = sources.catalogue
    rows = catalogue.rows
    there = first_of_content(catalogue, (rows["drop_stage"] != "scan").to_numpy())
    mode = rows["mode"].astype(object).to_numpy()[there]
    odd = ~np.isin(mode, ("RGB", "YCbCr"))
    few, flat = (_rank_low(rows, name, there) for name in ("num_colors", "pixel_std"))
    wanted = odd | (few > 1 - _ODD_SHARE) | (flat > 1 - _ODD_SHARE)
    reason = np.where(odd, "mode " + mode, np.where(few >= flat, "few colours", "little contrast"))
    oddness = (odd + np.maximum(few, (few + flat) / 2)) / 2
    items = make_image_items(catalogue, there[wanted], score=oddness[wanted], reason=reason[wanted])
    ordered = most_doubtful_first(items, oddness[wanted])

    def facts(i: int) -> list[str]:
        return [str(ordered["reason"].iloc[i]), *_colours(catalogue, int(ordered["row"].iloc[i]))]

    return Queue(kind, ordered, score_name="oddness", facts=facts)


def _rank_low(rows: pd.DataFrame, name: str, there: np.ndarray) -> np.ndarray:
    """The rank (n,) 0 .. 1 of each row by column `name`, the lowest value with the highest rank; 0.5 if unknown."""
    if name not in rows:
        return np.full(len(there), 0.5)
    values = rows[name].to_numpy()[there].astype(np.float64)
    ranks: np.ndarray = pd.Series(-values).rank(pct=True).fillna(0.5).to_numpy()
    return ranks


def find_noise(kind: QueueKind, sources: Sources) -> Queue:
    """Noise images that the model found, or (`noise-doubtful`) images between the two thresholds."""
    catalogue = sources.catalogue
    rows, settings = catalogue.rows, catalogue.settings
    if "noise_prob" not in rows:
        return absent_queue(kind, "run `cleaner noise` first")
    prob, found = rows["noise_prob"].to_numpy().astype(np.float64), rows["is_noise"].to_numpy()
    reason: object = "in the doubtful band"
    if kind.name == "noise-found":
        there = first_of_content(catalogue, found)
        reason = _found_by(rows, there)
    else:
        there = first_of_content(catalogue, (prob > settings["doubtful"]) & (prob <= settings["threshold"]) & ~found)
    items = make_image_items(catalogue, there, score=prob[there], reason=reason)
    ordered = most_doubtful_first(items, -np.abs(prob[there] - 0.5))

    def facts(i: int) -> list[str]:
        row = int(ordered["row"].iloc[i])
        return [f"noise {ordered['score'].iloc[i]:.0%}", str(ordered["reason"].iloc[i]), *_colours(catalogue, row)]

    return Queue(kind, ordered, score_name="noise probability", facts=facts)


def _found_by(rows: pd.DataFrame, there: np.ndarray) -> np.ndarray:
    evidence, number = rows["noise_evidence"].astype(object).to_numpy()[there], rows["noise_round"].to_numpy()[there]
    return np.array([f"round {n}" if n > 0 else e for n, e in zip(number, evidence, strict=True)], dtype=object)


def _colours(catalogue: Catalogue, row: int) -> list[str]:
    if "num_colors" not in catalogue.rows:
        return []
    colors, std = int(catalogue.rows["num_colors"].iloc[row]), float(catalogue.rows["pixel_std"].iloc[row])
    return [f"{colors:,} colours", *(["little contrast"] if std < _FLAT_STD else [])]
