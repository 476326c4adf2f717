"""Where a workspace stands: each stage, what waits for people, what to do next; from records where they suffice."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from cleaner.config import Config, NoiseSettings
from cleaner.dataset.stage_inputs import STAGES, command_after
from cleaner.dataset.verdicts import Verdicts, read_verdicts
from cleaner.dataset.workspace import StageRecord, Workspace
from cleaner.diagnostics.repetition import repeat_command, why_repeat
from cleaner.errors import BadInputError

_QUICKLY_LISTED = 50_000
"""At most this many files are listed and compared with the scan by default; it takes under a second."""


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
    counts: dict[str, Any] = field(default_factory=dict)
    created_utc: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Something that waits for people."""

    what: str
    num: int
    command: str
    examples: list[str]
    expected_wrong: float | None = None
    """How many labels among them are expected to be wrong, where they are labels with a probability."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """What `cleaner status` reports."""

    workspace: str
    images_root: str
    images_checked: bool
    """Whether the images were listed and compared with the scan."""
    stages: list[StageState]
    waiting: list[Waiting]
    num_decisions: int
    """Images and classes with a verdict in force."""
    next_command: str
    starts_cold: bool
    """Whether that is a noise stage for which nobody has looked at images yet."""


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
        if record is None:
            stages.append(_state_without_record(workspace, stage))
        else:
            stages.append(_stage_state(workspace, record, config, verdicts, above, check_images))
    following = _next_command(stages)
    return Status(
        workspace=str(workspace.root.resolve()),
        images_root=scan.images_root if scan else "",
        images_checked=check_images,
        stages=stages,
        waiting=_find_waiting(workspace, records, verdicts, num_examples),
        num_decisions=len(verdicts.images) + len(verdicts.classes),
        next_command=following,
        starts_cold=starts_cold(following, config, verdicts),
    )


def _stage_state(
    workspace: Workspace,
    record: StageRecord,
    config: Config,
    verdicts: Verdicts,
    above: StageState | None,
    check_images: bool,
) -> StageState:
    """The state of a complete stage; `above` is the first stage before it that has to run, if any."""
    if above is not None:
        why = f"{above.stage} runs before it"
    else:
        why = why_repeat(workspace, record, config, verdicts, check_images=check_images)
    return StageState(
        stage=record.stage,
        state="stale" if why else "complete",
        why=why,
        command=repeat_command(workspace, record, config),
        counts=record.counts,
        created_utc=record.created_utc,
        seconds=record.seconds,
    )


def _state_without_record(workspace: Workspace, stage: str) -> StageState:
    was_begun = workspace.stage_dir(stage).exists()
    return StageState(
        stage=stage,
        state="interrupted" if was_begun else "missing",
        why="it did not finish" if was_begun else "",
        command="scan IMAGES" if stage == "scan" else stage,
    )


def _next_command(stages: list[StageState]) -> str:
    for i, state in enumerate(stages):
        skipped = state.state == "missing" and any(s.state != "missing" for s in stages[i + 1 :])
        if state.state != "complete" and not skipped:
            return state.command
    return command_after(STAGES[-1])


def starts_cold(command: str, config: Config, verdicts: Verdicts) -> bool:
    """Whether `command` is a noise stage without seeds: looks by a person beforehand would help it most."""
    looked = any(said.verdict in ("noise", "normal") for said in verdicts.images.values())
    return command.partition(" ")[0] == "noise" and not config.noise.seeds and not looked


def _find_waiting(
    workspace: Workspace, records: dict[str, StageRecord | None], verdicts: Verdicts, num_examples: int
) -> list[Waiting]:
    decided = verdicts.images.keys()
    waiting = []
    for queue in _image_queues(records):
        num, expected, examples = queue.num, queue.expected_wrong, []
        with suppress(BadInputError):  # a damaged manifest makes its stage stale; the record's number stands
            rows = queue.read_decided(workspace, decided)
            num -= len(rows)
            if expected is not None:
                probs = [row["label_issue_prob"] for row in rows]
                expected = max(0.0, round(expected - sum(p for p in probs if not math.isnan(p)), 1))
            examples = queue.find_examples(workspace, decided, min(num, num_examples))
        waiting.append(
            Waiting(what=queue.what, num=num, command=queue.command, examples=examples, expected_wrong=expected)
        )
    balance = records["balance"]
    classes = [] if balance is None else list(balance.counts.get("classes_for_people", []))
    classes = [c for c in classes if c not in verdicts.classes]
    for what, keys, command in (
        ("classes for review", classes, "review low-count"),
        ("images or classes on which people differ", verdicts.disputed, "review disagreements"),
    ):
        waiting.append(Waiting(what=what, num=len(keys), command=command, examples=keys[:num_examples]))
    return [w for w in waiting if w.num]


@dataclass(frozen=True, kw_only=True)
class _Queue:
    """Images of a stage that wait for people."""

    what: str
    stage: str
    num: int
    """How many the stage's record counts, decided ones included."""
    columns: list[str]
    """The columns that `holds` looks at."""
    holds: Callable[[dict[str, Any]], bool]
    """Whether a row of the stage's manifest belongs to the queue."""
    command: str
    expected_wrong: float | None = None
    """How many of their labels the record expects to be wrong; None where it says nothing."""

    def read_decided(self, workspace: Workspace, decided: Collection[str]) -> list[dict[str, Any]]:
        """Its rows among the `decided` images. Raises BadInputError for a damaged manifest."""
        if not self.num or not decided:
            return []
        from cleaner.dataset.manifest_rows import read_images  # loads Arrow, and mostly the records suffice

        rows = read_images(workspace.manifest_path(self.stage), self.columns, decided)
        return [row for row in rows if self.holds(row)]

    def find_examples(self, workspace: Workspace, decided: Collection[str], num: int) -> list[str]:
        """The first `num` file names that are not `decided`. Raises BadInputError for a damaged manifest."""
        if not num:
            return []
        from cleaner.dataset.manifest_rows import read_pieces

        columns = ["file_name", "image_id", *self.columns]
        pieces = read_pieces(workspace.manifest_path(self.stage), columns)
        rows = (row for piece in pieces for row in piece.to_pylist())
        return list(islice((r["file_name"] for r in rows if self.holds(r) and r["image_id"] not in decided), num))


def _image_queues(records: dict[str, StageRecord | None]) -> list[_Queue]:
    queues = []
    scan, noise, labels = records["scan"], records["noise"], records["labels"]
    if noise is not None:
        above = noise.settings.get("doubtful", NoiseSettings.doubtful)
        queues.append(
            _Queue(
                what="doubtful noise images",
                stage="noise",
                num=noise.counts.get("doubtful", 0),
                columns=["noise_prob", "is_noise", "keep"],
                holds=lambda row: row["noise_prob"] > above and not row["is_noise"] and row["keep"],
                command="review noise-doubtful",
            )
        )
    if labels is not None:
        queues.append(
            _Queue(
                what="label issues that are kept",
                stage="labels",
                num=labels.counts.get("for_people", 0),
                columns=["keep", "label_issue", "clean_label", "label", "label_issue_prob"],
                holds=lambda row: row["keep"] and row["label_issue"] != "" and row["clean_label"] == row["label"],
                command="review labels",
                expected_wrong=labels.counts.get("expected_wrong", {}).get("for_people"),
            )
        )
    if scan is not None:
        queues.append(
            _Queue(
                what="copies under several labels",
                stage="scan",
                num=scan.counts.get("label_conflicts", 0),
                columns=["label_conflict"],
                holds=lambda row: row["label_conflict"],
                command="review conflicts",
            )
        )
    return queues
