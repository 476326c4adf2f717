"""`--to embeddings`: what the frozen network sees in each kept image, as Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cleaner.config import EmbeddingSettings, RunOptions
from cleaner.errors import BadInputError
from cleaner.exports.cleaned import Cleaned
from cleaner.exports.kind import ExportOptions, Kind, Prepared
from cleaner.exports.out_of_fold import CHUNK
from cleaner.exports.snippets import quoted

_NAMES = ("file_name", "clean_label", "split", "image_id")


def prepare(cleaned: Cleaned, out: Path, options: ExportOptions) -> Prepared:
    """One row for each kept image: file_name, clean_label, split, image_id, embedding, a list of D float32.

    The network is that of the last stage which used one; the embeddings are those in its cache, and computed where they
    are not there. Of two views it is the mean. Raises BadInputError if no stage has used a network.
    """
    settings, device = _network(cleaned)

    def write(path: Path) -> int:
        assert cleaned.workspace is not None
        from cleaner.modeling.backbones import load_backbones  # loads torch
        from cleaner.stages.inputs import embed_rows

        options = RunOptions(device=device, progress=cleaned.progress)
        backbones = load_backbones(settings, device)
        found = embed_rows(cleaned.workspace, cleaned.images_root, cleaned.kept, backbones, options)
        width = found.plain.shape[1]
        schema = pa.schema([*((name, pa.string()) for name in _NAMES), ("embedding", pa.list_(pa.float32(), width))])
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for start in range(0, len(cleaned.kept), CHUNK):
                part = slice(start, start + CHUNK)
                names = [pa.array(cleaned.kept[name].iloc[part].tolist(), pa.string()) for name in _NAMES]
                values = pa.FixedSizeListArray.from_arrays(pa.array(np.ravel(found.mean(part))), width)
                writer.write_table(pa.Table.from_arrays([*names, values], schema=schema))
        return 0

    return Prepared(write=write, use=_use, classes=cleaned.classes, num_files=len(cleaned.kept))


def _network(cleaned: Cleaned) -> tuple[EmbeddingSettings, str]:
    """The settings of the network that a stage used last, and the device."""
    for stage in ("labels", "noise", "balance"):
        record = cleaned.workspace.record(stage) if cleaned.workspace is not None else None
        if record is not None and record.backbones:
            device = record.device if record.device == "cpu" else "auto"  # another machine may have no such chip
            return EmbeddingSettings(**record.settings["embedding"]), device
    raise BadInputError(
        "no stage has looked at the images through a network", next_step="run `cleaner noise` or `cleaner labels` first"
    )


def _use(out: Path) -> str:
    return "\n".join(
        [
            "import numpy as np",
            "import pandas as pd",
            f"table = pd.read_parquet({quoted(out)})",
            'embeddings = np.stack(table["embedding"])',
        ]
    )


KIND = Kind(
    name="embeddings",
    title="what the network sees in each kept image, as Parquet",
    prepare=prepare,
    suffixes=(".parquet",),
)
