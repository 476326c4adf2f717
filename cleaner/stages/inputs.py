"""What several stages need of images: inspections of files, and embeddings of manifest rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.files import FoundFile
from cleaner.dataset.images import ImageFacts
from cleaner.dataset.inspection import Limits, inspect_files
from cleaner.dataset.locations import is_remote, locate
from cleaner.dataset.names import image_path
from cleaner.dataset.workspace import Workspace
from cleaner.engine.engine import open_engine
from cleaner.engine.local import count_workers
from cleaner.stages.stage_run import Machine, StageRun

if TYPE_CHECKING:
    from cleaner.modeling.backbones import Backbone, NetworkSpec
    from cleaner.modeling.embeddings import Embeddings


def machine_of(*networks: NetworkSpec) -> Machine:
    """The networks, device and number of threads of a run, for its record."""
    from cleaner.modeling.backbones import num_threads

    return Machine([n.describe() for n in networks], str(networks[0].device), num_threads())


def embed_for(
    run: StageRun[Any], rows: pd.DataFrame, outside: Sequence[tuple[str, Path]] = (), *, with_style: bool = False
) -> tuple[Embeddings, Machine]:
    """`embed_rows` with the backbones that the run's settings name, and what was used, for its record."""
    from cleaner.modeling.backbones import load_backbones

    options = run.options
    backbones = load_backbones(run.settings.embedding, options.device)
    embeddings = embed_rows(
        run.workspace, run.parent.images_root, rows, backbones, options, outside, with_style=with_style
    )
    return embeddings, machine_of(*backbones)


def task_cache(workspace: Workspace, options: RunOptions) -> Path:
    """Where tasks store their results; every machine that runs them can reach it."""
    return locate(options.storage) if options.storage else workspace.cache.absolute()


def files_of(workspace: Workspace, options: RunOptions) -> Path:
    """Where features too large for memory lie: beside the tasks' results, or here if those are behind a URL."""
    cache = task_cache(workspace, options)
    return workspace.cache.absolute() if is_remote(cache) else cache


def inspect_with_engine(
    workspace: Workspace, files: Sequence[FoundFile], title: str, folder: str, limits: Limits, options: RunOptions
) -> list[ImageFacts]:
    """The facts of `files` in their order, computed by the run's engine and cached in `folder`.

    With `options.force` every file is read anew.
    """
    cache, map_tasks = task_cache(workspace, options) / folder, open_engine(options).map
    return inspect_files(
        files,
        title,
        limits=limits,
        folder=cache,
        map_tasks=map_tasks,
        progress=options.progress,
        anew=options.force,
    )


def scan_limits(workspace: Workspace) -> Limits:
    """What a file may cost, as the scan of the workspace had it: a later stage decodes the same files."""
    record = workspace.record("scan")
    own = record.settings if record is not None else {}
    named = (own.get(name, getattr(ScanSettings, name)) for name in ("max_pixels", "file_timeout"))
    return Limits(*named)


class ImagePaths(Sequence[Path]):
    """Files of manifest rows, followed by those outside: each path is made when it is asked for."""

    def __init__(self, images_root: Path, file_names: np.ndarray, outside: Sequence[Path]) -> None:
        """`file_names`: (N,) object."""
        self._root, self._names, self._outside = images_root, file_names, outside

    def __len__(self) -> int:
        return len(self._names) + len(self._outside)

    def __getitem__(self, which: Any) -> Any:
        """One path, or a list of those of a slice."""
        if isinstance(which, slice):
            return [self[number] for number in range(*which.indices(len(self)))]
        number = range(len(self))[which]
        if number < len(self._names):
            return image_path(self._root, self._names[number])
        return self._outside[number - len(self._names)]


def image_paths(
    images_root: Path, rows: pd.DataFrame, outside: Sequence[tuple[str, Path]] = ()
) -> tuple[list[str], ImagePaths]:
    """Ids and files of manifest rows in their order, followed by those of `outside` images (image_id, path)."""
    ids = [*rows["image_id"], *(i for i, _ in outside)]
    return ids, ImagePaths(images_root, rows["file_name"].to_numpy(object), [p for _, p in outside])


def embed_rows(
    workspace: Workspace,
    images_root: Path,
    rows: pd.DataFrame,
    backbones: Sequence[Backbone],
    options: RunOptions,
    outside: Sequence[tuple[str, Path]] = (),
    *,
    with_style: bool = False,
) -> Embeddings:
    """Embeddings of manifest rows in their order, followed by those of `outside` images (image_id, path).

    Those of several backbones lie side by side; large ones in files below the cache, see `modeling/columns.py`.
    """
    from cleaner.modeling.backbones import num_threads  # loads torch, which scan does without
    from cleaner.modeling.embeddings import compute_embeddings, join_embeddings

    ids, paths = image_paths(images_root, rows, outside)
    engine = open_engine(options)
    file_timeout_s = scan_limits(workspace).file_timeout_s
    on_gpu = backbones[0].device.type == "cuda"
    each = [
        compute_embeddings(
            ids,
            paths,
            backbone,
            task_cache(workspace, options),
            workers=count_workers(options.workers),
            progress=options.progress,
            map_shards=partial(engine.map, threads=num_threads(), gpu=on_gpu) if engine.is_cluster else None,
            with_style=with_style,
            file_timeout_s=file_timeout_s,
            scratch=files_of(workspace, options),
            title=f"embedding, {number} of {len(backbones)}" if len(backbones) > 1 else "embedding",
        )
        for number, backbone in enumerate(backbones, 1)
    ]
    return join_embeddings(each)
