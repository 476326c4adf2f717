"""The audit: draw a blind sample of a manifest, and say what people's verdicts on it mean for the whole set."""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cleaner.dataset.audits import (
    KEPT,
    AuditRecord,
    AuditSample,
    find_answered,
    find_open_sample,
    load_open_sample,
    read_sample,
    write_sample,
)
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.workspace import MANIFEST, Workspace
from cleaner.errors import BadInputError, StaleStageError
from cleaner.scoring.audit import Estimate, Stratum, count_looks_needed, draw_rows, estimate_total

__all__ = ["AuditResult", "compute_results", "draw_audit", "find_open_sample", "load_open_sample", "open_audit"]

AUDITED_REASONS = (
    "noise_image", "label_issue_coarse", "label_issue_fine", "label_conflict", "low_count_class", "jumbled_class",
)  # fmt: skip
"""Drop reasons that people can judge by looking. Copies and unreadable files are not among them, nor what people
dropped themselves."""
RESIDUES = ("noise", "wrong_label", "unusable")
"""What can be wrong with an image that was kept."""
DEFAULT_GOAL = 0.01
"""recipe.md section 1: the kept set held less than 1 % noise images."""
_SHUFFLE = 1000
"""Random stream of the shuffles; strata take 0, 1, 2, …"""
_COLUMNS = ["file_name", "image_id", "clean_label", "split", "keep", "drop_reason"]


@dataclass(frozen=True)
class StratumResult:
    """What people said of one stratum."""

    name: str
    size: int
    """Rows that nobody had judged before the draw."""
    num_sampled: int
    outcomes: dict[str, int]
    """Answers that count: right, the `RESIDUES` and normal (no noise, but its label not judged) for the kept; right
    and wrongly_dropped for a drop reason."""
    num_unsure: int
    """Looked at, but not counted."""
    num_undecided: int
    """Annotators differ."""
    judged: dict[str, int]
    """Outcomes of the rows judged before the draw; no sample, all of them."""

    @property
    def num_counted(self) -> int:
        """Looks that count."""
        return sum(self.outcomes.values())

    @property
    def num_open(self) -> int:
        """Images of the sample without an answer, those on which annotators differ among them."""
        return self.num_sampled - self.num_counted - self.num_unsure

    def parts(self, *bad: str) -> list[Stratum]:
        """The unjudged rows and those judged before, as strata in which the outcomes `bad` are bad."""
        found, known = (sum(counts.get(b, 0) for b in bad) for counts in (self.outcomes, self.judged))
        num_known = sum(self.judged.values())
        # "not noise" leaves open whether the label is right
        looks = self.num_counted - (self.outcomes.get("normal", 0) if bad != ("noise",) else 0)
        return [Stratum(self.size, looks, found), Stratum(num_known, num_known, known)]


@dataclass(frozen=True)
class AuditResult:
    """What an audit says so far."""

    record: AuditRecord
    strata: list[StratumResult]
    kept: dict[str, Estimate]
    """Residual share in the kept set, by `RESIDUES`, and `any` of them."""
    dropped: dict[str, Estimate]
    """Wrongly dropped share by reason, and `all` of them: weighted bounds, Bonferroni."""
    goal: float
    num_more_looks: int | None
    """Further looks at the kept set that bring the bound on noise under the goal if they find none; None: the images
    known to be noise already exceed it."""

    @property
    def num_looks(self) -> int:
        """Images of the sample with an answer."""
        return sum(s.num_counted + s.num_unsure for s in self.strata)

    @property
    def num_sampled(self) -> int:
        """Images of the sample."""
        return sum(s.num_sampled for s in self.strata)

    @property
    def is_complete(self) -> bool:
        """Whether every image of the sample has an answer, and there is something in it."""
        return self.num_sampled > 0 and all(s.num_open == 0 for s in self.strata)

    @property
    def passes(self) -> bool:
        """Whether the audit is complete and the one-sided bound on residual noise is at most the goal."""
        return self.is_complete and self.kept["noise"].upper <= self.goal

    def document(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        return {
            "record": dataclasses.asdict(self.record),
            "complete": self.is_complete,
            "looked_at": self.num_looks,
            "sampled": self.num_sampled,
            "strata": [
                dataclasses.asdict(s) | {"num_counted": s.num_counted, "num_open": s.num_open} for s in self.strata
            ],
            "confidence": 0.95,
            "kept": {k: dataclasses.asdict(v) for k, v in self.kept.items()},
            "dropped": {k: dataclasses.asdict(v) for k, v in self.dropped.items()},
            "goal": {
                "residual_noise": self.goal,
                "upper_bound": self.kept["noise"].upper,
                "passed": self.passes,
                "more_looks": self.num_more_looks,
            },
        }


def open_audit(
    workspace: Workspace, stage: str | None, *, num_kept: int, num_dropped: int, seed: int
) -> tuple[AuditSample, str]:
    """The audit of a stage's manifest, drawn or enlarged where needed; and what was done: drawn, enlarged or ''.

    Raises StaleStageError if the stage did not run or is stale.
    """
    name = stage or workspace.latest()
    if name is None:
        raise StaleStageError(f"{workspace.root}: there is nothing to audit", next_step="run `cleaner scan IMAGES`")
    record = workspace.record(name)
    why = workspace.why_stale(name)
    if record is None or why:
        command = "cleaner scan IMAGES" if name == "scan" else f"cleaner {name}"
        raise StaleStageError(f"{workspace.manifest_path(name)} is stale: {why}", next_step=f"run `{command}`")
    before = read_sample(workspace, record.outputs[MANIFEST])
    if before is not None:
        sizes = before.rows["stratum"].value_counts()
        is_full = all(
            sizes.get(k, 0) >= min(n, _wanted(k, num_kept, num_dropped)) for k, n in before.record.sizes.items()
        )
        if is_full:
            return before, ""
    sample = draw_audit(workspace, name, before, num_kept=num_kept, num_dropped=num_dropped, seed=seed)
    return sample, "drawn" if before is None else "enlarged"


def draw_audit(
    workspace: Workspace, stage: str, before: AuditSample | None, *, num_kept: int, num_dropped: int, seed: int
) -> AuditSample:
    """Draw and store a sample, or enlarge the one `before`: what it held stays, in its order, in front."""
    manifest = _population(workspace, stage)
    judged = _judged_rows(workspace, manifest) if before is None else before.judged
    fresh = manifest[~manifest["file_name"].isin(judged["file_name"])]
    sizes = {name: int((fresh["stratum"] == name).sum()) for name in _strata(manifest)}
    seed = seed if before is None else before.record.seed
    num_before = 0 if before is None else len(before.rows)
    parts = []
    for name, size in sizes.items():
        stream = (KEPT, *AUDITED_REASONS).index(name)
        rows = fresh[fresh["stratum"] == name]
        parts.append(rows.iloc[draw_rows(size, _wanted(name, num_kept, num_dropped), seed=seed, stream=stream)])
    drawn = pd.concat(parts) if parts else fresh
    if before is not None:
        drawn = drawn[~drawn["file_name"].isin(before.rows["file_name"])]
    drawn = drawn.iloc[draw_rows(len(drawn), len(drawn), seed=seed, stream=_SHUFFLE + num_before)]
    rows = drawn if before is None else pd.concat([before.rows, drawn])
    record = _record(workspace, stage, before, seed, sizes, judged, num_kept, num_dropped)
    sample = AuditSample(record, rows.reset_index(drop=True), judged)
    write_sample(workspace, sample)
    return sample


def _wanted(stratum: str, num_kept: int, num_dropped: int) -> int:
    return num_kept if stratum == KEPT else num_dropped


def _strata(manifest: pd.DataFrame) -> list[str]:
    present = set(manifest["stratum"])
    return [name for name in (KEPT, *AUDITED_REASONS) if name in present]


def _population(workspace: Workspace, stage: str) -> pd.DataFrame:
    """The rows that the audit is about, with their stratum: of the splits that were cleaned."""
    manifest = workspace.read(stage, _COLUMNS)
    manifest["stratum"] = manifest["drop_reason"].where(~manifest["keep"], KEPT)
    manifest = manifest[manifest["split"].isin(_splits(workspace, stage))]
    manifest = manifest[manifest["stratum"].isin([KEPT, *AUDITED_REASONS])]
    if manifest.empty:
        raise BadInputError(f"{workspace.manifest_path(stage)}: there is nothing to audit in it")
    return manifest.rename(columns={"clean_label": "label"})[["image_id", "file_name", "label", "stratum"]]


def _splits(workspace: Workspace, stage: str) -> list[str]:
    record = workspace.record(stage)
    assert record is not None
    return ["train", *record.settings.get("clean_split", [])]


def _judged_rows(workspace: Workspace, manifest: pd.DataFrame) -> pd.DataFrame:
    """Rows about which all is known. Those known to be no noise, but not whether their label is right, may be drawn."""
    verdicts = DecisionStore(workspace.decisions_path).image_verdicts()
    verdicts = verdicts[verdicts["verdict"] != "normal"]
    judged = manifest[manifest["image_id"].isin(verdicts.index)].copy()
    judged["verdict"] = judged["image_id"].map(verdicts["verdict"]).astype(object)
    judged["verdict_label"] = judged["image_id"].map(verdicts["label"]).astype(object)
    return judged.reset_index(drop=True)


def _record(
    workspace: Workspace, stage: str, before: AuditSample | None, seed: int, sizes: dict[str, int],
    judged: pd.DataFrame, num_kept: int, num_dropped: int,
) -> AuditRecord:  # fmt: skip
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    draw = {"time_utc": now, "sample": num_kept, "sample_dropped": num_dropped}
    if before is not None:
        return dataclasses.replace(before.record, draws=[*before.record.draws, draw])
    stage_record = workspace.record(stage)
    assert stage_record is not None
    events = DecisionStore(workspace.decisions_path).events()
    return AuditRecord(
        stage=stage,
        manifest_sha256=stage_record.outputs[MANIFEST],
        seed=seed,
        created_utc=now,
        after_seq=int(events["seq"].max()) if len(events) else 0,
        splits=_splits(workspace, stage),
        sizes=sizes,
        judged_sizes={name: int((judged["stratum"] == name).sum()) for name in sizes},
        draws=[draw],
    )


def compute_results(workspace: Workspace, sample: AuditSample, goal: float = DEFAULT_GOAL) -> AuditResult:
    """What the verdicts on a sample say so far."""
    answers = _answers(workspace, sample)
    strata = []
    for name, size in sample.record.sizes.items():
        mine = (sample.rows["stratum"] == name).to_numpy()
        said = Counter(answers[mine])
        known = sample.judged[sample.judged["stratum"] == name]
        outcomes = Counter(
            _outcome(name, v, chosen, given)
            for v, chosen, given in zip(known["verdict"], known["verdict_label"], known["label"], strict=True)
        )
        num_unsure, num_undecided, _ = said.pop("unsure", 0), said.pop("undecided", 0), said.pop("", 0)
        sampled = int(mine.sum())
        strata.append(StratumResult(name, size, sampled, dict(said), num_unsure, num_undecided, dict(outcomes)))
    kept = next((s for s in strata if s.name == KEPT), StratumResult(KEPT, 0, 0, {}, 0, 0, {}))
    others = [s for s in strata if s.name != KEPT]
    by_reason = {s.name: estimate_total(s.parts("wrongly_dropped")) for s in others}
    total = estimate_total([part for s in others for part in s.parts("wrongly_dropped")])
    return AuditResult(
        record=sample.record,
        strata=strata,
        kept={k: estimate_total(kept.parts(k)) for k in RESIDUES} | {"any": estimate_total(kept.parts(*RESIDUES))},
        dropped=by_reason | ({"all": total} if by_reason else {}),
        goal=goal,
        num_more_looks=_more_looks(kept, goal),
    )


def _more_looks(kept: StratumResult, goal: float) -> int | None:
    """Looks at unjudged kept images that the goal still needs if they find no noise; all that are left at most."""
    fresh, known = kept.parts("noise")
    if not fresh.size:
        return 0 if known.num_bad <= goal * known.size else None
    goal_here = (goal * (fresh.size + known.size) - known.num_bad) / fresh.size
    if fresh.num_bad > goal_here * fresh.size:
        return None
    if goal_here >= 1:
        return 0
    needed = count_looks_needed(fresh.num_bad, goal_here) if goal_here > 0 else fresh.size
    return max(0, min(needed, fresh.size) - fresh.num_looks)


def _answers(workspace: Workspace, sample: AuditSample) -> np.ndarray:
    """The outcome of each sampled row (n,) object: '' without an answer, `undecided` where annotators differ.

    An answer is a decision in the queue `audit` since the draw that nobody took back; what then counts is the verdict
    in force, so that settling a disagreement, or correcting a slip elsewhere, holds here too.
    """
    store = DecisionStore(workspace.decisions_path)
    said = find_answered(store.events(), sample.record.after_seq)
    in_force = store.image_verdicts()
    undecided = set(store.undecided()["key"])
    verdicts = dict(zip(in_force.index, zip(in_force["verdict"], in_force["label"], strict=True), strict=True))
    out = np.full(len(sample.rows), "", dtype=object)
    columns = (sample.rows[name] for name in ("image_id", "label", "stratum"))
    for row, (image_id, given, stratum) in enumerate(zip(*columns, strict=True)):
        if image_id not in said:
            continue
        if image_id in undecided:
            out[row] = "undecided"
        else:
            verdict, chosen = verdicts.get(image_id, ("unsure", ""))
            out[row] = _outcome(stratum, verdict, chosen, given)
    return out


def _outcome(stratum: str, verdict: str, chosen: str, given: str) -> str:
    """What a verdict means for an image of a stratum. `normal` says nothing about the label."""
    if stratum == KEPT and verdict != "label":
        return {"noise": "noise", "drop": "unusable", "normal": "normal"}.get(verdict, "unsure")
    if stratum == KEPT:
        return "right" if chosen == given else "wrong_label"
    if verdict in ("noise", "drop"):
        return "right"
    if stratum == "noise_image":  # a good image under another class is no noise image either
        return "wrongly_dropped" if verdict in ("label", "normal") else "unsure"
    if verdict == "label":
        return "wrongly_dropped" if chosen == given else "right"
    return "unsure"
