"""Which images have a wrong label: the work of the labels stage. docs/methods.md."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from safetensors.numpy import save as save_tensors

from cleaner.config import LabelsSettings, RunOptions
from cleaner.dataset.manifest import write_table
from cleaner.dataset.predictions import read_predictions
from cleaner.dataset.store import Arrays, ArrayStore, clear_folder, digest_of, write_atomic, write_json
from cleaner.dataset.verdicts import resolve_merges
from cleaner.errors import BadInputError, first_few
from cleaner.modeling.backbones import num_threads
from cleaner.modeling.crossval import NUM_OTHERS
from cleaner.modeling.learner import Learner
from cleaner.modeling.predictions import HeldOut, predict_held_out
from cleaner.random_streams import Stream, open_stream
from cleaner.scoring.groups import assign_folds, duplicate_groups
from cleaner.scoring.out_of_fold import NO_CLASS, UNDECIDED, OutOfFold
from cleaner.stages.labels.class_table import class_warnings, write_classes
from cleaner.stages.labels.fits import LabelSet, StoredFits
from cleaner.stages.labels.issue_estimate import IssueEstimate, estimate_issues
from cleaner.stages.labels.outcome import Evidence, apply_outcome
from cleaner.stages.labels.passes import Pass, plan_passes, run_pass
from cleaner.stages.labels.rule import Choice
from cleaner.stages.learners import open_learner
from cleaner.stages.stage_run import StageResult, StageRun

_ROUNDS_SCHEMA = pa.schema(
    {
        "pass": pa.string(),
        "round": pa.int16(),
        "recipe": pa.string(),
        "file_name": pa.string(),
        "given_rank": pa.int32(),
        "self_confidence": pa.float32(),
        "predicted_label": pa.string(),
        "positive": pa.bool_(),
    }
)


def find_label_issues(run: StageRun[LabelsSettings]) -> StageResult:
    """Find wrong labels by cross-training and rounds of pulling back, and write `labels/`.

    Raises BadInputError if there is too little to learn from, or for an image that changed since the scan.
    """
    settings, options, manifest = run.settings, run.options, run.read_parent()
    verdicts = run.image_verdicts(manifest)
    merged = resolve_merges(run.class_verdicts)  # two classes that people merged are one class here too
    if merged:
        manifest["clean_label"] = manifest["clean_label"].replace(merged).astype(object)
        verdicts["label"] = verdicts["label"].replace(merged)
    rows = _rows_to_check(manifest, settings, run.parent.path)
    classes = sorted(set(rows["clean_label"]) | set(verdicts.loc[verdicts["verdict"] == "label", "label"]))
    brought = _read_predictions(settings, manifest, rows, classes)
    opened = open_learner(
        run.workspace, run.parent.images_root, rows, len(classes), settings.learner, settings.embedding, options
    )
    learner = opened.learner
    labels = _label_set(rows, classes, verdicts, settings, options, learner.identity)
    fits = StoredFits(labels, learner, options.seed, ArrayStore(opened.cache / "labels"), options.progress)
    folder = run.begin()
    evidence, choice = _collect_evidence(rows, classes, fits, settings, brought)
    full, counts = apply_outcome(manifest, evidence, verdicts, choice)
    classes_file, class_counts = write_classes(folder, evidence, full)
    counts |= class_counts
    return run.complete(
        full,
        counts=counts,
        files=[_write_rounds(folder, evidence), classes_file, *_write_models(folder, evidence, learner)],
        machine=opened.machine,
        notes={"learner": learner.card["learner"]} | _notes(evidence),
        warnings=_warnings(counts),
    )


def _rows_to_check(manifest: pd.DataFrame, settings: LabelsSettings, path: Path) -> pd.DataFrame:
    splits = ["train", *settings.clean_split]
    rows = manifest[manifest["keep"] & manifest["split"].isin(splits)].reset_index(drop=True)
    if rows["clean_label"].nunique() < 2 or len(rows) < 2 * settings.folds:
        raise BadInputError(
            f"{path}: too little to learn labels from",
            expected=f"two classes and {2 * settings.folds} kept images of split train at least",
            found=f"{rows['clean_label'].nunique()} classes, {len(rows)} images",
            next_step="check the images root, or use fewer --folds",
        )
    return rows


def _label_set(
    rows: pd.DataFrame,
    classes: list[str],
    verdicts: pd.DataFrame,
    settings: LabelsSettings,
    options: RunOptions,
    identity: str,
) -> LabelSet:
    number = {name: i for i, name in enumerate(classes)}
    targets = _class_numbers(rows, classes)
    verdict, label = rows["image_id"].map(verdicts["verdict"]), rows["image_id"].map(verdicts["label"])
    decided = label.map(number).where(verdict == "label", UNDECIDED).fillna(UNDECIDED).to_numpy(np.int64)
    decided[verdict.isin(["noise", "drop"]).to_numpy()] = NO_CLASS
    groups = duplicate_groups(rows)
    rng = open_stream(options.seed, Stream.LABEL_FOLDS)
    return LabelSet(
        targets=targets,
        fold=assign_folds(groups, targets, settings.folds, rng),
        groups=groups,
        learns=(rows["split"] == "train").to_numpy(),
        decided=decided,
        num_classes=len(classes),
        identity=digest_of(identity, "".join(rows["image_id"]).encode(), classes, num_threads()),
    )


def _class_numbers(rows: pd.DataFrame, classes: list[str]) -> np.ndarray:
    return pd.Categorical(rows["clean_label"], categories=classes).codes.astype(np.int64)


def _read_predictions(
    settings: LabelsSettings, manifest: pd.DataFrame, rows: pd.DataFrame, classes: list[str]
) -> OutOfFold | None:
    """The user's own predictions for the rows; None without any."""
    if not settings.pred_probs:
        return None
    learned = sorted(set(rows["clean_label"]))
    files, names = (Path(settings.pred_probs), Path(settings.pred_ids)), rows["file_name"].tolist()
    model = read_predictions(*files, names, manifest["file_name"].tolist(), classes, learned)
    scorable = np.isin(np.array(classes, dtype=object), learned)
    return predict_held_out(model, HeldOut(np.arange(len(rows)), _class_numbers(rows, classes), scorable, NUM_OTHERS))


def _collect_evidence(
    rows: pd.DataFrame, classes: list[str], fits: StoredFits, settings: LabelsSettings, brought: OutOfFold | None
) -> tuple[Evidence, Choice]:
    """Run the passes and, if the choice needs it, the estimate; `brought`: the user's own predictions."""
    num_classes = len(np.unique(fits.labels.targets))
    top_ks, skipped = plan_passes(settings.top_k, num_classes)
    for top_k in skipped:
        fits.progress.warn(f"top {top_k} of {num_classes} classes is nearly blind: that pass is skipped")
    choice = Choice.of(settings, top_ks)
    passes: list[Pass] = []
    left = np.arange(len(rows))
    for top_k in top_ks:
        predictions = None if passes else brought
        passes.append(run_pass(fits, left, top_k=top_k, max_rounds=settings.max_rounds, predictions=predictions))
        left = np.flatnonzero(passes[-1].positive)
    estimate = _estimate(fits, passes, brought) if choice.needs_estimate else None
    return Evidence(rows, classes, fits.labels, passes, skipped, estimate), choice


def _estimate(fits: StoredFits, passes: list[Pass], brought: OutOfFold | None) -> IssueEstimate:
    """Start from the first pass's round 0, or without a pass from a cross-training of its own."""
    zero = passes[0].rounds[0].predictions if passes else brought
    if zero is None:
        zero, _ = fits.cross_train_as_given(np.arange(len(fits.labels.targets)), "rule")
    return estimate_issues(fits, zero)


def _write_rounds(folder: Path, evidence: Evidence) -> str:
    file_names = evidence.rows["file_name"].to_numpy()
    parts = []
    for this in evidence.passes:
        for one in this.rounds:
            columns = {
                "pass": this.kind,
                "round": one.number,
                "recipe": one.recipe,
                "file_name": file_names[one.rows],
                "given_rank": one.predictions.given_rank,
                "self_confidence": one.predictions.self_confidence,
                "predicted_label": evidence.names[one.predictions.predicted],
                "positive": one.positive,
            }
            parts.append(pd.DataFrame(columns))
    frame = pd.concat(parts, ignore_index=True) if parts else _ROUNDS_SCHEMA.empty_table().to_pandas()
    write_table(folder / "rounds.parquet", frame, _ROUNDS_SCHEMA)
    return "rounds.parquet"


def _write_models(folder: Path, evidence: Evidence, learner: Learner) -> list[str]:
    """The fold models of the last cross-training: safetensors, and a JSON that says what they take and yield."""
    clear_folder(folder / "models")
    estimate, recipes = evidence.estimate, learner.recipes
    name, recipe = "", recipes[0]
    models: list[Arrays] = []
    if evidence.passes:
        models, name = evidence.passes[-1].models, evidence.passes[-1].kind
    if estimate is not None and estimate.models:
        models, name, recipe = estimate.models, "rule", recipes[(len(estimate.rounds) - 1) % len(recipes)]
    files = []
    card = learner.card | {"classes": evidence.classes, "pass": name, "recipe": asdict(recipe)}
    for number, state in enumerate(models):
        file = f"models/fold_{number}"
        tensors = save_tensors({k: np.ascontiguousarray(v) for k, v in state.items()})
        write_atomic(folder / f"{file}.safetensors", tensors)
        write_json(folder / f"{file}.json", {"fold": number} | card)
        files += [f"{file}.safetensors", f"{file}.json"]
    return files


def _notes(evidence: Evidence) -> dict[str, Any]:
    passes = [
        {"pass": p.kind, "top_k": p.top_k, "judged": len(p.rows), "stable": p.stable, "rounds": _round_notes(p)}
        for p in evidence.passes
    ]
    notes: dict[str, Any] = {"passes": passes, "skipped_top_k": evidence.skipped}
    if evidence.estimate is not None:
        notes["rule"] = {
            "threshold": round(evidence.estimate.threshold, 4),
            "recalibrated_by": evidence.estimate.num_reviewed,
            "rounds": evidence.estimate.rounds,
        }
    return notes


def _round_notes(this: Pass) -> list[dict[str, Any]]:
    return [
        {"round": r.number, "recipe": r.recipe, "judged": len(r.rows), "positive": int(r.positive.sum())}
        for r in this.rounds
    ]


def _warnings(counts: dict[str, Any]) -> list[str]:
    warnings = class_warnings(counts)
    spared, num = counts["classes_not_cut"], counts["not_scored"]
    if spared:
        warnings.append(f"{len(spared)} classes would be all but emptied, and are left to people: {first_few(spared)}")
    if num:
        warnings.append(f"{num} images could not be scored: no other fold holds a positive of their class")
    return warnings
