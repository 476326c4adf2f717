"""Where a workspace stands: each stage, what waits for people, what to do next. From records; manifests if it must."""

from __future__ import annotations

import shlex
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from cleaner.config import Config
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.manifest import STAGES, read_matching
from cleaner.dataset.verdicts import Verdicts, read_verdicts
from cleaner.dataset.workspace import StageRecord, Workspace
from cleaner.diagnostics.staleness import rerun_options, why_rerun
from cleaner.errors import BadInputError

_QUICKLY_LISTED = 50_000
"""So many files are listed and compared with the scan without being asked: under a second."""
_EXPORT = "export --to folder OUT"
_FLAGS = {"labels_file": "--labels"}
"""Options that are not called like their setting."""


@dataclass(frozen=True, kw_only=True)
class StageState:
    """One stage of a workspace."""

    stage: str
    state: str
    """complete, stale, interrupted or missing."""
    why: str
    """Why it is stale, and what became of it otherwise; '' if complete."""
    command: str
    """What to type to run it (again), without `cleaner` and the workspace."""
    counts: dict[str, Any]
    created_utc: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Something that waits for people."""

    what: str
    num: int
    command: str
    examples: list[str]


@dataclass(frozen=True, kw_only=True)
class Status:
    """All that `cleaner status` says."""

    workspace: str
    images_root: str
    images_checked: bool
    """Whether the images were listed and compared with the scan."""
    stages: list[StageState]
    waiting: list[Waiting]
    num_decisions: int
    """Images and classes with a verdict in force."""
    next_command: str


def read_status(
    workspace: Workspace, config: Config, *, check_images: bool | None = None, num_examples: int = 0
) -> Status:
    """The state of a workspace under the settings `config`. Writes nothing.

    `check_images`: whether to list the images and compare them with the scan; None: if they are few.
    """
    records = {stage: workspace.record(stage) for stage in STAGES}
    scan = records["scan"]
    if check_images is None:
        check_images = scan is not None and scan.counts.get("rows", 0) <= _QUICKLY_LISTED
    verdicts = read_verdicts(workspace)
    stages: list[StageState] = []
    for stage, record in records.items():
        above = next((s for s in stages if s.state in ("stale", "interrupted")), None)
        stages.append(_stage_state(workspace, stage, record, config, verdicts, above, check_images))
    return Status(
        workspace=str(workspace.root.resolve()),
        images_root=scan.images_root if scan else "",
        images_checked=check_images,
        stages=stages,
        waiting=_find_waiting(workspace, records, verdicts, num_examples),
        num_decisions=len(verdicts.images) + len(verdicts.classes),
        next_command=_next_command(stages),
    )


def _stage_state(
    workspace: Workspace,
    stage: str,
    record: StageRecord | None,
    config: Config,
    verdicts: Verdicts,
    above: StageState | None,
    check_images: bool,
) -> StageState:
    if record is None:
        begun = workspace.stage_dir(stage).exists()
        return StageState(
            stage=stage, state="interrupted" if begun else "missing", why="it did not finish" if begun else "",
            command="scan IMAGES" if stage == "scan" else stage, counts={}, created_utc="", seconds=0.0,
        )  # fmt: skip
    why = why_rerun(workspace, record, config, verdicts, check_images=check_images)
    if above is not None and (not why or why.startswith(f"{above.stage} is stale")):
        why = f"{above.stage} runs before it"
    return StageState(
        stage=stage, state="stale" if why else "complete", why=why, command=_command(record, config),
        counts=record.counts, created_utc=record.created_utc, seconds=record.seconds,
    )  # fmt: skip


def _command(record: StageRecord, config: Config) -> str:
    """How to run a stage again as it ran, less what cleaner.toml supplies."""
    words = [record.stage, *([record.images_root] if record.stage == "scan" else [])]
    for name, value in rerun_options(record, config).items():
        flag = _FLAGS.get(name, "--" + name.removeprefix("embedding.").replace("_", "-"))
        if isinstance(value, bool):
            words += [flag] if value else []
        elif isinstance(value, list) and name == "clean_split":
            words += [word for item in value for word in (flag, str(item))]
        elif isinstance(value, list):
            words += [flag, ",".join(map(str, value)) or "none"]
        else:
            words += [flag, str(value)]
    words += ["--seed", str(record.seed)] if record.seed else []
    return " ".join(map(shlex.quote, words))


def _next_command(stages: list[StageState]) -> str:
    for i, state in enumerate(stages):
        skipped = state.state == "missing" and any(s.state != "missing" for s in stages[i + 1 :])
        if state.state != "complete" and not skipped:
            return state.command
    return _EXPORT


def _find_waiting(
    workspace: Workspace, records: dict[str, StageRecord | None], verdicts: Verdicts, num_examples: int
) -> list[Waiting]:
    decided = verdicts.images.index.tolist()
    waiting = []
    for what, stage, total, columns, condition, command in _image_queues(records):
        num, examples = total, []
        if total and (decided or num_examples):
            names = ["file_name", "image_id", *columns]
            path = workspace.manifest_path(stage)
            with suppress(BadInputError):  # a damaged manifest: said of its stage; the record's number is what there is
                rows = read_matching(path, names, condition & ~pc.field("image_id").isin(decided))
                num, examples = len(rows), rows["file_name"].head(num_examples).tolist()
        waiting.append(Waiting(what=what, num=num, command=command, examples=examples))
    balance = records["balance"]
    classes = [] if balance is None else list(balance.counts.get("classes_for_people", []))
    classes = [c for c in classes if c not in verdicts.classes.index]
    undecided = DecisionStore(workspace.decisions_path).undecided()
    differ = undecided[["kind", "key"]].drop_duplicates()["key"].tolist()
    waiting += [
        Waiting(
            what="classes for review", num=len(classes), command="review low-count", examples=classes[:num_examples]
        ),
        Waiting(
            what="images or classes on which people differ", num=len(differ), command="review disagreements",
            examples=differ[:num_examples],
        ),
    ]  # fmt: skip
    return [w for w in waiting if w.num]


def _image_queues(
    records: dict[str, StageRecord | None],
) -> list[tuple[str, str, int, list[str], pc.Expression, str]]:
    """What waits, stage, how many by its record, columns and condition that pick them, where people see them."""
    field, queues = pc.field, []
    scan, noise, labels = records["scan"], records["noise"], records["labels"]
    if noise is not None:
        band = (field("noise_prob") > noise.settings["doubtful"]) & ~field("is_noise") & field("keep")
        queues.append(
            ("doubtful noise images", "noise", noise.counts["doubtful"],
             ["noise_prob", "is_noise", "keep"], band, "review noise-doubtful")
        )  # fmt: skip
    if labels is not None:
        kept = field("keep") & (field("label_issue") != "") & (field("clean_label") == field("label"))
        queues.append(
            ("label issues that are kept", "labels", labels.counts["for_people"],
             ["keep", "label_issue", "clean_label", "label"], kept, "review labels")
        )  # fmt: skip
    if scan is not None:
        queues.append(
            ("copies under several labels", "scan", scan.counts["label_conflicts"],
             ["label_conflict"], field("label_conflict"), "review conflicts")
        )  # fmt: skip
    return queues
