"""Noise images: what was found, round by round, and how far the classifier can be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np

from cleaner.report.charts import Axis, Drawing, Series, bar_chart, line_chart
from cleaner.report.data import ReportData
from cleaner.report.galleries import PER_ROW, Evidence, make_gallery, pick_rows
from cleaner.report.noise_curves import (
    at_threshold,
    compute_average_precision,
    compute_precision_recall,
    compute_reliability,
    seed_weights,
)
from cleaner.report.thumbnails import Thumbnails
from cleaner.report.wording import decimal, number
from cleaner.scoring.noise_evidence import REASONS

_BINS = 20


def compute_noise(data: ReportData) -> dict[str, Any] | None:
    """Counts, rounds, the histogram of probabilities, and curves against the seeds; None before the noise stage."""
    if not data.has("noise_prob", "is_noise", "noise_evidence", "noise_round"):
        return None
    rows, notes = data.rows, data.notes("noise")
    prob = rows["noise_prob"].to_numpy(np.float64)
    scored = prob[~np.isnan(prob)]
    counts = np.histogram(scored, np.linspace(0, 1, _BINS + 1))[0]
    threshold, doubtful = data.setting("noise", "threshold", 0.9), data.setting("noise", "doubtful", 0.5)
    evidence = rows.loc[rows["is_noise"], "noise_evidence"].value_counts()
    in_band = rows["keep"].to_numpy() & (prob > doubtful) & ~rows["is_noise"].to_numpy()
    return {
        "noise_images": int(rows["is_noise"].sum()),
        "by_evidence": {str(k): int(v) for k, v in evidence.items() if v},
        "dropped": int((rows["drop_reason"] == "noise_image").sum()),
        "in_doubtful_band": int(in_band.sum()),
        "threshold": threshold,
        "doubtful": doubtful,
        "calibration": notes.get("calibration", ""),
        "stopped": notes.get("stopped", ""),
        "rounds": notes.get("rounds", []),
        "histogram": [int(n) for n in counts],
        "seeds": _seed_curves(data, threshold),
    }


def _seed_curves(data: ReportData, threshold: float) -> dict[str, Any] | None:
    rows = data.rows
    is_seed = (rows["noise_round"] == 0) & rows["noise_evidence"].isin(["seed", "person"]) & rows["noise_prob"].notna()
    is_seed &= rows["drop_reason"] != "exact_duplicate"  # a copy has the columns of the one that stayed
    source = data.notes("noise").get("seeds", {}).get("source", "")
    prob = rows.loc[is_seed, "noise_prob"].to_numpy(np.float64)
    truth = rows.loc[is_seed, "is_noise"].to_numpy(bool)
    if source == "auto" or not truth.any() or truth.all():
        return None
    rounds = data.notes("noise").get("rounds", [])
    prior = float(rounds[-1]["prior"]) if rounds else float(truth.mean())
    weights = seed_weights(truth, prior)
    curve = compute_precision_recall(prob, truth, weights)
    plain = compute_precision_recall(prob, truth, np.ones(len(prob)))
    precision, recall = at_threshold(prob, truth, weights, threshold)
    return {
        "noise": int(truth.sum()),
        "normal": int((~truth).sum()),
        "source": source,
        "noise_share_assumed": prior,
        "average_precision": compute_average_precision(curve),
        "average_precision_unweighted": compute_average_precision(plain),
        "at_threshold": {"precision": precision, "recall": recall},
        "precision_recall": _thinned(curve),
        "reliability": compute_reliability(prob, truth, weights).tolist(),
    }


def _thinned(curve: np.ndarray, num: int = 200) -> list[list[float]]:
    """At most about `num` points (threshold, precision, recall) of a curve."""
    chosen = np.unique(np.linspace(0, len(curve) - 1, min(num, len(curve))).round().astype(int))
    return [[round(float(v), 6) for v in row] for row in curve[chosen]]


def illustrate_noise(figures: dict[str, Any], data: ReportData, thumbnails: Thumbnails) -> dict[str, Any]:
    """The section's galleries and charts; those against the seeds are None without seeds of both kinds."""
    rows = data.rows
    is_dropped, by_model = rows["drop_reason"] == "noise_image", rows["noise_evidence"] == "model"
    found, people = rows[is_dropped & by_model], rows[is_dropped & ~by_model]
    band = rows[rows["keep"] & (rows["noise_prob"] > figures["doubtful"]) & ~rows["is_noise"]]
    band = band.sort_values("noise_prob", ascending=False, kind="stable").head(PER_ROW)
    in_band = f"In the doubtful band · {number(figures['in_doubtful_band'])} kept"
    by_certainty = pick_rows(found, found["noise_prob"].to_numpy(np.float64))
    galleries = [
        (f"Found by the model · {number(len(found))} dropped", "", by_certainty),
        (in_band, "A second look pays here first.", [("", band)] if len(band) else []),
        (f"Seeds and people's finds · {number(len(people))} dropped", "", pick_rows(people, None)),
    ]
    has_seeds = figures["seeds"] is not None
    return {
        "galleries": [make_gallery(*one, _describe, thumbnails) for one in galleries],
        "rounds": _rounds_chart(figures),
        "histogram": _histogram(figures),
        "precision_recall": _precision_recall_chart(figures) if has_seeds else None,
        "reliability": _reliability_chart(figures) if has_seeds else None,
    }


def _describe(row: Any) -> Evidence:
    by = {"seed": "a seed", "person": "by a person"}.get(row.noise_evidence, f"found in round {row.noise_round}")
    if row.noise_evidence == "model" and row.noise_round < 1:
        by = "never above the threshold"
    reason = REASONS.get(getattr(row, "noise_reason", ""), "")
    return Evidence([f"noise {decimal(row.noise_prob, '.3f')}"], [f"{by} · {row.label}", *([reason] if reason else [])])


def _rounds_chart(figures: dict[str, Any]) -> Drawing:
    bars = [(str(r["round"]), float(r["new"]), "c-noise") for r in figures["rounds"]]
    return bar_chart(bars, label="New noise images in each round", x_name="round", y_name="new noise images")


def _histogram(figures: dict[str, Any]) -> Drawing:
    edges = [i / _BINS for i in range(_BINS)]
    bars = []
    for low, num in zip(edges, figures["histogram"], strict=True):
        above = [c for c, k in (("c-fine", "doubtful"), ("c-noise", "threshold")) if low >= figures[k] - 1e-9]
        bars.append((f"{low:.2f}", float(num), above[-1] if above else "c-keep"))
    return bar_chart(
        bars,
        label="How the noise probabilities are spread",
        x_name="noise probability (from)",
        y_name="images, log scale",
        log_y=True,
        show_values=False,
        every=4,
    )


def _precision_recall_chart(figures: dict[str, Any]) -> Drawing:
    seeds = figures["seeds"]
    points = [(r, p) for _, p, r in seeds["precision_recall"]]
    full = next(i for i, (recall, _) in enumerate(points) if recall >= 1 or i == len(points) - 1)
    points = [(0.0, points[0][1]), *points[: full + 1]]  # beyond full recall precision can only fall
    at = seeds["at_threshold"]
    mark = None
    if at["precision"] is not None:
        mark = at["recall"], at["precision"], f"threshold {figures['threshold']:g}"
    x_axis, y_axis = Axis("recall", -0.03, 1, is_share=True), Axis("precision", 0, 1.04, is_share=True)
    label = "Precision and recall on the seeds"
    return line_chart([Series(points, "c-keep")], x_axis, y_axis, label=label, mark=mark)


def _reliability_chart(figures: dict[str, Any]) -> Drawing:
    bins = figures["seeds"]["reliability"]
    most = max(n for *_, n in bins)
    radii = [4 + 7 * (n / most) ** 0.5 for *_, n in bins]
    dots = Series([(p, s) for p, s, _ in bins], "c-noise", dot_radii=radii)
    diagonal = Series([(0.0, 0.0), (1.0, 1.0)], "c-faint")
    x_axis = Axis("noise probability", -0.03, 1, is_share=True)
    y_axis = Axis("share that is noise", 0, 1.04, is_share=True)
    return line_chart([diagonal, dots], x_axis, y_axis, label="Reliability of the noise probability")
