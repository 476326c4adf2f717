"""`cleaner labels`: which images stand under a wrong label. recipe.md section 2, docs/methods.md."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from safetensors.numpy import save as save_tensors

from cleaner.config import LabelsSettings, RunOptions
from cleaner.dataset.manifest import drop_rows, read_manifest, with_stage_columns, write_table
from cleaner.dataset.store import ArrayStore, digest_of, write_atomic, write_json
from cleaner.dataset.verdicts import pick_used, read_verdicts
from cleaner.dataset.workspace import Workspace, clear_folder
from cleaner.errors import BadInputError
from cleaner.modeling.backbones import Backbone, load_backbone, num_threads
from cleaner.modeling.learner import PROBE_RECIPES
from cleaner.modeling.probe import ProbeLearner
from cleaner.scoring.label_quality import find_conflict_losers, find_spared_classes
from cleaner.stages.inputs import (
    assign_folds,
    decisions_input,
    duplicate_groups,
    embed_rows,
    exact_groups,
    parent_input,
    require_parent,
    weights_inputs,
)
from cleaner.stages.label_rounds import LabelSet, Pass, run_pass
from cleaner.stages.lifecycle import StageResult, complete, current_result

_ROUNDS_SCHEMA = pa.schema(
    [
        ("pass", pa.string()), ("round", pa.int16()), ("recipe", pa.string()), ("file_name", pa.string()),
        ("given_rank", pa.int32()), ("self_confidence", pa.float32()), ("predicted_label", pa.string()),
        ("positive", pa.bool_()),
    ]
)  # fmt: skip
_THROWN_OUT = -2


@dataclass(frozen=True)
class _Judged:
    """The rows that are judged, and what the passes said of them."""

    rows: pd.DataFrame
    """n rows of the manifest."""
    classes: list[str]
    labels: LabelSet
    passes: list[Pass]
    skipped: list[int]
    """Values of top_k that are half the classes or more."""


def run_labels(
    workspace: Workspace, settings: LabelsSettings, options: RunOptions, from_file: Path | None = None
) -> StageResult:
    """Find wrong labels by cross-training and rounds of pulling back, and write `labels/`.

    Raises StaleStageError without a current parent, BadInputError where there is nothing to judge or an image
    changed since the scan.
    """
    started = time.monotonic()
    parent = require_parent(workspace, "labels", from_file)
    manifest = read_manifest(parent.path)
    said = read_verdicts(workspace)
    decisions = decisions_input(workspace, "labels", manifest, said)
    inputs = [parent_input(workspace, parent), decisions, *weights_inputs(settings.embedding)]
    current = current_result(workspace, "labels", settings, options, inputs)
    if current is not None:
        return current
    verdicts = pick_used(said.images, "labels", manifest)
    rows = _rows_to_judge(manifest, settings, parent.path)
    backbone = load_backbone(settings.embedding, options.device)
    classes = sorted(set(rows["clean_label"]) | set(verdicts.loc[verdicts["verdict"] == "label", "label"]))
    labels = _label_set(rows, classes, verdicts, settings, options, backbone)
    embeddings = embed_rows(workspace, parent.images_root, rows, backbone, options)
    folder = workspace.begin("labels")
    passes, skipped = _run_passes(workspace, labels, ProbeLearner(embeddings, len(classes)), settings, options)
    judged = _Judged(rows, classes, labels, passes, skipped)
    full, counts = _decide(manifest, judged, verdicts, settings)
    files = [_write_rounds(folder, judged), *_write_models(folder, judged, backbone)]
    result = complete(
        workspace, "labels", full,
        settings=settings, options=options, images_root=str(parent.images_root), inputs=inputs, started=started,
        files=tuple(files), counts=counts, backbone=backbone.describe(), device=str(backbone.device),
        threads=num_threads(), notes=_notes(judged),
    )  # fmt: skip
    return StageResult(result.record, was_current=False, warnings=_warnings(judged, counts))


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
    backbone: Backbone,
) -> LabelSet:
    number = {name: i for i, name in enumerate(classes)}
    targets = rows["clean_label"].map(number).to_numpy(np.int64)
    said = rows["image_id"].map(verdicts["verdict"])
    decided = (
        rows["image_id"].map(verdicts["label"]).map(number).where(said == "label", -1).fillna(-1).to_numpy(np.int64)
    )
    decided[said.isin(["noise", "drop"]).to_numpy()] = _THROWN_OUT
    groups = duplicate_groups(rows)
    rng = np.random.default_rng([options.seed, 3])
    return LabelSet(
        targets=targets,
        fold=assign_folds(groups, targets, settings.folds, rng),
        groups=groups,
        learns=(rows["split"] == "train").to_numpy(),
        decided=decided,
        num_classes=len(classes),
        identity=digest_of(backbone.key, "".join(rows["image_id"]).encode(), classes, num_threads()),
    )


def _run_passes(
    workspace: Workspace, labels: LabelSet, learner: ProbeLearner, settings: LabelsSettings, options: RunOptions
) -> tuple[list[Pass], list[int]]:
    """The schedule of passes, each over the positives of the one before."""
    store = ArrayStore(workspace.cache / "labels")
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
            seed=options.seed, store=store, progress=options.progress,
        )  # fmt: skip
        passes.append(this)
        rows = np.flatnonzero(this.positive)
    return passes, skipped


def _decide(
    manifest: pd.DataFrame, judged: _Judged, verdicts: pd.DataFrame, settings: LabelsSettings
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The stage's columns for all rows, and who is dropped."""
    values, spared = _columns(judged)
    full = with_stage_columns(manifest, "labels")
    mine = manifest["file_name"].isin(judged.rows["file_name"]).to_numpy()
    for name, column in values.items():
        full.loc[mine, name] = column
    _obey(full, mine, verdicts)
    confident = full["predicted_confidence"].to_numpy() >= settings.relabel_above
    relabelled = mine & (full["label_issue"] != "").to_numpy() & confident & (settings.relabel_above < 1)
    full.loc[relabelled, "clean_label"] = full.loc[relabelled, "predicted_label"]
    num_conflicts = _settle_conflicts(full, mine)
    cut = mine & ~relabelled & ~manifest["clean_label"].isin(spared).to_numpy()
    for kind in _dropped_kinds(judged, settings):
        drop_rows(full, cut & (full["label_issue"] == kind).to_numpy(), "labels", f"label_issue_{kind}")
    kept_issue = full["keep"] & (full["label_issue"] != "") & ~relabelled
    counts = {
        "classes": len(judged.classes),
        "label_issues": {k: int((full["label_issue"] == k).sum()) for k in ("coarse", "fine")},
        "for_people": int(kept_issue.sum()),
        "relabelled": int(relabelled.sum()),
        "conflicts": num_conflicts,
        "not_scored": int((mine & (full["given_rank"] < 0)).sum()),
        "classes_not_cut": sorted(spared),
    }
    return full, counts


def _columns(judged: _Judged) -> tuple[dict[str, np.ndarray], set[str]]:
    """The stage's columns over the judged rows, by name, and the names of classes that are not cut."""
    names = np.array(judged.classes, dtype=object)
    blank = with_stage_columns(judged.rows[["file_name"]], "labels")
    out = {name: blank[name].to_numpy(copy=True) for name in blank.columns if name != "file_name"}
    spared: set[str] = set()
    for this in judged.passes:
        zero, rows = this.rounds[0].judgement, this.rows
        out["given_rank"][rows] = zero.given_rank
        out["self_confidence"][rows] = zero.self_confidence
        out["predicted_label"][rows] = names[zero.predicted]
        out["predicted_confidence"][rows] = zero.predicted_confidence
        out["pulled_back_round"][rows] = this.pulled_back_round[rows]
        negative = ~this.positive[rows] & ~this.unscored[rows]
        out["label_issue"][rows[negative & (judged.labels.decided[rows] == -1)]] = this.name
        targets = judged.labels.targets[rows]
        spared |= set(names[find_spared_classes(targets, ~negative, judged.labels.num_classes)])
    if judged.passes:
        out["fold"] = judged.labels.fold.astype(np.int8)
        out["label_evidence"][:] = "model"
    return out, spared


def _obey(full: pd.DataFrame, mine: np.ndarray, verdicts: pd.DataFrame) -> None:
    """People's verdicts on judged rows, in place."""
    said = full["image_id"].map(verdicts["verdict"])
    label = mine & (said == "label").to_numpy()
    out = mine & said.isin(["noise", "drop"]).to_numpy()
    full.loc[label, "clean_label"] = full.loc[label, "image_id"].map(verdicts["label"])
    full.loc[label | out, "label_evidence"] = "person"
    full.loc[label | out, "label_issue"] = ""
    drop_rows(full, out, "labels", "person")


def _settle_conflicts(full: pd.DataFrame, mine: np.ndarray) -> int:
    """Of exact copies in one split, the one with the best claim stays; the others are dropped, in place."""
    splits = pd.factorize(full["split"])[0]
    groups = exact_groups(full) * (splits.max(initial=0) + 1) + splits
    contested = mine & full["keep"].to_numpy()
    sizes = np.bincount(groups[contested], minlength=groups.max(initial=0) + 1)
    contested &= sizes[groups] > 1
    rank = full["given_rank"].to_numpy().astype(np.int64)
    rank = np.where(rank < 0, np.iinfo(np.int32).max, rank)
    # a person's label first, then positives, then the better rank, then the more confident, then the first by name
    person = (full["label_evidence"] == "person").to_numpy()
    as_given = person & (full["label"] == full["clean_label"]).to_numpy()
    issue = (full["label_issue"] != "").to_numpy()
    confidence = -np.nan_to_num(full["self_confidence"].to_numpy().astype(np.float64))
    order = np.lexsort((np.arange(len(full)), confidence, rank, issue, ~person, ~as_given))
    losers = find_conflict_losers(groups, contested, order)
    drop_rows(full, losers, "labels", "label_conflict")
    return int(losers.sum())


def _dropped_kinds(judged: _Judged, settings: LabelsSettings) -> tuple[str, ...]:
    if settings.drop is not None:
        return settings.drop
    return ("coarse",) if any(p.name == "coarse" for p in judged.passes) else ("fine",)


def _write_rounds(folder: Path, judged: _Judged) -> str:
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


def _write_models(folder: Path, judged: _Judged, backbone: Backbone) -> list[str]:
    """The fold models of the last pass: safetensors and a JSON that says what they take and yield."""
    clear_folder(folder / "models")
    if not judged.passes:
        return []
    files = []
    card = {
        "learner": "probe",
        "input": "(sign(e) * sqrt(|e|) - mean) / std of an embedding e",
        "backbone": backbone.describe(),
        "classes": judged.classes,
        "pass": judged.passes[-1].name,
        "recipe": asdict(PROBE_RECIPES[0]),
    }
    for number, state in enumerate(judged.passes[-1].models):
        name = f"models/fold_{number}"
        write_atomic(
            folder / f"{name}.safetensors", save_tensors({k: np.ascontiguousarray(v) for k, v in state.items()})
        )
        write_json(folder / f"{name}.json", {"fold": number} | card)
        files += [f"{name}.safetensors", f"{name}.json"]
    return files


def _notes(judged: _Judged) -> dict[str, Any]:
    passes = [
        {"pass": p.name, "top_k": p.top_k, "judged": len(p.rows), "stable": p.stable, "rounds": _round_notes(p)}
        for p in judged.passes
    ]
    return {"passes": passes, "skipped_top_k": judged.skipped}


def _round_notes(this: Pass) -> list[dict[str, Any]]:
    return [
        {"round": r.number, "recipe": r.recipe, "judged": len(r.rows), "positive": int(r.positive.sum())}
        for r in this.rounds
    ]


def _warnings(judged: _Judged, counts: dict[str, Any]) -> list[str]:
    warnings = []
    spared = counts["classes_not_cut"]
    if spared:
        warnings.append(
            f"{len(spared)} classes would be all but emptied, and are left to people: {', '.join(spared[:5])}"
        )
    if counts["not_scored"]:
        num = counts["not_scored"]
        warnings.append(f"{num} images could not be scored: no other fold holds a positive of their class")
    return warnings
