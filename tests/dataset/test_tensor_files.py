"""Arrays in safetensors form: as the library reads and writes them, in files that are mapped where they are large."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from cleaner.dataset import store
from cleaner.dataset.kept_arrays import read_kept, write_kept
from cleaner.dataset.store import Arrays, ArrayStore
from cleaner.dataset.tensor_files import read_tensors, tensor_bytes

ARRAYS: Arrays = {
    "b": np.array([True, False, True]),
    "numbers": np.arange(-3, 3, dtype=np.int16).reshape(2, 3),
    "few": np.float64([1, 2]),
    "none": np.zeros((0, 4), np.float32),
    "one": np.array(5, np.int64),
    "across": np.arange(12, dtype=np.float16).reshape(3, 4).T,
}


def same(found: Arrays, expected: Arrays) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].dtype == a.dtype and np.array_equal(found[name], a) for name, a in expected.items()
    )


@pytest.mark.parametrize("metadata", [{}, {"stored_as": "bäume/x"}])
def test_it_is_the_library_s_form_byte_for_byte(metadata: dict[str, str]) -> None:
    data = b"".join(tensor_bytes(ARRAYS, metadata))
    assert data == save({name: np.array(a, order="C") for name, a in ARRAYS.items()}, metadata or None)
    assert same(load(data), ARRAYS)
    arrays, about = read_tensors(data)
    assert same(arrays, ARRAYS) and about == metadata


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"63]", b"99]"),
        (b"[0,8]", b"[-8,0]"),
        (b'"I16"', b'"I99"'),
        (b"[2,3]", b"[2,9]"),
        (b"[4,3]", b"[-4,-3]"),
        (b"{", b"["),
    ],
)
def test_what_is_no_such_file_is_refused(before: bytes, after: bytes) -> None:
    data = b"".join(tensor_bytes(ARRAYS, {}))
    size = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + size].replace(before, after, 1)
    assert header != data[8 : 8 + size], "the header does not hold what this test forges"
    with pytest.raises((ValueError, KeyError, TypeError)):
        read_tensors(len(header).to_bytes(8, "little") + header + data[8 + size :])
    with pytest.raises(ValueError, match="longer"):
        read_tensors(data[: size // 2])


def test_large_arrays_are_those_of_a_file_that_nobody_can_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_MAPPED_BYTES", 100)
    kept = ArrayStore(tmp_path / "kept")
    large = {"x": np.arange(1000)}
    found = kept.remember("large", lambda: large)
    assert found["x"] is not large["x"] and same(found, large)
    found["x"][0] = 7
    again = kept.get("large")
    assert again is not None and same(again, {"x": np.arange(1000)})
    data = bytearray(kept.path("large").read_bytes())
    data[-1] ^= 1
    kept.path("large").unlink()
    kept.path("large").write_bytes(data)
    assert kept.get("large") is None, "a damaged one counts as absent"
    assert same(again, {"x": np.arange(1000)}), "what was read before stays"


def test_nothing_is_copied_on_the_way_to_a_file_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_MAPPED_BYTES", 1 << 20)
    large = {"x": np.zeros(16 << 20, np.uint8)}
    kept = ArrayStore(tmp_path / "kept")
    tracemalloc.start()
    kept.put("key", large)
    write_kept(tmp_path / "x.safetensors", large, {"a": 1})
    found = kept.get("key")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 20
    assert found is not None and same(found, large)
    arrays, about = read_kept(tmp_path / "x.safetensors")
    assert same(arrays, large) and about == {"a": 1}
