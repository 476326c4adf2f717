"""Text of a manifest as Arrow has it is the text that Python objects are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from cleaner.dataset.manifest import look_up, read_manifest, write_manifest
from cleaner.dataset.store import sha256_file

NAMES = ["file_name", "image_id", "pixel_id"]


def test_packed_columns_hold_the_same_text_and_are_written_to_the_same_bytes(small_run: Path, tmp_path: Path) -> None:
    path = small_run / "scan" / "manifest.parquet"
    plain, packed = read_manifest(path), read_manifest(path, packed=NAMES)
    for name in NAMES:
        assert plain[name].dtype == object and isinstance(packed[name].dtype, pd.ArrowDtype)
        assert packed[name].tolist() == plain[name].tolist()
    order = np.random.default_rng(0).permutation(len(plain))
    for number, frame in enumerate((plain, packed, packed.iloc[order])):  # sorted again where it is not
        write_manifest(tmp_path / str(number), frame, stage="scan", parent_sha256="")
    assert len({sha256_file(tmp_path / str(number)) for number in range(3)}) == 1


def test_values_are_looked_up_by_key() -> None:
    values = pd.Series(["x", "y"], index=["b", "c"], dtype=object)
    for dtype in (object, pd.ArrowDtype(pa.large_string())):
        keys = pd.Series(["a", "b", "b", "c"], dtype=dtype)
        assert look_up(keys, values, "").tolist() == ["", "x", "x", "y"]
        assert look_up(keys, values[:0], -1).tolist() == [-1] * 4
