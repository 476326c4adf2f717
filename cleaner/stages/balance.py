"""`cleaner balance`: small classes, upsampling, class priors. docs/methods.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cleaner.config import BalanceSettings, RunOptions
from cleaner.dataset.found_classes import CLASSES_FILE, read_findings
from cleaner.dataset.lineage import Parent
from cleaner.dataset.manifest import drop_rows, look_up, with_stage_columns, write_table
from cleaner.dataset.stage_tables import CLASSES, FINDING_COLUMNS
from cleaner.dataset.store import write_json
from cleaner.dataset.verdicts import resolve_merges
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError, first_few
from cleaner.random_streams import Stream, open_stream
from cleaner.scoring.class_quality import judge_low_count
from cleaner.scoring.imbalance import compute_priors, compute_repeats, compute_target
from cleaner.stages.stage_run import Machine, StageResult, StageRun

_READ = ["file_name", "image_id", "keep", "drop_stage", "drop_reason", "clean_label", "label", "split", "readable"]
_READ_OF_LABELS = ["given_rank", "label_evidence"]
"""The columns that this stage reads. The others, most of the manifest, are copied unread."""
_FEWEST_CLASSES = 2
"""The stage drops no class if fewer than this would remain, unless a person decided it."""
_EVIDENCE = ["coherence_p", "rank_p", "kept_coherence_p"]


def run_balance(
    workspace: Workspace, settings: BalanceSettings, options: RunOptions, from_file: Path | None = None
) -> StageResult:
    """Drop jumbled small classes, repeat the images of the other small ones, and write `balance/` with the priors.

    Raises StaleStageError if the parent is missing or stale, BadInputError if no training image is kept.
    """
    run = StageRun.open(workspace, "balance", settings, options, from_file)
    return run.current() or _balance(run)


def _balance(run: StageRun[BalanceSettings]) -> StageResult:
    settings = run.settings
    full = with_stage_columns(run.read_parent(_READ, _READ_OF_LABELS, _READ[:2]), "balance")
    cleaned = full["split"].isin(["train", *settings.clean_split]).to_numpy()
    merged = resolve_merges(run.class_verdicts)
    _apply_verdicts(full, cleaned, run.image_verdicts(full), merged)
    if not (full["keep"] & (full["split"] == "train")).any():
        path = run.parent.path
        raise BadInputError(f"{path}: no image of the train split is kept", next_step="look at its column drop_reason")
    classes, machine = _judge_classes(run, full, merged)
    _drop_classes(full, classes, cleaned)
    _fill(full, classes, settings, run.options.seed)
    folder = run.begin()
    classes["sum_repeats"] = _sums(full, classes)
    write_table(folder / CLASSES_FILE, classes.reset_index(names="label"), CLASSES["balance"].schema)
    write_json(folder / "class_priors.json", _priors(classes, settings))
    counts, warnings = _outcome(full, classes, settings)
    return run.complete(
        full,
        counts=counts,
        files=[CLASSES_FILE, "class_priors.json"],
        machine=machine,
        warnings=warnings,
        base=run.parent.path,
    )


def _apply_verdicts(full: pd.DataFrame, cleaned: np.ndarray, verdicts: pd.DataFrame, merged: dict[str, str]) -> None:
    """Apply verdicts on `cleaned` images that no earlier stage applied, and merges of classes, in place."""
    image_id = full["image_id"]
    refused = verdicts.index[verdicts["verdict"].isin(["noise", "drop"])]
    label = cleaned & image_id.isin(verdicts.index[verdicts["verdict"] == "label"]).to_numpy()
    full.loc[label, "clean_label"] = look_up(image_id[label], verdicts["label"], "")
    drop_rows(full, cleaned & image_id.isin(refused).to_numpy(), "balance", "person")
    if merged:
        full["clean_label"] = full["clean_label"].replace(merged).astype(object)


def _judge_classes(
    run: StageRun[BalanceSettings], full: pd.DataFrame, merged: dict[str, str]
) -> tuple[pd.DataFrame, Machine]:
    """One row per class (index: its name, sorted), with evidence and action."""
    settings, given = run.settings, full["label"].replace(merged)
    classes = _measure_classes(full, given)
    size = classes["size_clean"].to_numpy()
    is_low = (size < settings.min_count) & (size > 0)
    machine = Machine()
    action = np.where(is_low, settings.low_count, "keep").astype(object)
    if settings.low_count == "auto" and is_low.any():
        from cleaner.stages.small_classes import examine_classes  # loads torch, needed only here

        tested = examine_classes(run, classes.index[is_low].tolist(), full, given)
        machine = tested.machine
        classes.loc[is_low, _EVIDENCE] = np.array(tested.evidence, np.float32)
        action[is_low] = [judge_low_count(*e, num) for e, num in zip(tested.evidence, size[is_low], strict=True)]
    classes["action"] = action
    classes["evidence"] = np.where(is_low, "model" if settings.low_count == "auto" else "setting", "").astype(object)
    _add_findings(classes, run.parent, merged)
    for name, event in run.class_verdicts.items():
        if event.verdict in ("keep", "drop") and name in classes.index:
            classes.loc[name, ["action", "evidence"]] = [event.verdict, "person"]
    is_left = (classes["size_clean"] > 0) & (classes["action"] != "drop")
    if is_left.sum() < _FEWEST_CLASSES:
        classes.loc[(classes["action"] == "drop") & (classes["evidence"] != "person"), "action"] = "review"
    return classes, machine


def _measure_classes(full: pd.DataFrame, given: pd.Series[str]) -> pd.DataFrame:
    """Sizes and shares of each class; `given` is the label column after merges."""
    train = full[full["split"] == "train"]
    counted = (full["keep"] & (full["split"] == "train")).to_numpy()
    names = sorted(set(train.loc[train["readable"], "clean_label"]) | set(full.loc[counted, "clean_label"]))
    classes = pd.DataFrame(index=pd.Index(names, dtype=object))
    classes["size_raw"] = given[train.index].value_counts().reindex(names).fillna(0).astype(np.int32)
    classes["size_clean"] = full.loc[counted, "clean_label"].value_counts().reindex(names).fillna(0).astype(np.int32)
    classes["oof_accuracy"] = np.float32(np.nan)
    if "given_rank" in full:
        judged = train[train["given_rank"] >= 0]
        right = (judged["given_rank"] == 0).groupby(given[judged.index]).mean()
        classes["oof_accuracy"] = right.reindex(names).astype(np.float32)
    kept_raw = given[counted].value_counts().reindex(names).fillna(0)
    classes["share_kept"] = (kept_raw / classes["size_raw"].clip(lower=1)).astype(np.float32)
    classes[_EVIDENCE] = np.float32(np.nan)
    return classes


def _add_findings(classes: pd.DataFrame, parent: Parent, merged: dict[str, str]) -> None:
    """Add the findings of the labels stage, if it ran; suspected classes go to review unless a setting decided."""
    path = parent.path.parent / CLASSES_FILE if parent.name == "labels" else Path()
    classes[[name for name, _ in FINDING_COLUMNS]] = read_findings(path, classes.index.tolist(), merged)
    suspected = (classes["finding"] != "") & (classes["action"] == "keep") & (classes["evidence"] != "setting")
    classes.loc[suspected, ["action", "evidence"]] = ["review", "model"]


def _drop_classes(full: pd.DataFrame, classes: pd.DataFrame, cleaned: np.ndarray) -> None:
    """Drop the images of classes whose action is drop, in place."""
    reasons = {"model": "jumbled_class", "setting": "low_count_class", "person": "person"}
    for evidence, reason in reasons.items():
        names = classes.index[(classes["action"] == "drop") & (classes["evidence"] == evidence)]
        drop_rows(full, cleaned & full["clean_label"].isin(names).to_numpy(), "balance", reason)


def _fill(full: pd.DataFrame, classes: pd.DataFrame, settings: BalanceSettings, seed: int) -> None:
    """Fill class_size, class_action and repeats of all rows, in place."""
    train = (full["keep"] & (full["split"] == "train")).to_numpy()
    sizes = full.loc[train, "clean_label"].value_counts()
    full["class_size"] = full["clean_label"].map(sizes).fillna(0).astype(np.int32)
    full["class_action"] = full["clean_label"].map(classes["action"]).fillna("").astype(object)
    targets = pd.Categorical(full.loc[train, "clean_label"], categories=sorted(sizes.index)).codes.astype(np.int64)
    rng = open_stream(seed, Stream.REPEATS)
    repeats = np.where(full["keep"], 1, 0).astype(np.int32)
    repeats[train] = compute_repeats(targets, len(sizes), settings.floor, settings.max_repeats, rng)
    full["repeats"] = repeats


def _sums(full: pd.DataFrame, classes: pd.DataFrame) -> pd.Series[int]:
    train = full[full["split"] == "train"]
    return train.groupby("clean_label")["repeats"].sum().reindex(classes.index).fillna(0).astype(np.int32)


def _priors(classes: pd.DataFrame, settings: BalanceSettings) -> dict[str, Any]:
    """The content of class_priors.json: the remaining classes, sorted, and their priors after repeats."""
    left = classes[(classes["sum_repeats"] > 0)]
    priors = compute_priors(left["sum_repeats"].to_numpy())
    return {
        "classes": left.index.tolist(),
        "counts_raw": left["size_raw"].tolist(),
        "counts_clean": left["size_clean"].tolist(),
        "counts_sampled": left["sum_repeats"].tolist(),
        "priors_sampled": priors.tolist(),
        "log_prior": np.log(priors).tolist(),
        "tau": settings.tau,
    }


def _outcome(full: pd.DataFrame, classes: pd.DataFrame, settings: BalanceSettings) -> tuple[dict[str, Any], list[str]]:
    left = classes[classes["sum_repeats"] > 0]
    goal = compute_target(int(left["size_clean"].max()) if len(left) else 0, settings.floor)
    short = left.index[left["sum_repeats"] < goal].tolist()
    review = classes.index[classes["action"] == "review"].tolist()
    counts = {
        "classes": len(left),
        "classes_dropped": classes.index[classes["action"] == "drop"].tolist(),
        "classes_for_people": review,
        "repeated_to": goal,
        "sampled": int(full.loc[full["split"] == "train", "repeats"].sum()),
        "classes_short": short,
    }
    warnings = []
    for evidence, what in (("model", "jumbled"), ("setting", "too small (--low-count drop)")):
        named = classes.index[(classes["action"] == "drop") & (classes["evidence"] == evidence)].tolist()
        if named:
            verb = "class was" if len(named) == 1 else "classes were"
            warnings.append(
                f"{len(named)} {verb} dropped as {what}: {first_few(named)}; "
                "to keep one, run `cleaner decide --class CLASS --keep`"
            )
    if short:
        warnings.append(
            f"{len(short)} classes have fewer than {goal} images even with each repeated {settings.max_repeats} times: "
            + first_few(short)
        )
    return counts, warnings
