"""The chain of stages behind a manifest, and whether each still matches its inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cleaner.dataset.locations import is_remote, locate, read_bytes
from cleaner.dataset.stage_inputs import STAGE_INPUTS
from cleaner.dataset.store import digest_of, sha256_file, write_atomic
from cleaner.dataset.verdicts import Verdicts, used_digest
from cleaner.dataset.workspace import MANIFEST, RECORD, Input, StageRecord, Workspace, read_record
from cleaner.errors import BadInputError, StaleStageError


@dataclass(frozen=True)
class Parent:
    """The manifest that a stage reads."""

    name: str
    """The stage that wrote it."""
    path: Path
    sha256: str
    images_root: Path


@dataclass(frozen=True)
class Link:
    """One complete stage of a lineage."""

    record: StageRecord
    why: str
    """Why this stage itself no longer matches what is there; '' if it does."""


def trace(workspace: Workspace, stage: str, verdicts: Verdicts | None = None) -> list[Link]:
    """The complete stages that led to the manifest of `stage`, from the first to `stage` itself.

    Empty if `stage` is not complete. Verdicts are compared only if they are given.
    """
    links: list[Link] = []
    record = workspace.record(stage)
    while record is not None:
        links.append(Link(record, why_outdated(workspace, record, _parent_now(workspace, record), verdicts)))
        read = record.find_input("parent")
        record = workspace.record(workspace.stage_of(read.file)) if read and workspace.stage_of(read.file) else None
    return links[::-1]


def why_outdated(workspace: Workspace, record: StageRecord, parent: Input | None, verdicts: Verdicts | None) -> str:
    """Why a stage does not match its own outputs, the `parent` it has to read, or the verdicts; '' if it does."""
    why = workspace.why_damaged(record) or _why_other_parent(workspace, record, parent)
    if not why and verdicts is not None and STAGE_INPUTS[record.stage].uses_verdicts:
        is_same = used_digest(workspace, record.stage, verdicts) == record.input_sha256("decisions")
        why = "" if is_same else "people decided more since"
    return why


def _why_other_parent(workspace: Workspace, record: StageRecord, parent: Input | None) -> str:
    read = record.find_input("parent")
    if read is None or parent is None or read.sha256 == parent.sha256:
        return ""
    stage = workspace.stage_of(parent.file)
    if not parent.sha256:
        return f"{stage or parent.file} is missing"
    what = f"{stage} has run since" if stage else f"{parent.file} has changed"
    if workspace.relative(workspace.root / read.file) == parent.file:
        return what
    return f"it reads {read.file}, and {what}" if stage else f"it reads {read.file}, not {parent.file}"


def why_stale(workspace: Workspace, stage: str) -> str:
    """Why the manifest of `stage` no longer follows from what it was made from, verdicts aside; '' if it does."""
    links = trace(workspace, stage)
    if not links:
        return "it has not run"
    first = _first_stale(links)
    if first is None:
        return ""
    return first.why if first.record.stage == stage else f"{first.record.stage} is stale ({first.why})"


def open_parent(
    workspace: Workspace, stage: str, from_file: Path | None = None, verdicts: Verdicts | None = None
) -> Parent:
    """The manifest that `stage` reads: `from_file`, else that of the nearest complete stage before it.

    Raises StaleStageError if there is none, or that stage or one before it is stale (by `verdicts` too, if given);
    BadInputError if `from_file` is no manifest, or its images root is unknown.
    """
    if from_file is not None:
        return _open_file(workspace, _fetch(workspace, from_file))
    parent = nearest_parent(workspace, stage)
    links = trace(workspace, parent.name, verdicts)
    stale = _first_stale(links)
    if stale is not None:
        first = stale.record.stage
        command = "cleaner scan IMAGES" if first == "scan" else f"cleaner {first}"
        rest = "" if first == parent.name else ", and the stages after it"
        raise StaleStageError(
            f"{workspace.manifest_path(first)} is stale: {stale.why}", next_step=f"run `{command}`{rest}"
        )
    # if the images were moved, the scan is the first stage to know
    return replace(parent, images_root=locate(links[0].record.images_root))


def nearest_parent(workspace: Workspace, stage: str) -> Parent:
    """The manifest of the nearest complete stage before `stage`, stale or not.

    Raises StaleStageError if there is none, or that stage was interrupted.
    """
    for name in STAGE_INPUTS[stage].parents:
        record = workspace.record(name)
        if record is not None:
            return Parent(name, workspace.manifest_path(name), record.outputs[MANIFEST], locate(record.images_root))
        if workspace.stage_dir(name).exists():
            without = f", or remove {workspace.stage_dir(name)} to do without it"
            finish = "run `cleaner scan IMAGES`" if name == "scan" else f"run `cleaner {name}` to finish it{without}"
            raise StaleStageError(f"{name} was interrupted or is damaged", next_step=finish)
    raise StaleStageError(
        f"{workspace.root}: no manifest for {stage} to read", next_step="run `cleaner scan IMAGES` first"
    )


def parent_input(workspace: Workspace, parent: Parent) -> Input:
    """A parent manifest as the input of a record."""
    return Input("parent", workspace.relative(parent.path), parent.sha256)


def _first_stale(links: list[Link]) -> Link | None:
    return next((link for link in links if link.why), None)


def _parent_now(workspace: Workspace, record: StageRecord) -> Input | None:
    """What a stage would read now, with the digest '' if that is missing."""
    read = record.find_input("parent")
    if read is None:
        return None
    stage = workspace.stage_of(read.file)
    if not stage:
        path = workspace.root / read.file
        return Input("parent", read.file, workspace.digests.sha256(path) if path.exists() else "")
    complete = (workspace.record(name) for name in STAGE_INPUTS[record.stage].parents)
    nearest = next((above for above in complete if above is not None), None)
    if nearest is None or workspace.record(stage) is None:
        return Input("parent", read.file, "")
    return Input("parent", workspace.relative(workspace.manifest_path(nearest.stage)), nearest.outputs[MANIFEST])


def _open_file(workspace: Workspace, path: Path) -> Parent:
    from cleaner.dataset.manifest import manifest_stage, read_manifest  # loads pandas

    read_manifest(path, ["file_name", "image_id", "keep"])
    beside = path.parent / RECORD
    scan = workspace.record("scan")
    if beside.exists():
        root = read_record(beside, "give the manifest of another run, or move the record away").images_root
    elif scan is not None:
        root = scan.images_root
    else:
        raise BadInputError(
            f"{path}: its images root is unknown",
            expected=f"a {RECORD} beside it, or a scan in {workspace.root}",
            next_step="run `cleaner scan IMAGES` in this workspace first",
        )
    return Parent(manifest_stage(path) or "scan", path, sha256_file(path), locate(root))


def _fetch(workspace: Workspace, path: Path) -> Path:
    """A manifest behind a URL as a local copy, with its record beside it; any other path as it is."""
    if not is_remote(path):
        return path
    folder = workspace.root / "fetched" / digest_of(str(path))[:12]
    for name in (path.name, RECORD):
        try:
            write_atomic(folder / name, read_bytes(f"{path.parent}/{name}"))
        except FileNotFoundError:  # a manifest may have no record; if the manifest itself is missing, reading it raises
            (folder / name).unlink(missing_ok=True)
    return folder / path.name
