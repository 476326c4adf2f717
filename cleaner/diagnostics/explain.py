"""Everything that the stages found, scored and decided for one image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.events import agreed
from cleaner.dataset.label_lists import VOTES_FILE
from cleaner.dataset.locations import locate
from cleaner.dataset.lookup import FoundImage, find_images
from cleaner.dataset.manifest import STAGES, read_matching
from cleaner.dataset.manifest_rows import manifest_columns
from cleaner.dataset.stage_tables import ROUNDS, VOTES, read_stage_table
from cleaner.dataset.workspace import Workspace
from cleaner.diagnostics.explain_words import Seen, verdict_words, words_of
from cleaner.diagnostics.neighbours import find_neighbours

_RELATED = ["file_name", "image_id", "label", "clean_label", "keep", "drop_reason"]


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """All that is known of one file."""

    file_name: str
    image_id: str
    verdict: str
    """Whether it was kept, and why, in one line."""
    stages: list[dict[str, Any]]
    """For each stage that ran: stage, words (lines of text), rounds (the scores of each round)."""
    copies: list[dict[str, Any]]
    """Files of its duplicate group: file_name, kind (exact or near), label, keep, drop_reason."""
    neighbours: list[dict[str, Any]]
    """Nearest images by the embedding: file_name, cosine (-1 .. 1), label, keep, drop_reason."""
    decisions: list[dict[str, Any]]
    """Decisions on it and on its class, oldest first; `in_force` says which verdict counts."""
    row: dict[str, Any]
    """Its row of the manifest, all columns; NaN is null."""


def explain_images(workspace: Workspace, asked: list[str], num_neighbours: int = 5) -> list[Explanation]:
    """Explain each of `asked` (file names, paths, or first digits of image_ids) from the last complete stage.

    Raises StaleStageError before the first scan, BadInputError for a name that is not in the manifest.
    """
    stage = workspace.last_stage()
    record = workspace.record(stage)
    assert record is not None
    found = find_images(workspace.manifest_path(stage), locate(record.images_root), asked)
    return [_explain(workspace, stage, image, num_neighbours) for image in found]


def _explain(workspace: Workspace, latest: str, image: FoundImage, num_neighbours: int) -> Explanation:
    path = workspace.manifest_path(latest)
    columns = manifest_columns(path)
    row = _records(read_matching(path, columns, pc.field("file_name") == image.file_name))[0]
    group = row["duplicate_group"]
    members = pd.DataFrame(columns=[*_RELATED, "pixel_id"])
    if group >= 0:
        in_group = pc.field("duplicate_group") == int(group)
        members = read_matching(path, [*_RELATED, "duplicate_group", "pixel_id"], in_group)
    copies = _copies(row, members)
    seen = Seen(row=row, copies=copies, records={s: r for s in STAGES if (r := workspace.record(s)) is not None})
    stages = []
    for stage in STAGES[: STAGES.index(latest) + 1]:
        if stage in seen.records:
            rounds = _rounds(workspace, stage, image.file_name)
            words = words_of(stage, seen, rounds)
            if stage == "scan" and VOTES_FILE in seen.records[stage].outputs:
                words += _vote_words(workspace, image.file_name)
            stages.append({"stage": stage, "words": words, "rounds": rounds})
    same_pixels = members.loc[members["pixel_id"] == row.get("pixel_id"), "image_id"].tolist()
    return Explanation(
        file_name=image.file_name,
        image_id=image.image_id,
        verdict=verdict_words(seen),
        stages=stages,
        copies=copies,
        neighbours=_neighbours(workspace, path, [i for i in (image.image_id, *same_pixels) if i], num_neighbours),
        decisions=_decisions(workspace, image, row["clean_label"]),
        row={k: _plain(v) for k, v in row.items()},
    )


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def _copies(row: dict[str, Any], members: pd.DataFrame) -> list[dict[str, Any]]:
    others = members[members["file_name"] != row["file_name"]]
    out = []
    for other in _records(others):
        exact = other["pixel_id"] == row.get("pixel_id") or other["image_id"] == row["image_id"]
        kept = ("file_name", "label", "keep", "drop_reason")
        out.append({"kind": "exact" if exact else "near"} | {k: _plain(other[k]) for k in kept})
    return out


def _vote_words(workspace: Workspace, file_name: str) -> list[str]:
    path = workspace.stage_dir("scan") / VOTES_FILE
    votes = read_stage_table(path, VOTES, ["file_name", "label", "votes"], file_name)
    named = [f"{label} {num}" for label, num in zip(votes["label"], votes["votes"], strict=True)]
    return [f"annotators' votes: {', '.join(named)}"] if named else []


def _rounds(workspace: Workspace, stage: str, file_name: str) -> list[dict[str, Any]]:
    path = workspace.stage_dir(stage) / "rounds.parquet"
    if stage not in ROUNDS or not path.exists():
        return []
    rows = read_stage_table(path, ROUNDS[stage], file_name=file_name)
    return [{k: _plain(v) for k, v in r.items() if k != "file_name"} for r in _records(rows)]


def _neighbours(workspace: Workspace, path: Path, image_ids: list[str], num: int) -> list[dict[str, Any]]:
    if not image_ids or num == 0:
        return []
    near = find_neighbours(workspace.cache, image_ids, 2 * num)  # twice as many, as seeds from elsewhere have no row
    if not near:
        return []
    rows = read_matching(path, _RELATED, pc.field("image_id").isin([i for i, _ in near]))
    first = rows.drop_duplicates("image_id").set_index("image_id").to_dict("index")
    out = []
    for image_id, cosine in near:
        if image_id in first:
            kept = ("file_name", "label", "keep", "drop_reason")
            out.append({"cosine": round(cosine, 4)} | {k: _plain(first[image_id][k]) for k in kept})
    return out[:num]


def _decisions(workspace: Workspace, image: FoundImage, clean_label: str) -> list[dict[str, Any]]:
    store = DecisionStore(workspace.decisions_path)
    in_force = {key: (e.verdict, e.label) for key, e in agreed(store.standing()).items()}
    keys = {"image": [image.image_id], "class": [image.label, clean_label]}
    out = []
    for event in _records(store.events()):
        kind, key = event["kind"], event["key"]
        if key in keys[kind] and key:
            counts = in_force.get((kind, key)) == (event["verdict"], event["label"])
            out.append({k: None if v is pd.NA else _plain(v) for k, v in event.items()} | {"in_force": counts})
    return out


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, float):
        return None if math.isnan(plain) else round(plain, 6)
    return plain
