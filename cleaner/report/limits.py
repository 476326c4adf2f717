"""What to keep in mind about this set: where its own figures say that the result is less sure than usual."""

from __future__ import annotations

from typing import Any

from cleaner.report.data import ReportData
from cleaner.report.wording import count, number, percent

_FEW_IMAGES_A_CLASS = 20
_WEAK_ACCURACY = 0.5
_NAMED = 5


def compute_limits(figures: dict[str, Any], data: ReportData) -> list[str]:
    """Sentences, the weightiest first; none where nothing stands out. `figures`: those of the sections."""
    return [*_weak_sight(figures), *_few_images(figures), *_large_shares(data), *_unseen(figures)]


def _weak_sight(figures: dict[str, Any]) -> list[str]:
    judged = [row for row in figures["classes"]["table"] if row.get("oof_accuracy") is not None]
    weak = sorted((r for r in judged if r["oof_accuracy"] < _WEAK_ACCURACY), key=lambda r: float(r["oof_accuracy"]))
    if not weak:
        return []
    names = ", ".join(f"{row['label']} ({percent(row['oof_accuracy'], 0)})" for row in weak[:_NAMED])
    more = f" and {number(len(weak) - _NAMED)} more" if len(weak) > _NAMED else ""
    return [
        f"In {number(len(weak))} of {count(len(judged), 'class', 'classes')} the models recognise less than half of "
        f"the images that they did not learn from: {names}{more}. What is said of labels there is weak: look, or "
        "take a stronger backbone."
    ]


def _few_images(figures: dict[str, Any]) -> list[str]:
    sizes = [row["before"] for row in figures["classes"]["table"] if row["before"] > 0]
    small = sum(size < _FEW_IMAGES_A_CLASS for size in sizes)
    if not small:
        return []
    return [
        f"{count(small, 'class has', 'classes have')} fewer than {_FEW_IMAGES_A_CLASS} images: too few to tell a rare "
        "look from a wrong label. Look at what is dropped there."
    ]


def _large_shares(data: ReportData) -> list[str]:
    scan = data.records.get("scan")
    beyond = scan.counts.get("beyond_quality_limit", {}) if scan is not None else {}
    rows = scan.counts.get("rows", 0) if scan is not None else 0
    return [
        f"{percent(num / rows, 0)} of the images are beyond the limit of `{name.replace('_', ' ')}`: that is how this "
        "set is, so only what stands out of it is flagged."
        for name, num in beyond.items()
        if rows
    ]


def _unseen(figures: dict[str, Any]) -> list[str]:
    found = []
    noise, audit = figures["noise"], figures["audit"]
    if noise and not noise.get("seeds"):
        found.append(
            "No person has called images noise or normal: probabilities of noise are not calibrated, and junk that "
            "looks like a class is missed."
        )
    if not (audit and audit.get("looked_at")):
        found.append("Nobody has looked at a blind sample yet: what is left behind is not known.")
    return found
