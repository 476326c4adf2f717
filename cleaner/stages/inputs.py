"""What several stages need of images: inspections of files, and embeddings of manifest rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.fact_table import FactTable
from cleaner.dataset.found_files import FoundFiles
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
    workspace: Workspace, files: FoundFiles, title: str, folder: str, limits: Limits, options: RunOptions
) -> FactTable:
    """The facts of `files` in their order, computed by the run's engine and cached in `folder`.

    With `options.force` every file is read anew.
    """
    cache, map_tasks = task_cache(workspace, options) / folder, open_engine(options).map
    return inspect_files(
        files,
        title,
        limits=limits,
        folder=cache,
        scratch=workspace.cache,
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


T = TypeVar("T")
_PIECE_ROWS = 65_536


class OfImages(Sequence[T]):
    """Something of each of some manifest rows and then of images from outside, made when it is asked for."""

    def __init__(self, column: pd.Series[str], make: Callable[[str], T], outside: Sequence[T]) -> None:
        """`make` makes it of a value of `column` (N,)."""
        self._column, self._make, self._outside = column, make, outside

    def __len__(self) -> int:
        return len(self._column) + len(self._outside)

    def __getitem__(self, which: Any) -> Any:
        """One thing, or a list of those of a slice without a step."""
        if not isinstance(which, slice):
            return self[which : which + 1][0]
        num, (start, stop, _) = len(self._column), which.indices(len(self))
        inside = map(self._make, self._column.iloc[start:stop].tolist())
        return [*inside, *self._outside[max(0, start - num) : max(0, stop - num)]]

    def __iter__(self) -> Iterator[T]:
        for start in range(0, len(self), _PIECE_ROWS):
            yield from self[start : start + _PIECE_ROWS]


def image_paths(
    images_root: Path, rows: pd.DataFrame, outside: Sequence[tuple[str, Path]] = ()
) -> tuple[Sequence[str], Sequence[Path]]:
    """Ids and files of manifest rows in their order, followed by those of `outside` images (image_id, path)."""
    ids = OfImages(rows["image_id"], str, [i for i, _ in outside])
    return ids, OfImages(rows["file_name"], partial(image_path, images_root), [p for _, p in outside])


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
