"""Ways to make a file lie: what disks, editors and other programs do to files, and what somebody may forge."""

from __future__ import annotations

import json
import math
import os
import shutil
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Rng = np.random.Generator
Damage = Callable[[Path, Rng], None]
"""Spoils the file at a path, in place."""

HOSTILE_TEXTS = (
    *("", " ", ".", "..", "../../etc/passwd", "/etc/passwd", "a/../../b", "a\0b", "C:\\x", "a" * 5000),
    *("\n", "a\r\nb", "\ud83d\ude00", "\u202egnp.exe", "'; DROP TABLE events; --", "=cmd()", "NaN", "null", "<script>"),
)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, -(2**63), 2**63, 10**30, 1.5, -0.5, math.nan, math.inf, -math.inf, 1e308),
    *([], {}, [None], {"a": 1}, [[[]]], "text", *HOSTILE_TEXTS[:12]),
)


def _cut(path: Path, rng: Rng) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(rng.integers(0, max(1, len(data))))])


def _empty(path: Path, rng: Rng) -> None:
    path.write_bytes(b"")


def _flip_bits(path: Path, rng: Rng) -> None:
    data = bytearray(path.read_bytes())
    for at in rng.integers(0, max(1, len(data)), int(rng.integers(1, 6))):
        if data:
            data[at] ^= 1 << int(rng.integers(0, 8))
    path.write_bytes(data)


def _zero_a_block(path: Path, rng: Rng) -> None:
    data = bytearray(path.read_bytes())
    start = int(rng.integers(0, max(1, len(data))))
    end = min(len(data), start + int(rng.integers(1, 4096)))
    data[start:end] = bytes(end - start)
    path.write_bytes(data)


def _append(path: Path, rng: Rng) -> None:
    with path.open("ab") as file:
        file.write(rng.bytes(int(rng.integers(1, 300))))


def _foreign(path: Path, rng: Rng) -> None:
    contents = (
        *(rng.bytes(500), b"<html><body>404 Not Found</body></html>", b"%PDF-1.7\n", b"PK\x03\x04" + bytes(40)),
        *(b"PAR1" + bytes(20) + b"PAR1", b"SQLite format 3\x00" + bytes(84), b"\x93NUMPY\x01\x00v\x00{", b"{}", b"[]"),
        *(b"\xff\xfe", b"null", b"\x80\x04.", b"[" * 100_000, b'{"a":' * 50_000),
    )
    path.write_bytes(contents[int(rng.integers(0, len(contents)))])


def _folder_in_place(path: Path, rng: Rng) -> None:
    path.unlink()
    path.mkdir()


def _pipe_in_place(path: Path, rng: Rng) -> None:
    path.unlink()
    os.mkfifo(path)


def _device_in_place(path: Path, rng: Rng) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _link_in_a_circle(path: Path, rng: Rng) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _forbidden(path: Path, rng: Rng) -> None:
    path.chmod(0)


ANY_FILE: dict[str, Damage] = {
    "cut": _cut,
    "empty": _empty,
    "bits flipped": _flip_bits,
    "block of zeros": _zero_a_block,
    "bytes appended": _append,
    "another format": _foreign,
    "folder in place": _folder_in_place,
    "pipe in place": _pipe_in_place,
    "device in place": _device_in_place,
    "link in a circle": _link_in_a_circle,
    "unreadable": _forbidden,
}
"""What may happen to any file."""


def _change_json(path: Path, rng: Rng) -> None:
    """Another value, of whatever type, somewhere in a JSON document; or something is missing."""
    document = json.loads(path.read_text())
    places = list(_places(document))
    holder, key = places[int(rng.integers(0, len(places)))]
    if rng.random() < 0.2:
        del holder[key]
    else:
        holder[key] = ODD_VALUES[int(rng.integers(0, len(ODD_VALUES)))]
    path.write_text(json.dumps(document))


def _places(document: Any) -> Any:
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        yield document, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _change_cell(path: Path, rng: Rng) -> None:
    """Another value in one cell of a table, of a type that its column may have."""
    table = pq.read_table(path)
    at = int(rng.integers(0, table.num_columns))
    kind, values = table.schema.types[at], table.column(at).to_pylist()
    row = int(rng.integers(0, max(1, len(values))))
    odd: list[Any] = [None]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        odd += [text for text in HOSTILE_TEXTS if text.isprintable() or text.isascii()]
    elif pa.types.is_floating(kind):
        odd += [math.nan, math.inf, -math.inf, -1.0, 2.0, 1e30]
    elif pa.types.is_integer(kind):
        odd += [-2, -100, 127]
    else:
        odd += [True, False]
    odd = [value for value in odd if not isinstance(value, str) or value.encode("utf-8", "ignore").decode() == value]
    values[row : row + 1] = [odd[int(rng.integers(0, len(odd)))]]
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(values, kind)), path)


def _change_column(path: Path, rng: Rng) -> None:
    """A column of another type, twice, or missing."""
    table = pq.read_table(path)
    at = int(rng.integers(0, table.num_columns))
    name, num = table.column_names[at], table.num_rows
    kinds = (pa.int8(), pa.float64(), pa.string(), pa.binary(), pa.list_(pa.string()), pa.bool_(), pa.null())
    kind = kinds[int(rng.integers(0, len(kinds) + 1)) - 1]
    samples = {"int8": 7, "double": 0.5, "string": "x", "binary": b"\xff\xfe", "bool": True, "null": None}
    value = samples.get(str(kind), ["x"])
    how = rng.random()
    if how < 0.2:
        pq.write_table(table.remove_column(at), path)
    elif how < 0.3:
        pq.write_table(table.append_column(name, table.column(at)), path)
    else:
        pq.write_table(table.set_column(at, name, pa.array([value] * num, kind)), path)


def _repeat_rows(path: Path, rng: Rng) -> None:
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table]), path)


def _text_that_is_none(path: Path, rng: Rng) -> None:
    """Bytes in a column of text that are no UTF-8, which Arrow writes without looking."""
    table = pq.read_table(path)
    names = [f.name for f in table.schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
    name = names[int(rng.integers(0, len(names)))]
    raw = pa.array([b"\xff\xfe\x80"] * table.num_rows, pa.binary())
    bad = pa.StringArray.from_buffers(len(raw), raw.buffers()[1], raw.buffers()[2])
    pq.write_table(table.set_column(table.column_names.index(name), name, bad), path)


TABLE: dict[str, Damage] = {
    "cell forged": _change_cell,
    "column forged": _change_column,
    "rows twice": _repeat_rows,
    "text that is none": _text_that_is_none,
}
"""What may happen to a Parquet file besides."""
DOCUMENT: dict[str, Damage] = {"value forged": _change_json}
"""What may happen to a JSON document besides."""


def _forge_event(path: Path, rng: Rng) -> None:
    """Another value in one cell of the decisions, of whatever type; the rules of the schema are lifted before."""
    values = (None, 7, -1, 2**62, 1.5, b"\xff\x00", "x", "\ud83d".encode("utf-8", "surrogatepass"), "A" * 64, "a\0b")
    names = ("kind", "key", "queue", "verdict", "label", "annotator", "time_utc", "undoes_seq")
    name, value = names[int(rng.integers(0, len(names)))], values[int(rng.integers(0, len(values)))]
    with sqlite3.connect(path) as connection:
        _lift_rules(connection)
        connection.execute(f"UPDATE events SET {name} = ? WHERE seq = (SELECT max(seq) FROM events)", (value,))
    connection.close()


def _lift_rules(connection: sqlite3.Connection) -> None:
    """Leave a table of the same columns, without a check."""
    names = "seq, kind, key, queue, verdict, label, annotator, time_utc, undoes_seq"
    connection.executescript(
        f"PRAGMA foreign_keys = OFF; CREATE TABLE other ({names}); INSERT INTO other SELECT {names} FROM events;"
        "DROP TABLE events; ALTER TABLE other RENAME TO events;"
    )


def _foreign_schema(path: Path, rng: Rng) -> None:
    """Somebody else's database, or a store whose schema is another."""
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS seq FROM n"
    scripts = (
        "DROP TABLE events; CREATE TABLE photos (id, path); INSERT INTO photos VALUES (1, 'x')",
        "DROP TABLE events; CREATE TABLE events (seq, what)",
        f"DROP TABLE events; CREATE VIEW events AS {endless}",
        "ALTER TABLE events DROP COLUMN annotator",
        "ALTER TABLE events RENAME COLUMN verdict TO judgement",
        "PRAGMA user_version = 0",
        "PRAGMA user_version = 9",
        "DROP TABLE events",
    )
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.executescript("PRAGMA foreign_keys = OFF;" + scripts[int(rng.integers(0, len(scripts)))])
    connection.close()


DATABASE: dict[str, Damage] = {"event forged": _forge_event, "foreign schema": _foreign_schema}
"""What may happen to a store of decisions besides."""


def _change_array(path: Path, rng: Rng) -> None:
    """An array of another shape or type, or with numbers that are none."""
    values = np.load(path)
    bad = values.copy()
    bad[int(rng.integers(0, len(bad)))] = (np.nan, np.inf, -1, 2)[int(rng.integers(0, 4))]
    others = (
        *(bad, values[:-1], values[:, :-1], values.T, values.ravel(), values[..., None], values.astype(np.float16) * 3),
        *(values.astype(np.int64), values.astype(str), values.astype(complex), values > 0.5, np.float64(1.0)),
        np.zeros(len(values), [("a", "f4"), ("b", "f4")]),
    )
    np.save(path, others[int(rng.integers(0, len(others)))])


def _lying_header(path: Path, rng: Rng) -> None:
    """A .npy header that promises more than there is, or is a program."""
    headers = (
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (6.0, 3), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (6, 3), }",
        "{'descr': '<f4', 'fortran_order': 'no', 'shape': (6, 3), }",
        "{'descr': '<f999', 'fortran_order': False, 'shape': (6, 3), }",
        "__import__('os').mkdir('sprung')",
        "(" * 3000,
        "{'shape': (6, 3)}",
    )
    text = headers[int(rng.integers(0, len(headers)))].encode() + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(72))


def _pickled_objects(path: Path, rng: Rng) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([[Trap()] * 3] * 6, dtype=object), allow_pickle=True)


ARRAY: dict[str, Damage] = {
    "other array": _change_array,
    "lying header": _lying_header,
    "pickled objects": _pickled_objects,
}
"""What may happen to a .npy file besides."""


class Trap:
    """Whoever unpickles it makes the folder `sprung` in the current directory."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("sprung",)


def _change_safetensors(path: Path, rng: Rng) -> None:
    """A header that lies about types, shapes or places."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header, rest = json.loads(data[8 : 8 + size]), data[8 + size :]
    names = [name for name in header if name != "__metadata__"]
    name = names[int(rng.integers(0, len(names)))]
    entry, how = header[name], int(rng.integers(0, 8))
    if how == 0:
        entry["dtype"] = ("F64", "BF16", "I8", "Q4", "BOOL")[int(rng.integers(0, 5))]
    elif how == 1:
        entry["shape"] = [*entry["shape"], 2**40]
    elif how == 2:
        entry["data_offsets"] = [0, 2**50]
    elif how == 3:
        del header[name]
    elif how == 4:
        header[f"{name}.x"] = header.pop(name)
    elif how == 5:
        header["__metadata__"] = {"a": "\u0000", "classes": "[1, 2]"}
    elif how == 6:
        entry["shape"] = [*entry["shape"][::-1], 1]
    else:
        header.pop("__metadata__", None)
        header[name] = 7
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + rest)


def _numbers_that_are_none(path: Path, rng: Rng) -> None:
    """NaN or infinity in one tensor of numbers."""
    from safetensors.numpy import load, save

    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + size]).get("__metadata__")
    tensors = {name: values.copy() for name, values in load(data).items()}
    names = [name for name, values in tensors.items() if values.dtype.kind == "f" and values.size]
    values = tensors[names[int(rng.integers(0, len(names)))]]
    values.ravel()[int(rng.integers(0, values.size))] = (np.nan, np.inf, -np.inf)[int(rng.integers(0, 3))]
    path.write_bytes(save(tensors, metadata))


TENSORS: dict[str, Damage] = {"header forged": _change_safetensors, "numbers that are none": _numbers_that_are_none}
"""What may happen to a safetensors file besides."""


def _odd_pth(path: Path, rng: Rng) -> None:
    """What torch.save can write besides tables of tensors, traps among it."""
    import pickle

    import torch

    state = torch.load(path, weights_only=True)
    name = list(state)[int(rng.integers(0, len(state)))]
    objects = (
        *({7: torch.zeros(3)}, dict(enumerate(state.values())), [*state.values()], state[name], "text", None, {}),
        *({**state, name: torch.full_like(state[name].float(), torch.nan)}, {**state, name: state[name].to_sparse()}),
        *({**state, name: state[name].double() * 1e300}, {**state, name: torch.zeros(2, 2, dtype=torch.complex64)}),
        *({"state_dict": Trap()}, {**state, "trap": Trap()}, {"model": {"state_dict": [1]}}, {name: state[name]}),
    )
    found = objects[int(rng.integers(0, len(objects)))]
    if rng.random() < 0.25:
        path.write_bytes(pickle.dumps({"state_dict": Trap()}))
    else:
        torch.save(found, path)


PTH: dict[str, Damage] = {"other objects": _odd_pth}
"""What may happen to a .pth file besides."""


def change_text(values: tuple[str, ...]) -> dict[str, Damage]:
    """Damages to a text file with fields between commas or blanks: a field becomes one of `values`, or a line goes."""

    def change(path: Path, rng: Rng) -> None:
        lines = path.read_text().split("\n")
        at = int(rng.integers(0, len(lines)))
        if rng.random() < 0.2:
            del lines[at]
        else:
            fields = lines[at].split(",")
            fields[int(rng.integers(0, len(fields)))] = values[int(rng.integers(0, len(values)))]
            lines[at] = ",".join(fields)
        path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))

    def other_encoding(path: Path, rng: Rng) -> None:
        text = path.read_text() + "caf\u00e9"
        path.write_bytes(text.encode(("utf-16", "latin-1", "utf-32-be", "utf-8-sig")[int(rng.integers(0, 4))]))

    return {"field forged": change, "other encoding": other_encoding}


def undo(path: Path) -> None:
    """Remove whatever stands at a path, so that it can be written anew."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.is_symlink() or path.exists():
        path.unlink()
