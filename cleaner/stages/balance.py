"""`cleaner balance`: small classes, upsampling, class priors. recipe.md section 3, docs/methods.md."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from cleaner.config import BalanceSettings, RunOptions
from cleaner.dataset.found_classes import CLASSES, FINDING_COLUMNS, read_findings
from cleaner.dataset.manifest import drop_rows, read_manifest, with_stage_columns, write_table
from cleaner.dataset.store import write_json
from cleaner.dataset.verdicts import Verdicts, pick_used, read_verdicts, resolve_merges
from cleaner.dataset.workspace import Parent, Workspace
from cleaner.errors import BadInputError
from cleaner.random_streams import Stream, open_stream
from cleaner.scoring.class_quality import judge_low_count
from cleaner.scoring.imbalance import compute_priors, compute_repeats, compute_target
from cleaner.stages.inputs import decisions_input, parent_input, require_parent, weights_inputs
from cleaner.stages.lifecycle import StageResult, complete, current_result

if TYPE_CHECKING:
    from cleaner.stages.small_classes import Tested

_READ = (
    "file_name", "image_id", "keep", "drop_stage", "drop_reason", "clean_label", "label", "split", "readable",
)  # fmt: skip
_READ_OF_LABELS = ("given_rank", "label_evidence")
"""What this stage looks at; all else goes from one manifest to the next unread: of ten million rows it is the most."""
_EVIDENCE = ("coherence_p", "rank_p", "kept_coherence_p")
_CLASSES_SCHEMA = pa.schema(
    [
        ("label", pa.string()), ("size_raw", pa.int32()), ("size_clean", pa.int32()), ("oof_accuracy", pa.float32()),
        ("share_kept", pa.float32()), ("coherence_p", pa.float32()), ("action", pa.string()),
        ("sum_repeats", pa.int32()), ("rank_p", pa.float32()), ("kept_coherence_p", pa.float32()),
        ("evidence", pa.string()), *FINDING_COLUMNS,
    ]
)  # fmt: skip


def run_balance(
    workspace: Workspace, settings: BalanceSettings, options: RunOptions, from_file: Path | None = None
) -> StageResult:
    """Drop jumbled small classes, repeat the images of the other small ones, and write `balance/` with the priors.

    Raises StaleStageError without a current parent, BadInputError where nothing is left to balance.
    """
    started = time.monotonic()
    parent = require_parent(workspace, "balance", from_file)
    manifest = read_manifest(parent.path, _READ, optional=_READ_OF_LABELS)
    verdicts = read_verdicts(workspace)
    inputs = [
        parent_input(workspace, parent),
        decisions_input(workspace, "balance", manifest, verdicts),
        *weights_inputs(settings.embedding),
    ]
    current = current_result(workspace, "balance", settings, options, inputs)
    if current is not None:
        return current
    full = with_stage_columns(manifest, "balance")
    cleaned = full["split"].isin(["train", *settings.clean_split]).to_numpy()
    merged = resolve_merges(verdicts.classes)
    _obey(full, cleaned, pick_used(verdicts.images, "balance", full), merged)
    counted = (full["keep"] & (full["split"] == "train")).to_numpy()
    if not counted.any():
        raise BadInputError(f"{parent.path}: no image of split train is kept", next_step="look at drop_reason in it")
    classes, tested = _judge_classes(full, counted, verdicts, merged, workspace, settings, options, parent)
    _drop_classes(full, classes, cleaned)
    _fill(full, classes, settings, options)
    folder = workspace.begin("balance")
    classes["sum_repeats"] = _sums(full, classes)
    write_table(folder / "classes.parquet", classes.reset_index(names="label"), _CLASSES_SCHEMA)
    write_json(folder / "class_priors.json", _priors(classes, settings))
    counts, warnings = _outcome(full, classes, settings)
    result = complete(
        workspace, "balance", full,
        settings=settings, options=options, images_root=str(parent.images_root), inputs=inputs, started=started,
        base=parent.path, files=("classes.parquet", "class_priors.json"), counts=counts,
        backbone=tested.backbone if tested else {}, device=tested.device if tested else "cpu",
        threads=tested.threads if tested else 1,
    )  # fmt: skip
    return StageResult(result.record, was_current=False, warnings=warnings)


def _obey(full: pd.DataFrame, cleaned: np.ndarray, verdicts: pd.DataFrame, merged: dict[str, str]) -> None:
    """Verdicts on images that are `cleaned`, where no earlier stage took them up, and merges, in place."""
    image_id = full["image_id"]
    thrown_out = verdicts.index[verdicts["verdict"].isin(["noise", "drop"])]
    label = cleaned & image_id.isin(verdicts.index[verdicts["verdict"] == "label"]).to_numpy()
    full.loc[label, "clean_label"] = image_id[label].map(verdicts["label"])
    drop_rows(full, cleaned & image_id.isin(thrown_out).to_numpy(), "balance", "person")
    if merged:
        full["clean_label"] = full["clean_label"].replace(merged).astype(object)


def _judge_classes(
    full: pd.DataFrame,
    counted: np.ndarray,
    verdicts: Verdicts,
    merged: dict[str, str],
    workspace: Workspace,
    settings: BalanceSettings,
    options: RunOptions,
    parent: Parent,
) -> tuple[pd.DataFrame, Tested | None]:
    """One row a class (index: its name, sorted), with evidence and action."""
    train = full[full["split"] == "train"]
    names = sorted(set(train.loc[train["readable"], "clean_label"]) | set(full.loc[counted, "clean_label"]))
    classes = pd.DataFrame(index=pd.Index(names, dtype=object))
    given = full["label"].replace(merged)
    classes["size_raw"] = given[train.index].value_counts().reindex(names).fillna(0).astype(np.int32)
    classes["size_clean"] = full.loc[counted, "clean_label"].value_counts().reindex(names).fillna(0).astype(np.int32)
    classes["oof_accuracy"] = np.float32(np.nan)
    if "given_rank" in full:
        judged = train[train["given_rank"] >= 0]
        right = (judged["given_rank"] == 0).groupby(given[judged.index]).mean()
        classes["oof_accuracy"] = right.reindex(names).astype(np.float32)
    kept_raw = given[counted].value_counts().reindex(names).fillna(0)
    classes["share_kept"] = (kept_raw / classes["size_raw"].clip(lower=1)).astype(np.float32)
    for name in _EVIDENCE:
        classes[name] = np.float32(np.nan)
    size = classes["size_clean"].to_numpy()
    is_low = (size < settings.min_count) & (size > 0)
    tested = None
    action = np.where(is_low, settings.low_count, "keep").astype(object)
    if settings.low_count == "auto" and is_low.any():
        low = [names[i] for i in np.flatnonzero(is_low)]
        # here, because torch takes seconds and most of a gigabyte, and without small classes nothing looks at images
        from cleaner.stages.small_classes import examine_classes

        tested = examine_classes(low, full, given, workspace, settings, options, parent)
        classes.loc[is_low, list(_EVIDENCE)] = np.array(tested.evidence, np.float32)
        action[is_low] = [judge_low_count(*e) for e in tested.evidence]
    classes["action"] = action
    classes["evidence"] = np.where(is_low, "model" if settings.low_count == "auto" else "setting", "").astype(object)
    _add_findings(classes, parent, merged)
    said = verdicts.classes["verdict"]
    said = said[said.isin(["keep", "drop"]) & said.index.isin(classes.index)]
    classes.loc[said.index, "action"] = said
    classes.loc[said.index, "evidence"] = "person"
    return classes, tested


def _add_findings(classes: pd.DataFrame, parent: Parent, merged: dict[str, str]) -> None:
    """What labels found of the classes, where it ran; of whom it suspects, and no setting decided, people judge."""
    path = parent.path.parent / CLASSES if parent.name == "labels" else Path()
    classes[[name for name, _ in FINDING_COLUMNS]] = read_findings(path, classes.index.tolist(), merged)
    suspected = (classes["finding"] != "") & (classes["action"] == "keep") & (classes["evidence"] != "setting")
    classes.loc[suspected, ["action", "evidence"]] = ["review", "model"]


def _drop_classes(full: pd.DataFrame, classes: pd.DataFrame, cleaned: np.ndarray) -> None:
    """Drop the images of classes whose action is drop, in place."""
    reasons = {"model": "jumbled_class", "setting": "low_count_class", "person": "person"}
    for evidence, reason in reasons.items():
        names = classes.index[(classes["action"] == "drop") & (classes["evidence"] == evidence)]
        drop_rows(full, cleaned & full["clean_label"].isin(names).to_numpy(), "balance", reason)


def _fill(full: pd.DataFrame, classes: pd.DataFrame, settings: BalanceSettings, options: RunOptions) -> None:
    """class_size, class_action and repeats of all rows, in place; `size_clean` becomes what is left."""
    train = (full["keep"] & (full["split"] == "train")).to_numpy()
    sizes = full.loc[train, "clean_label"].value_counts()
    full["class_size"] = full["clean_label"].map(sizes).fillna(0).astype(np.int32)
    full["class_action"] = full["clean_label"].map(classes["action"]).fillna("").astype(object)
    targets = pd.Categorical(full.loc[train, "clean_label"], categories=sorted(sizes.index)).codes.astype(np.int64)
    rng = open_stream(options.seed, Stream.REPEATS)
    repeats = np.where(full["keep"], 1, 0).astype(np.int32)
    repeats[train] = compute_repeats(targets, len(sizes), settings.floor, settings.max_repeats, rng)
    full["repeats"] = repeats


def _sums(full: pd.DataFrame, classes: pd.DataFrame) -> pd.Series[int]:
    train = full[full["split"] == "train"]
    return train.groupby("clean_label")["repeats"].sum().reindex(classes.index).fillna(0).astype(np.int32)


def _priors(classes: pd.DataFrame, settings: BalanceSettings) -> dict[str, Any]:
    """class_priors.json: the classes that are left, sorted, and the prior of what a sampler yields."""
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
    if short:
        warnings.append(
            f"{len(short)} classes stay under {goal} although each image is repeated {settings.max_repeats} times: "
            + ", ".join(short[:5])
        )
    return counts, warnings
