"""`cleaner labels`: which images stand under a wrong label. recipe.md section 2, docs/methods.md."""

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
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError
from cleaner.modeling.backbones import num_threads
from cleaner.modeling.crossval import NUM_OTHERS, Judgement, judge
from cleaner.modeling.learner import Learner
from cleaner.random_streams import Stream, open_stream
from cleaner.scoring.groups import assign_folds, duplicate_groups
from cleaner.stages.labels.class_table import class_warnings, write_classes
from cleaner.stages.labels.outcome import Judged, decide
from cleaner.stages.labels.passes import LabelSet, Pass, cross_train_stored, run_pass
from cleaner.stages.labels.rule import Doubts, run_rule
from cleaner.stages.learners import OpenedLearner, open_learner
from cleaner.stages.stage_run import Machine, StageResult, StageRun

_ROUNDS_SCHEMA = pa.schema(
    [
        ("pass", pa.string()), ("round", pa.int16()), ("recipe", pa.string()), ("file_name", pa.string()),
        ("given_rank", pa.int32()), ("self_confidence", pa.float32()), ("predicted_label", pa.string()),
        ("positive", pa.bool_()),
    ]
)  # fmt: skip
_THROWN_OUT = -2


def run_labels(
    workspace: Workspace, settings: LabelsSettings, options: RunOptions, from_file: Path | None = None
) -> StageResult:
    """Find wrong labels by cross-training and rounds of pulling back, and write `labels/`.

    Raises StaleStageError without a current parent, BadInputError where there is nothing to judge or an image
    changed since the scan.
    """
    run = StageRun.open(workspace, "labels", settings, options, from_file)
    current = run.current()
    if current is not None:
        return current
    parent, manifest = run.parent, run.read_parent()
    verdicts = run.image_verdicts(manifest)
    merged = resolve_merges(run.class_verdicts)  # two classes that people made one are one here, too
    if merged:
        manifest["clean_label"] = manifest["clean_label"].replace(merged).astype(object)
        verdicts["label"] = verdicts["label"].replace(merged)
    rows = _rows_to_judge(manifest, settings, parent.path)
    classes = sorted(set(rows["clean_label"]) | set(verdicts.loc[verdicts["verdict"] == "label", "label"]))
    predictions = _read_predictions(settings, manifest, rows, classes)
    opened = open_learner(
        workspace, parent.images_root, rows, len(classes), settings.learner, settings.embedding, options
    )
    learner = opened.learner
    labels = _label_set(rows, classes, verdicts, settings, options, opened.identity)
    folder = run.begin()
    store = ArrayStore(opened.cache / "labels")
    passes, skipped = _run_passes(labels, learner, settings, options, store, predictions)
    doubts = _run_rule(labels, learner, passes, settings, options, store, predictions)
    judged = Judged(rows, classes, labels, passes, skipped, doubts)
    full, counts = decide(manifest, judged, verdicts, settings)
    classes_file, class_counts = write_classes(folder, judged, full)
    counts |= class_counts
    files = [_write_rounds(folder, judged), classes_file, *_write_models(folder, judged, opened)]
    return run.complete(
        full,
        counts=counts,
        files=files,
        machine=Machine(opened.backbone, opened.device, num_threads()),
        notes={"learner": opened.name} | _notes(judged),
        warnings=_warnings(judged, counts),
    )


def _rows_to_judge(manifest: pd.DataFrame, settings: LabelsSettings, path: Path) -> pd.DataFrame:
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
    said = rows["image_id"].map(verdicts["verdict"])
    decided = (
        rows["image_id"].map(verdicts["label"]).map(number).where(said == "label", -1).fillna(-1).to_numpy(np.int64)
    )
    decided[said.isin(["noise", "drop"]).to_numpy()] = _THROWN_OUT
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
) -> Judgement | None:
    """What people's own predictions say of the rows; None without them."""
    if not settings.pred_probs:
        return None
    learned = sorted(set(rows["clean_label"]))
    predictor = read_predictions(
        Path(settings.pred_probs), Path(settings.pred_ids), rows["file_name"].tolist(),
        manifest["file_name"].tolist(), classes, learned,
    )  # fmt: skip
    scorable = np.isin(np.array(classes, dtype=object), learned)
    return judge(predictor, np.arange(len(rows)), _class_numbers(rows, classes), scorable, NUM_OTHERS)


def _run_passes(
    labels: LabelSet,
    learner: Learner,
    settings: LabelsSettings,
    options: RunOptions,
    store: ArrayStore,
    predictions: Judgement | None,
) -> tuple[list[Pass], list[int]]:
    """The schedule of passes, each over the positives of the one before."""
    rows = np.arange(len(labels.targets))
    num_classes = len(np.unique(labels.targets))
    passes: list[Pass] = []
    skipped: list[int] = []
    for top_k in settings.top_k:
        if top_k > 1 and 2 * top_k >= num_classes:
            skipped.append(top_k)
            options.progress.warn(f"top {top_k} of {num_classes} classes is nearly blind: that pass is skipped")
            continue
        this = run_pass(
            labels, learner, rows,
            name="coarse" if top_k > 1 else "fine", top_k=top_k, max_rounds=settings.max_rounds,
            seed=options.seed, store=store, progress=options.progress, predictions=None if passes else predictions,
        )  # fmt: skip
        passes.append(this)
        rows = np.flatnonzero(this.positive)
    return passes, skipped


def _run_rule(
    labels: LabelSet,
    learner: Learner,
    passes: list[Pass],
    settings: LabelsSettings,
    options: RunOptions,
    store: ArrayStore,
    predictions: Judgement | None,
) -> Doubts | None:
    """The rule auto over all rows, from the first pass's round 0; without a pass from a cross-training of its own."""
    if settings.rule != "auto":
        return None
    zero = passes[0].rounds[0].judgement if passes else predictions
    if zero is None:
        zero, _ = cross_train_stored(
            labels, learner, np.arange(len(labels.targets)), labels.learns.astype(np.float32), learner.recipes[0],
            targets=labels.targets, title="rule", seed=options.seed, store=store, progress=options.progress,
        )  # fmt: skip
    return run_rule(labels, learner, zero, seed=options.seed, store=store, progress=options.progress)


def _write_rounds(folder: Path, judged: Judged) -> str:
    names = judged.rows["file_name"].to_numpy()
    classes = np.array(judged.classes, dtype=object)
    parts = [
        pd.DataFrame(
            {
                "pass": this.name, "round": r.number, "recipe": r.recipe, "file_name": names[r.rows],
                "given_rank": r.judgement.given_rank, "self_confidence": r.judgement.self_confidence,
                "predicted_label": classes[r.judgement.predicted], "positive": r.positive,
            }
        )
        for this in judged.passes
        for r in this.rounds
    ]  # fmt: skip
    frame = pd.concat(parts, ignore_index=True) if parts else _ROUNDS_SCHEMA.empty_table().to_pandas()
    write_table(folder / "rounds.parquet", frame, _ROUNDS_SCHEMA)
    return "rounds.parquet"


def _write_models(folder: Path, judged: Judged, opened: OpenedLearner) -> list[str]:
    """The fold models of the last cross-training: safetensors and a JSON that says what they take and yield."""
    clear_folder(folder / "models")
    models: list[Arrays] = judged.passes[-1].models if judged.passes else []
    recipes = opened.learner.recipes
    name, recipe = (judged.passes[-1].name if judged.passes else ""), recipes[0]
    if judged.doubts is not None and judged.doubts.models:
        models, name = judged.doubts.models, "rule"
        recipe = recipes[(len(judged.doubts.rounds) - 1) % len(recipes)]
    files = []
    card = opened.card | {"classes": judged.classes, "pass": name, "recipe": asdict(recipe)}
    for number, state in enumerate(models):
        file = f"models/fold_{number}"
        write_atomic(
            folder / f"{file}.safetensors", save_tensors({k: np.ascontiguousarray(v) for k, v in state.items()})
        )
        write_json(folder / f"{file}.json", {"fold": number} | card)
        files += [f"{file}.safetensors", f"{file}.json"]
    return files


def _notes(judged: Judged) -> dict[str, Any]:
    passes = [
        {"pass": p.name, "top_k": p.top_k, "judged": len(p.rows), "stable": p.stable, "rounds": _round_notes(p)}
        for p in judged.passes
    ]
    notes: dict[str, Any] = {"passes": passes, "skipped_top_k": judged.skipped}
    if judged.doubts is not None:
        notes["rule"] = {
            "threshold": round(judged.doubts.threshold, 4),
            "recalibrated_by": judged.doubts.num_reviewed,
            "rounds": judged.doubts.rounds,
        }
    return notes


def _round_notes(this: Pass) -> list[dict[str, Any]]:
    return [
        {"round": r.number, "recipe": r.recipe, "judged": len(r.rows), "positive": int(r.positive.sum())}
        for r in this.rounds
    ]


def _warnings(judged: Judged, counts: dict[str, Any]) -> list[str]:
    warnings = class_warnings(counts)
    spared = counts["classes_not_cut"]
    if spared:
        warnings.append(
            f"{len(spared)} classes would be all but emptied, and are left to people: {', '.join(spared[:5])}"
        )
    if counts["not_scored"]:
        num = counts["not_scored"]
        warnings.append(f"{num} images could not be scored: no other fold holds a positive of their class")
    return warnings
