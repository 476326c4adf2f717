"""The map of a workspace's images: where each lies in the plane, stored so that the report finds it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from cleaner.dataset.manifest import write_table
from cleaner.dataset.store import write_json
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError
from cleaner.reading import read_document, reading

_SCHEMA = pa.schema([("image_id", pa.string()), ("x", pa.float32()), ("y", pa.float32())])

_AGAIN = "run `cleaner map --force`"


@dataclass(frozen=True, kw_only=True)
class MapRecord:
    """What a map was made from."""

    key: str
    """Digest of the images, the networks, the method and the seed."""
    method: str
    """`umap` (McInnes et al. 2018) or `principal` (the first two principal directions, Pearson 1901)."""
    networks: str
    num_images: int
    created_utc: str


def map_folder(workspace: Workspace) -> Path:
    """Where the map lies."""
    return workspace.root / "map"


def read_map_record(workspace: Workspace) -> MapRecord | None:
    """The record of the map; None where there is none, or none that fits this version."""
    path = map_folder(workspace) / "map.json"
    try:
        return read_document(path, MapRecord, "record of a map", _AGAIN)
    except BadInputError:
        return None


def read_map_points(workspace: Workspace) -> pd.DataFrame:
    """One row for each image: index image_id; x and y, 0 to 1. Raises BadInputError for a damaged file."""
    path = map_folder(workspace) / "points.parquet"
    with reading(path, "table of points", _AGAIN):
        points = pd.read_parquet(path, columns=_SCHEMA.names)
    return points.drop_duplicates("image_id").set_index("image_id")


def write_map(workspace: Workspace, image_ids: np.ndarray, points: np.ndarray, record: MapRecord) -> None:
    """Store `points` (n, 2), 0 to 1, of the images `image_ids` (n,)."""
    folder = map_folder(workspace)
    folder.mkdir(exist_ok=True)
    (folder / "map.json").unlink(missing_ok=True)  # until the points are there, it would be the record of others
    frame = pd.DataFrame({"image_id": image_ids, "x": points[:, 0], "y": points[:, 1]})
    write_table(folder / "points.parquet", frame, _SCHEMA)
    write_json(folder / "map.json", asdict(record))
