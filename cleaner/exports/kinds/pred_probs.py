"""`--to pred-probs`: out-of-fold class probabilities of the labels stage, as Parquet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cleaner.exports.cleaned import Cleaned
from cleaner.exports.kind import ExportOptions, Kind, Prepared
from cleaner.exports.out_of_fold import Judged, about_missing
from cleaner.exports.snippets import quoted


def prepare(cleaned: Cleaned, out: Path, options: ExportOptions) -> Prepared:
    """One row for each image that was judged: file_name, clean_label, image_id, pred_probs, a list of K float32.

    The metadata entry `classes` of the file is the JSON list of the K classes. `dropped` adds the dropped images.
    """
    judged = Judged.of(cleaned, dropped=options.dropped)
    schema = pa.schema(
        {
            "file_name": pa.string(),
            "clean_label": pa.string(),
            "image_id": pa.string(),
            "pred_probs": pa.list_(pa.float32(), len(judged.classes)),
        },
        metadata={"classes": json.dumps(judged.classes, ensure_ascii=False)},
    )

    def write(path: Path) -> int:
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for part, probs, _ in judged.chunks():
                rows = judged.rows.iloc[part]
                names = [pa.array(rows[name].tolist(), pa.string()) for name in schema.names[:3]]
                values = pa.FixedSizeListArray.from_arrays(pa.array(np.ravel(probs)), len(judged.classes))
                writer.write_table(pa.Table.from_arrays([*names, values], schema=schema))
        return 0

    num_dropped = int((~judged.rows["keep"]).sum())
    num_kept = len(judged.rows) - num_dropped
    return Prepared(
        write=write,
        use=_use,
        classes=judged.classes,
        num_files=num_kept,
        num_dropped=num_dropped,
        warnings=about_missing(len(cleaned.kept) - num_kept),
    )


def _use(out: Path) -> str:
    return "\n".join(
        [
            "import json",
            "import numpy as np",
            "import pyarrow.parquet as pq",
            f"table = pq.read_table({quoted(out)})",
            'pred_probs = np.stack(table["pred_probs"].to_numpy())',
            'classes = json.loads(table.schema.metadata[b"classes"])  # in the order of the columns',
        ]
    )


KIND = Kind(
    name="pred-probs",
    title="out-of-fold class probabilities of the labels stage, as Parquet",
    prepare=prepare,
    options=frozenset({"dropped"}),
    suffixes=(".parquet",),
)
