"""Draws the blind sample of a manifest that an audit looks at, or enlarges it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pandas as pd

from cleaner.dataset.audits import KEPT, AuditRecord, AuditSample, read_sample, write_sample
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.lineage import why_stale
from cleaner.dataset.store import utc_now
from cleaner.dataset.workspace import MANIFEST, StageRecord, Workspace
from cleaner.errors import BadInputError, StaleStageError
from cleaner.scoring.audit import draw_rows, plan_looks

AUDITED_REASONS = (
    "noise_image",
    "label_issue_coarse",
    "label_issue_fine",
    "label_conflict",
    "low_count_class",
    "jumbled_class",
)
"""Drop reasons that people can judge by looking. Copies and unreadable files are not among them, nor are images that
people dropped themselves."""
_STRATA = (KEPT, *AUDITED_REASONS)
_SHUFFLE = 1000
"""Random stream of the shuffles; strata use 0, 1, 2, …"""
_COLUMNS = ["file_name", "image_id", "clean_label", "split", "keep", "drop_reason"]


@dataclass(frozen=True)
class _Wanted:
    """Images to draw from the kept set, and from each drop reason."""

    num_kept: int
    num_dropped: int

    def __getitem__(self, stratum: str) -> int:
        return self.num_kept if stratum == KEPT else self.num_dropped


def open_audit(
    workspace: Workspace, stage: str | None, *, num_kept: int | None, num_dropped: int, goal: float, seed: int
) -> tuple[AuditSample, str]:
    """The audit of a stage's manifest (None: of the last complete stage), drawn or enlarged where needed.

    `num_kept` images of the kept set (None: as many as show that at most a share `goal` is noise if they find none; a
    sample that was drawn before stays) and `num_dropped` of each drop reason. The second value says what was done:
    `drawn`, `enlarged` or ''. Raises StaleStageError if the stage did not run or is stale, BadInputError if its
    manifest holds nothing to audit.
    """
    name = stage or workspace.latest()
    if name is None:
        raise StaleStageError(f"{workspace.root}: there is nothing to audit", next_step="run `cleaner scan IMAGES`")
    record = workspace.record(name)
    why = why_stale(workspace, name)
    if record is None or why:
        command = "cleaner scan IMAGES" if name == "scan" else f"cleaner {name}"
        raise StaleStageError(f"{workspace.manifest_path(name)} is stale: {why}", next_step=f"run `{command}`")
    before = read_sample(workspace, record.outputs[MANIFEST])
    if before is not None and _is_covered(before, _Wanted(num_kept or 0, num_dropped)):
        return before, ""
    population = _population(workspace, record)
    if num_kept is None:
        num_kept = 0 if before else plan_looks(int((population["stratum"] == KEPT).sum()), goal)
    wanted = _Wanted(num_kept, num_dropped)
    if before is None:
        sample = _draw(workspace, record, population, wanted, seed)
    else:
        sample = _enlarge(population, before, wanted)
    write_sample(workspace, sample)
    return sample, "drawn" if before is None else "enlarged"


def _is_covered(sample: AuditSample, wanted: _Wanted) -> bool:
    drawn = sample.rows["stratum"].value_counts()
    return all(drawn.get(name, 0) >= min(size, wanted[name]) for name, size in sample.record.sizes.items())


def _draw(
    workspace: Workspace, stage: StageRecord, population: pd.DataFrame, wanted: _Wanted, seed: int
) -> AuditSample:
    store = DecisionStore(workspace.decisions_path)
    judged = _judged_rows(store, population)
    fresh = population[~population["file_name"].isin(judged["file_name"])]
    present = set(population["stratum"])
    sizes = {name: int((fresh["stratum"] == name).sum()) for name in _STRATA if name in present}
    events = store.events_after(0)
    now = utc_now()
    record = AuditRecord(
        stage=stage.stage,
        manifest_sha256=stage.outputs[MANIFEST],
        seed=seed,
        created_utc=now,
        after_seq=(events[-1].seq or 0) if events else 0,
        splits=_splits(stage),
        sizes=sizes,
        judged_sizes={name: int((judged["stratum"] == name).sum()) for name in sizes},
        draws=[_draw_entry(wanted, now)],
    )
    drawn = _shuffled(_draw_strata(fresh, wanted, seed), seed, num_before=0)
    return AuditSample(record, drawn.reset_index(drop=True), judged)


def _enlarge(population: pd.DataFrame, before: AuditSample, wanted: _Wanted) -> AuditSample:
    """A larger sample that begins with the rows of `before`, in their order."""
    seed = before.record.seed
    fresh = population[~population["file_name"].isin(before.judged["file_name"])]
    drawn = _draw_strata(fresh, wanted, seed)
    drawn = drawn[~drawn["file_name"].isin(before.rows["file_name"])]
    rows = pd.concat([before.rows, _shuffled(drawn, seed, num_before=len(before.rows))])
    record = dataclasses.replace(before.record, draws=[*before.record.draws, _draw_entry(wanted, utc_now())])
    return AuditSample(record, rows.reset_index(drop=True), before.judged)


def _draw_strata(fresh: pd.DataFrame, wanted: _Wanted, seed: int) -> pd.DataFrame:
    parts = []
    for stream, name in enumerate(_STRATA):
        rows = fresh[fresh["stratum"] == name]
        parts.append(rows.iloc[draw_rows(len(rows), wanted[name], seed=seed, stream=stream)])
    return pd.concat(parts)


def _shuffled(drawn: pd.DataFrame, seed: int, num_before: int) -> pd.DataFrame:
    return drawn.iloc[draw_rows(len(drawn), len(drawn), seed=seed, stream=_SHUFFLE + num_before)]


def _population(workspace: Workspace, stage: StageRecord) -> pd.DataFrame:
    """The rows that the audit is about, with their stratum: those of the splits that were cleaned."""
    manifest = workspace.read(stage.stage, _COLUMNS)
    manifest["stratum"] = manifest["drop_reason"].where(~manifest["keep"], KEPT)
    manifest = manifest[manifest["split"].isin(_splits(stage)) & manifest["stratum"].isin(_STRATA)]
    if manifest.empty:
        raise BadInputError(f"{workspace.manifest_path(stage.stage)}: there is nothing to audit in it")
    return manifest.rename(columns={"clean_label": "label"})[["image_id", "file_name", "label", "stratum"]]


def _splits(stage: StageRecord) -> list[str]:
    return ["train", *stage.settings.get("clean_split", [])]


def _judged_rows(store: DecisionStore, population: pd.DataFrame) -> pd.DataFrame:
    """Rows that people have judged already. `normal` leaves the label open, so such an image may be drawn."""
    verdicts = store.image_verdicts()
    verdicts = verdicts[verdicts["verdict"] != "normal"]
    judged = population[population["image_id"].isin(verdicts.index)].copy()
    judged["verdict"] = judged["image_id"].map(verdicts["verdict"]).astype(object)
    judged["verdict_label"] = judged["image_id"].map(verdicts["label"]).astype(object)
    return judged.reset_index(drop=True)


def _draw_entry(wanted: _Wanted, now: str) -> dict[str, object]:
    return {"time_utc": now, "sample": wanted.num_kept, "sample_dropped": wanted.num_dropped}
