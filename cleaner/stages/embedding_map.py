"""Computes the map of a workspace's images, from cached embeddings where there are some."""

from __future__ import annotations

from dataclasses import dataclass

from cleaner.config import EmbeddingSettings, RunOptions
from cleaner.dataset.embedding_map import MapRecord, read_map_record, write_map
from cleaner.dataset.lineage import open_parent
from cleaner.dataset.store import digest_of, utc_now
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError, UsageError
from cleaner.modeling.backbones import load_backbones
from cleaner.modeling.projection import UMAP_MOST_IMAGES, has_umap, project
from cleaner.stages.inputs import embed_rows

METHODS = ("auto", "umap", "principal")


@dataclass(frozen=True)
class MapResult:
    """The map that is there now."""

    record: MapRecord
    was_current: bool


def compute_map(
    workspace: Workspace, settings: EmbeddingSettings, options: RunOptions, method: str = "auto"
) -> MapResult:
    """Place every readable image of the last manifest in the plane, and store it in `map/`.

    `method`: umap, principal, or auto: umap where umap-learn is installed and there are at most 50,000 images.
    Raises UsageError for umap without umap-learn, BadInputError where no image is readable.
    """
    parent = open_parent(workspace, "train")
    manifest = workspace.manifest(columns=["file_name", "image_id", "readable"])
    rows = manifest[manifest["readable"] & (manifest["image_id"] != "")].drop_duplicates("image_id")
    if rows.empty:
        raise BadInputError("no image can be read: there is nothing to map", next_step="see `fault` in the manifest")
    if method == "umap" and not has_umap():
        raise UsageError("--method umap: umap-learn is not installed", next_step="pip install 'cleaner-images[map]'")
    if method == "auto":
        method = "umap" if has_umap() and len(rows) <= UMAP_MOST_IMAGES else "principal"
    backbones = load_backbones(settings, options.device)
    key = digest_of("map", list(rows["image_id"]), [b.key for b in backbones], method, options.seed)
    before = read_map_record(workspace)
    if before is not None and before.key == key and not options.force:
        return MapResult(before, was_current=True)
    embeddings = embed_rows(workspace, parent.images_root, rows, backbones, options)
    with options.progress.task(f"map ({method})", 1) as task:
        points = project(embeddings.plain, method, options.seed)
        task.advance()
    record = MapRecord(
        key=key,
        method=method,
        networks=" + ".join(str(b.describe()["name"]) for b in backbones),
        num_images=len(rows),
        created_utc=utc_now("seconds"),
    )
    write_map(workspace, rows["image_id"].to_numpy(object), points, record)
    return MapResult(record, was_current=False)
