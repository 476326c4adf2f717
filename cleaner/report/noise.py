"""Noise images: what was found, round by round, and how far the classifier can be believed."""

from __future__ import annotations

from typing import Any

import numpy as np

from cleaner.report.charts import Series, axes, bar_chart, legend, line_chart, words_at
from cleaner.report.data import ReportData
from cleaner.report.galleries import PER_ROW, Evidence, gallery, pick_rows
from cleaner.report.markup import Safe, card, count, number, percent, section, tag
from cleaner.report.noise_curves import (
    at_threshold,
    compute_average_precision,
    compute_precision_recall,
    compute_reliability,
    seed_weights,
)
from cleaner.report.thumbnails import Thumbnails

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


def render_noise(figures: dict[str, Any], data: ReportData, thumbnails: Thumbnails) -> Safe:
    """The section."""
    lead = f"{count(figures['noise_images'], 'image')} of no class: maps, tables, charts, logos, screenshots, text. "
    lead += f"Taken out above a probability of {figures['threshold']:g}. {number(figures['in_doubtful_band'])} more, "
    lead += f"between {figures['doubtful']:g} and that, stay until somebody looks."
    charts = [_rounds_chart(figures), _histogram(figures)]
    if figures["seeds"]:
        charts += [_precision_recall_chart(figures), _reliability_chart(figures)]
    else:
        text = "There are no seeds from people of both kinds, so nothing to measure the classifier against."
        charts.append(tag("p", text, cls="note"))
    return section(
        "noise", "Noise images", lead, *_galleries(data, figures, thumbnails), tag("div", charts, cls="charts")
    )


def _galleries(data: ReportData, figures: dict[str, Any], thumbnails: Thumbnails) -> list[Safe | None]:
    rows = data.rows
    found = rows[(rows["drop_reason"] == "noise_image") & (rows["noise_evidence"] == "model")]
    people = rows[(rows["drop_reason"] == "noise_image") & (rows["noise_evidence"] != "model")]
    band = rows[rows["keep"] & (rows["noise_prob"] > figures["doubtful"]) & ~rows["is_noise"]]
    band = band.sort_values("noise_prob", ascending=False, kind="stable").head(PER_ROW)
    return [
        gallery(
            f"Found by the model · {number(len(found))} dropped", None,
            pick_rows(found, found["noise_prob"].to_numpy(np.float64)), _describe, thumbnails,
        ),
        gallery(
            f"In the doubtful band · {number(figures['in_doubtful_band'])} kept", "A second look pays here first.",
            [("", band)] if len(band) else [], _describe, thumbnails,
        ),
        gallery(
            f"Seeds and people's finds · {number(len(people))} dropped", None,
            pick_rows(people, None), _describe, thumbnails,
        ),
    ]  # fmt: skip


def _describe(row: Any) -> Evidence:
    by = {"seed": "a seed", "person": "said a person"}.get(row.noise_evidence, f"found in round {row.noise_round}")
    if row.noise_evidence == "model" and row.noise_round < 1:
        by = "never above the threshold"
    return Evidence(tag("span", f"noise {row.noise_prob:.3f}"), [f"{by} · {row.label}"])


def _rounds_chart(figures: dict[str, Any]) -> Safe:
    bars = [(str(r["round"]), float(r["new"]), "c-noise") for r in figures["rounds"]]
    text = {"stable": "It stopped because nothing changed any more.", "repeats": "It stopped when a result repeated."}
    note = text.get(figures["stopped"], "It stopped at the limit of rounds." if figures["stopped"] else "")
    chart = bar_chart(bars, label="New noise images in each round", x_name="round", y_name="new noise images")
    return card("New noise images in each round", chart, note=note)


def _histogram(figures: dict[str, Any]) -> Safe:
    edges = [i / _BINS for i in range(_BINS)]
    bars = []
    for low, num in zip(edges, figures["histogram"], strict=True):
        above = [c for c, k in (("c-fine", "doubtful"), ("c-noise", "threshold")) if low >= figures[k] - 1e-9]
        bars.append((f"{low:.2f}", float(num), above[-1] if above else "c-keep"))
    chart = bar_chart(
        bars, label="How the noise probabilities are spread", x_name="noise probability (from)",
        y_name="images, log scale", log_y=True, show_values=False, every=4,
    )  # fmt: skip
    ends = f"{figures['doubtful']:g}", f"{figures['threshold']:g}"
    names = [
        (f"up to {ends[0]}", "c-keep"),
        (f"between {ends[0]} and {ends[1]}", "c-fine"),
        (f"above {ends[1]}", "c-noise"),
    ]
    note = f"Probabilities are {figures['calibration']}." if figures["calibration"] else None
    return card("Probabilities of all images", chart, legend(names), note=note)


def _precision_recall_chart(figures: dict[str, Any]) -> Safe:
    seeds = figures["seeds"]
    points = [(r, p) for _, p, r in seeds["precision_recall"]]
    full = next(i for i, (recall, _) in enumerate(points) if recall >= 1 or i == len(points) - 1)
    points = [(0.0, points[0][1]), *points[: full + 1]]  # beyond full recall there is only precision to lose
    at = seeds["at_threshold"]
    x, y = axes((-0.03, 1), (0, 1.04))
    marks = []
    if at["precision"] == at["precision"]:
        spot = x(at["recall"]), y(at["precision"])
        marks = [
            tag("circle", cx=spot[0], cy=spot[1], r=6, cls="dot c-noise"),
            words_at(spot[0] - 8, spot[1] + 24, f"threshold {figures['threshold']:g}", "tick", "end"),
        ]
    chart = line_chart(
        [Series("precision", points, "c-keep")], label="Precision and recall on the seeds", x_name="recall",
        y_name="precision", x_range=(-0.03, 1), y_range=(0, 1.04), shares=(True, True), marks=marks,
    )  # fmt: skip
    note = f"{seeds['noise']} noise and {seeds['normal']} normal seeds, each scored by a model that did not see it and "
    note += f"weighted to a noise share of {percent(seeds['noise_share_assumed'])}. Average precision "
    note += f"{seeds['average_precision']:.3f}; at the threshold precision {percent(at['precision'])}, recall "
    note += f"{percent(at['recall'])}. People pick clear cases as seeds: an audit says what is really left."
    return card("Precision and recall on the seeds", chart, note=note)


def _reliability_chart(figures: dict[str, Any]) -> Safe:
    bins = figures["seeds"]["reliability"]
    most = max(n for *_, n in bins)
    dots = Series(
        "seeds",
        [(p, s) for p, s, _ in bins],
        "c-noise",
        is_line=False,
        dots=True,
        dot_sizes=[4 + 7 * (n / most) ** 0.5 for *_, n in bins],
    )
    diagonal = Series("as promised", [(0.0, 0.0), (1.0, 1.0)], "c-faint")
    chart = line_chart(
        [diagonal, dots], label="Reliability of the noise probability", x_name="noise probability",
        y_name="share that is noise", x_range=(-0.03, 1), y_range=(0, 1.04), shares=(True, True),
    )  # fmt: skip
    note = "On the diagonal a probability means what it says; above it, noise is more frequent than promised. "
    note += "Large dots stand for many seeds."
    return card("Does 90 % mean 90 %?", chart, note=note)
