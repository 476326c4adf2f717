"""Arrays in the form of safetensors, written and read without a second copy of them in memory.

The library's own functions hold the whole file in memory beside the arrays; here it is written from them piece by
piece, and read as views of a map of the file.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

_TYPES = {
    "U64": np.uint64,
    "I64": np.int64,
    "F64": np.float64,
    "F32": np.float32,
    "U32": np.uint32,
    "I32": np.int32,
    "F16": np.float16,
    "U16": np.uint16,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
"""In the library's order, by falling size, so that every array starts at a multiple of its own."""
_NAMES = {np.dtype(kind): name for name, kind in _TYPES.items()}
_ALIGNED = 8


def tensor_bytes(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """The bytes of a safetensors file, piece by piece; the same content has the same bytes.

    Raises KeyError for an array of a type that safetensors does not have.
    """
    kinds = {name: (array.dtype, array.shape) for name, array in arrays.items()}
    order, header = tensor_header(kinds, metadata)
    yield header
    for name in order:
        yield np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data


def tensor_header(
    kinds: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]], metadata: Mapping[str, str]
) -> tuple[list[str], bytes]:
    """The beginning of a safetensors file of arrays of these types and shapes, and the order in which they follow.

    Raises KeyError for a type that safetensors does not have.
    """
    types = list(_TYPES)
    order = sorted(kinds, key=lambda name: (types.index(_NAMES[kinds[name][0]]), name))
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    end = 0
    for name in order:
        kind, shape = kinds[name]
        begin, end = end, end + math.prod(shape) * kind.itemsize
        header[name] = {"dtype": _NAMES[kind], "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNED)
    return order, len(text).to_bytes(8, "little") + text


def read_tensors(data: bytes | memoryview | mmap.mmap) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a safetensors file, as views of its bytes, and its metadata.

    Raises ValueError, KeyError or TypeError for bytes that are no such file, or hold other types than NumPy's.
    """
    view = memoryview(data).cast("B")
    start = 8 + int.from_bytes(view[:8], "little")
    if start > len(view):
        raise ValueError("a header longer than the file")
    header = json.loads(bytes(view[8:start]))
    metadata = header.pop("__metadata__", {})
    arrays = {}
    for name, about in header.items():
        kind, shape = np.dtype(_TYPES[about["dtype"]]), tuple(about["shape"])
        begin, end = about["data_offsets"]
        num = int(np.prod(shape, dtype=object)) if shape else 1
        if min((0, begin, *shape)) < 0 or end - begin != num * kind.itemsize or start + end > len(view):
            raise ValueError(f"{name} lies outside the file")
        arrays[name] = np.frombuffer(view[start + begin : start + end], kind).reshape(shape)
    return arrays, metadata
