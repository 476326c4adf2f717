"""What the labels stage writes besides its manifest: the rounds, and what its record says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cleaner.dataset.manifest import write_table
from cleaner.dataset.stage_tables import ROUNDS
from cleaner.errors import first_few
from cleaner.stages.labels.class_table import class_warnings
from cleaner.stages.labels.last_predictions import LastPredictions
from cleaner.stages.labels.outcome import Evidence
from cleaner.stages.labels.passes import Pass, Round


def write_rounds(folder: Path, file_names: pd.Series[str], evidence: Evidence) -> str:
    """Write one row for each image that a round judged; returns the file's name. `file_names` (N,): of the manifest."""
    rounds = [(this, one) for this in evidence.passes for one in this.rounds]
    frame = _rounds_frame(rounds, file_names, evidence) if rounds else ROUNDS["labels"].schema.empty_table().to_pandas()
    write_table(folder / "rounds.parquet", frame, ROUNDS["labels"].schema)
    return "rounds.parquet"


def _rounds_frame(rounds: list[tuple[Pass, Round]], file_names: pd.Series[str], evidence: Evidence) -> pd.DataFrame:
    """The rows of all rounds. Text that repeats is kept as numbers: there are several rows for each image."""
    sizes = [len(one.rows) for _, one in rounds]

    def repeated(names: list[str]) -> pd.Categorical:
        number, known = pd.factorize(np.array(names, object))
        return pd.Categorical.from_codes(np.repeat(number.astype(np.int8), sizes), pd.Index(known))

    rows = np.flatnonzero(evidence.mine)[np.concatenate([one.rows for _, one in rounds])]
    judged = [one.predictions for _, one in rounds]
    predicted = np.concatenate([found.predicted for found in judged])
    columns = {
        "pass": repeated([this.kind for this, _ in rounds]),
        "round": np.repeat(np.array([one.number for _, one in rounds], np.int16), sizes),
        "recipe": repeated([one.recipe for _, one in rounds]),
        "file_name": file_names.array.take(rows),
        "given_rank": np.concatenate([found.given_rank for found in judged]),
        "self_confidence": np.concatenate([found.self_confidence for found in judged]),
        "predicted_label": pd.Categorical.from_codes(predicted, pd.Index(evidence.names)),
        "positive": np.concatenate([one.positive for _, one in rounds]),
    }
    return pd.DataFrame(columns, copy=False)


def write_predictions(folder: Path, evidence: Evidence, merged: dict[str, str], features: np.ndarray) -> str:
    """Write what the estimate was made from, for the review of labels; returns the file's name."""
    estimate = evidence.estimate
    assert estimate is not None
    rows = np.flatnonzero(evidence.mine)
    groups, classes = evidence.labels.groups, evidence.classes
    return LastPredictions(rows, estimate.last, groups, features, classes, merged, estimate.trusted).write(folder)


def notes_of(evidence: Evidence) -> dict[str, Any]:
    """What the record says of passes and rounds."""
    passes = [
        {"pass": p.kind, "top_k": p.top_k, "judged": len(p.rows), "stable": p.stable, "rounds": _round_notes(p)}
        for p in evidence.passes
    ]
    notes: dict[str, Any] = {"passes": passes, "skipped_top_k": evidence.skipped}
    estimate = evidence.estimate
    if estimate is not None:
        notes["rule"] = {
            "threshold": round(estimate.threshold, 4),
            "recalibrated_by": estimate.num_reviewed,
            "rounds": estimate.rounds,
        }
        if estimate.brought_weight is not None:
            notes["rule"]["brought_weight"] = round(estimate.brought_weight, 4)
    return notes


def _round_notes(this: Pass) -> list[dict[str, Any]]:
    return [
        {"round": r.number, "recipe": r.recipe, "judged": len(r.rows), "positive": int(r.positive.sum())}
        for r in this.rounds
    ]


def warnings_of(counts: dict[str, Any], passes: list[Pass]) -> list[str]:
    """Warnings about passes, and about classes and images by the counts of the record."""
    warnings = [
        f"the {this.kind} pass ended at --max-rounds {len(this.rounds) - 1}: it might pull more images back"
        for this in passes
        if not this.stable and len(this.rounds) > 1
    ]
    warnings += class_warnings(counts)
    spared, reduced, num = counts["classes_not_cut"], counts["classes_cut_in_part"], counts["not_scored"]
    if spared:
        warnings.append(
            f"too uncertain what is wrong in {len(spared)} {'class' if len(spared) == 1 else 'classes'}: nothing of "
            f"{first_few(spared)} is dropped, people decide"
        )
    if reduced:
        warnings.append(
            f"{len(reduced)} {'class loses' if len(reduced) == 1 else 'classes lose'} the surest of what looks wrong, "
            f"people decide on the rest: {first_few(reduced)}"
        )
    if num:
        warnings.append(f"{num} images could not be scored: no other fold holds a positive of their class")
    return warnings
