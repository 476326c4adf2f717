"""What stages read besides their own work: the parent, verdicts in force, embeddings of the rows they judge."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from cleaner.config import EmbeddingSettings, RunOptions
from cleaner.dataset.files import FoundFile
from cleaner.dataset.images import ImageFacts
from cleaner.dataset.inspection import inspect_files
from cleaner.dataset.locations import locate
from cleaner.dataset.manifest import read_manifest
from cleaner.dataset.store import ArrayStore, sha256_file
from cleaner.dataset.verdicts import Verdicts, require_decided, used_digest
from cleaner.dataset.workspace import Input, Parent, Workspace
from cleaner.engine.engine import open_engine
from cleaner.engine.local import count_workers
from cleaner.errors import BadInputError

if TYPE_CHECKING:
    from cleaner.modeling.backbones import Backbone
    from cleaner.modeling.embeddings import Embeddings


def require_parent(workspace: Workspace, stage: str, from_file: Path | None) -> Parent:
    """The manifest that `stage` reads; raises StaleStageError if it, or what people decided since, is stale."""
    parent = workspace.parent_of(stage, from_file)
    if from_file is None:
        require_decided(workspace, parent.name)
    return parent


def decisions_input(workspace: Workspace, stage: str, manifest: pd.DataFrame, verdicts: Verdicts) -> Input:
    """The verdicts that `stage` uses, as an input of its record; before a run, as its last manifest has it."""
    before = workspace.manifest_path(stage)
    if stage == "noise" and "noise_prob" not in manifest and before.exists():
        with contextlib.suppress(BadInputError):  # damaged: the stage runs again anyway
            manifest = read_manifest(before)
    digest = used_digest(verdicts, stage, manifest)
    return Input("decisions", workspace.relative(workspace.decisions_path), digest)


def parent_input(workspace: Workspace, parent: Parent) -> Input:
    """The parent manifest as an input of a record."""
    return Input("parent", workspace.relative(parent.path), parent.sha256)


def weights_inputs(settings: EmbeddingSettings) -> list[Input]:
    """The user's own weights, if any, as inputs of a record."""
    if not settings.weights:
        return []
    path = Path(settings.weights)
    if not path.is_file():
        raise BadInputError(
            f"{path}: no such weights file", next_step="give a .safetensors or .pth file with --weights"
        )
    return [Input("weights", str(path), sha256_file(path))]


def task_cache(workspace: Workspace, options: RunOptions) -> Path:
    """Where tasks put their results, wherever they run."""
    return locate(options.storage) if options.storage else workspace.cache.absolute()


def inspect_with_engine(
    workspace: Workspace, files: Sequence[FoundFile], title: str, folder: str, max_pixels: int, options: RunOptions
) -> list[ImageFacts]:
    """The facts of `files` in their order, found by the run's engine; `folder` of the cache remembers what was seen."""

    def run(function: Any, tasks: Any, store: ArrayStore) -> Any:
        return open_engine(options).map(function, tasks, store=store)

    with options.progress.task(title, len(files)) as task:
        return inspect_files(
            files, max_pixels=max_pixels, folder=task_cache(workspace, options) / folder, map_tasks=run,
            advance=task.advance,
        )  # fmt: skip


def image_paths(
    images_root: Path, rows: pd.DataFrame, outside: Sequence[tuple[str, Path]] = ()
) -> tuple[list[str], list[Path]]:
    """Ids and files of manifest rows in their order, followed by those of `outside` images (image_id, path)."""
    ids = [*rows["image_id"], *(i for i, _ in outside)]
    return ids, [*(images_root / name for name in rows["file_name"]), *(p for _, p in outside)]


def embed_rows(
    workspace: Workspace,
    images_root: Path,
    rows: pd.DataFrame,
    backbone: Backbone,
    options: RunOptions,
    outside: Sequence[tuple[str, Path]] = (),
    *,
    with_style: bool = False,
) -> Embeddings:
    """Embeddings of manifest rows in their order, followed by those of `outside` images (image_id, path)."""
    # here, because torch takes seconds and most of a gigabyte, and scan and status do without
    from cleaner.modeling.backbones import num_threads
    from cleaner.modeling.embeddings import compute_embeddings

    ids, paths = image_paths(images_root, rows, outside)
    engine = open_engine(options)
    on_gpu = backbone.device.type == "cuda"
    return compute_embeddings(
        ids, paths, backbone, task_cache(workspace, options),
        workers=count_workers(options.workers), progress=options.progress,
        map_shards=partial(engine.map, threads=num_threads(), gpu=on_gpu) if engine.is_cluster else None,
        with_style=with_style,
    )  # fmt: skip
