"""Rows of embeddings are in the order that was asked for, whatever the shards hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cleaner.errors import BadInputError
from cleaner.modeling import columns
from cleaner.modeling.embedding_rows import EmbeddingRows, as_keys, raw_ids


def shard(ids: list[str], first: int, width: int = 3) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Ids, and rows of equal numbers from `first` on."""
    values = np.repeat(np.arange(first, first + len(ids))[:, None], width, axis=1).astype(np.float16)
    return as_keys(raw_ids(ids)), {"plain": values, "style": values[:, :1] * 2}


@pytest.mark.parametrize("bound", [0, 1 << 40])
def test_shards_in_any_order_fill_the_rows_that_ask_for_them(
    bound: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "BYTES_IN_MEMORY", bound)
    # the last two differ in a byte that NumPy would drop
    a, b, c, d, e, absent = (f"{i:064x}" for i in (5, 1 << 250, 3, 1 << 8, (1 << 8) + (1 << 16), 77))
    asked = [c, a, a, e, b, d, a]
    found = EmbeddingRows(asked, ("plain", "style"), tmp_path, tmp_path)
    assert found.missing().tolist() == [0, 1, 3, 4, 5]
    found.put(*shard([absent, e, a], 10))
    assert found.missing().tolist() == [0, 4, 5]
    found.put(*shard([a, b, c, d], 20))  # what is known stays
    assert not len(found.missing())
    tables = found.tables()
    assert tables["plain"][:, 2].tolist() == [22, 12, 12, 11, 21, 23, 12]
    assert tables["style"][:, 0].tolist() == [44, 24, 24, 22, 42, 46, 24]
    assert isinstance(tables["plain"], np.memmap) == (bound == 0)


def test_shards_of_another_network_are_refused_and_none_leave_nothing(tmp_path: Path) -> None:
    ids = [f"{i:064x}" for i in range(4)]
    found = EmbeddingRows(ids, ("plain",), tmp_path, tmp_path / "embeddings")
    found.put(*shard(ids[:2], 0))
    with pytest.raises(BadInputError, match="different networks"):
        found.put(*shard(ids[2:], 0, width=4))
    empty = EmbeddingRows([], ("plain",), tmp_path, tmp_path)
    assert not len(empty.missing()) and empty.tables()["plain"].shape == (0, 0)
