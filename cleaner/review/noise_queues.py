"""Queues of noise images: candidates for seeds, the doubtful, and those that the model found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from cleaner.review.catalogue import Catalogue
from cleaner.review.ledger import Ledger
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


_ENOUGH_SEEDS = 50
"""Of each kind: from there on the noise stage calls its probabilities calibrated."""


def find_looks(kind: QueueKind, sources: Sources) -> Queue:
    """All images that may be asked about, by the noise probability of the last fit; a page picks among them."""
    catalogue, refit = sources.catalogue, sources.noise
    if refit is None:
        return absent_queue(kind, "start `cleaner review noise`, which computes what the model sees of the images")
    if not refit.is_current():
        return absent_queue(kind, "the scan has run since: start `cleaner review noise` again")
    prob = refit.last_fit.noise_prob.astype(np.float64)
    row = np.array([catalogue.row_of.get(key, -1) for key in refit.keys], dtype=np.int64)
    order = np.argsort(-prob, kind="stable")
    order = order[row[order] >= 0]
    items = make_image_items(catalogue, row[order], score=prob[order]).reset_index(drop=True)
    position_of = {key: position for position, key in enumerate(items["key"])}

    def choose(num: int) -> dict[int, str]:
        looks = refit.choose(refit.last_fit, num)
        asked = zip((refit.keys[i] for i in looks.rows), looks.reasons, strict=True)
        return {position_of[key]: str(reason) for key, reason in asked if key in position_of}

    return Queue(
        kind,
        items,
        score_name="noise probability",
        facts=lambda i: [f"noise {prob[order[i]]:.0%}", *_colours(catalogue, int(row[order[i]]))],
        learns=True,
        choose=choose,
        left=_left_of(sources),
    )


def follow_noise(sources: Sources) -> None:
    """Fit the noise model to the answers so far, where there is one."""
    if sources.noise:
        sources.noise.follow(sources.ledger)


def find_fit(sources: Sources) -> object:
    """Changes with every fit of the model, and with the scan."""
    return (sources.noise.version, sources.noise.is_current()) if sources.noise else None


def _left_of(sources: Sources) -> Callable[[], dict[str, Any] | None]:
    """What is left of the noise, by the last fit."""

    def left() -> dict[str, Any] | None:
        if sources.noise is None:
            return None
        fit = sources.noise.last_fit
        return {
            "share": None if fit.left is None else round(fit.left, 5),
            "bound": round(fit.bound, 5),
            "num_random": fit.num_random,
            "is_reached": fit.is_reached,
        }

    return left


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

    return Queue(kind, ordered, score_name="oddness", facts=facts, left=_left_of(sources), hint=_count_seeds)


def _count_seeds(ledger: Ledger) -> str:
    verdicts = [event.verdict for event in list(ledger.mine.values())]
    num_noise, num_normal = verdicts.count("noise"), verdicts.count("normal")
    enough = "enough" if min(num_noise, num_normal) >= _ENOUGH_SEEDS else f"{_ENOUGH_SEEDS} of each are enough"
    return f"{num_noise:,} noise · {num_normal:,} normal · {enough}"


def _rank_low(rows: pd.DataFrame, name: str, there: np.ndarray) -> np.ndarray:
    """The rank (n,) 0 .. 1 of each row by column `name`, the lowest value with the highest rank; 0.5 if unknown."""
    if name not in rows:
        return np.full(len(there), 0.5)
    values = rows[name].to_numpy()[there].astype(np.float64)
    ranks: np.ndarray = pd.Series(-values).rank(pct=True).fillna(0.5).to_numpy()
    return ranks


def find_noise(kind: QueueKind, sources: Sources) -> Queue:
    """Noise images that the model found, or (`noise-doubtful`) images between the two thresholds.

    By the last fit to the answers, where the page follows them (`find_looks`), else by the last run of the stage.
    """
    catalogue = sources.catalogue
    rows, settings = catalogue.rows, catalogue.settings
    refit = sources.noise if sources.noise and sources.noise.is_current() else None
    if refit:
        by_key = rows["image_id"].map(dict(zip(refit.keys, refit.last_fit.noise_prob, strict=True)))
        prob = by_key.to_numpy(np.float64)
        found = prob > settings["threshold"]
    elif "noise_prob" in rows:
        prob, found = rows["noise_prob"].to_numpy().astype(np.float64), rows["is_noise"].to_numpy()
    else:
        return absent_queue(kind, "run `cleaner noise`, or start `cleaner review noise`")
    reason: object = "in the doubtful band"
    if kind.name == "noise-found":
        there = first_of_content(catalogue, found)
        reason = "by the last fit" if refit else _found_by(rows, there)
    else:
        there = first_of_content(catalogue, (prob > settings["doubtful"]) & (prob <= settings["threshold"]) & ~found)
    items = make_image_items(catalogue, there, score=prob[there], reason=reason)
    ordered = most_doubtful_first(items, -np.abs(prob[there] - 0.5))

    def facts(i: int) -> list[str]:
        row = int(ordered["row"].iloc[i])
        return [f"noise {ordered['score'].iloc[i]:.0%}", str(ordered["reason"].iloc[i]), *_colours(catalogue, row)]

    return Queue(kind, ordered, score_name="noise probability", facts=facts, left=_left_of(sources))


def _found_by(rows: pd.DataFrame, there: np.ndarray) -> np.ndarray:
    evidence, number = rows["noise_evidence"].astype(object).to_numpy()[there], rows["noise_round"].to_numpy()[there]
    return np.array([f"round {n}" if n > 0 else e for n, e in zip(number, evidence, strict=True)], dtype=object)


def _colours(catalogue: Catalogue, row: int) -> list[str]:
    if "num_colors" not in catalogue.rows:
        return []
    colors, std = int(catalogue.rows["num_colors"].iloc[row]), float(catalogue.rows["pixel_std"].iloc[row])
    return [f"{colors:,} colours", *(["little contrast"] if std < _FLAT_STD else [])]
