"""The rows of a scan's manifest, and of a check, as a table that takes little memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from cleaner.dataset.fact_table import NUMBERS, FactTable
from cleaner.stages.scan_set import ScanSet


def facts_frame(chosen: ScanSet, facts: FactTable) -> pd.DataFrame:
    """The manifest's columns that say what each file is, all rows kept.

    Names and digests lie in it as Arrow has them, digests as bytes, null for ''; text with few distinct values that no
    rule looks into as categories. `write_manifest` makes text of all of them.
    """
    num = len(facts)
    text = partial(pd.Series, dtype=object, copy=False)  # pandas would copy it to text of its own otherwise
    labels = text(chosen.labels.as_objects())
    columns: dict[str, Any] = {
        "file_name": _of_arrow(chosen.files.name_array()),
        "image_id": _of_arrow(_digest_array(facts.digests["image_id"])),
        "keep": np.ones(num, dtype=bool),
        "drop_stage": text(np.full(num, "", dtype=object)),
        "drop_reason": text(np.full(num, "", dtype=object)),
        "clean_label": labels,
        "label": labels,
        "split": text(chosen.splits.as_objects()),
        "readable": facts.is_sound,
        "pixel_id": _of_arrow(_digest_array(facts.digests["pixel_id"])),
    }
    columns |= {name: categories(words.codes, words.distinct) for name, words in facts.texts.items()}
    columns |= {name: facts.numbers[name] for name in NUMBERS}
    return pd.DataFrame(columns, copy=False)


def plain_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The same with all text as Python has it, for tables of a few rows."""
    plain = {}
    for name, column in frame.items():
        if isinstance(column.dtype, pd.ArrowDtype):
            values = column.tolist()
            is_digest = pa.types.is_fixed_size_binary(column.dtype.pyarrow_dtype)
            plain[name] = pd.Series(
                [v.hex() if v is not pd.NA else "" for v in values] if is_digest else values, dtype=object
            )
        else:
            plain[name] = column.astype(object) if isinstance(column.dtype, pd.CategoricalDtype) else column
    return pd.DataFrame(plain)


def categories(codes: np.ndarray, texts: Sequence[str]) -> pd.Categorical[Any]:
    """The text of which `codes` (N,) int are the places among `texts`."""
    return pd.Categorical.from_codes(codes, categories=pd.Index(np.array(texts, dtype=object)))


def _of_arrow(array: pa.Array) -> pd.Series[Any]:
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([array])))


def _digest_array(digests: np.ndarray) -> pa.FixedSizeBinaryArray:
    """Digests (N, 32) uint8 as Arrow has them, without copying them; null for zeros."""
    there = np.packbits(digests.any(axis=1), bitorder="little")
    buffers = [pa.py_buffer(there), pa.py_buffer(digests)]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(digests.shape[1]), len(digests), buffers)
