"""What a manifest may hold is checked where it is read, by whichever reader."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cleaner.dataset.manifest import read_manifest, stage_fields, with_stage_columns, write_manifest
from cleaner.dataset.manifest_rows import read_pieces
from cleaner.dataset.manifest_schema import contract_columns
from cleaner.errors import BadInputError
from tests.support.places import REPO

NUM = 6


def sound_manifest() -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "file_name": [f"cat/{i}.png" for i in range(NUM)],
            "image_id": [f"{i:064x}" for i in range(NUM)],
            "keep": [True] * NUM,
            "drop_stage": "",
            "drop_reason": "",
            "clean_label": "cat",
        }
    )
    rows = with_stage_columns(with_stage_columns(rows, "scan"), "noise")
    return rows.assign(readable=True, label="cat", split="train", width=9, height=7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_manifest(tmp_path / "m.parquet", sound_manifest(), stage="noise", parent_sha256="")
    return tmp_path / "m.parquet"


def forge(path: Path, name: str, row: int, value: Any, arrow_type: pa.DataType | None = None) -> None:
    """Put a value into a cell, whatever the schema says of it."""
    table = pq.read_table(path)
    values = table.column(name).to_pylist()
    values[row] = value
    at = table.column_names.index(name)
    forged = pa.array(values, arrow_type or table.schema.field(name).type)
    pq.write_table(table.set_column(at, name, forged), path)


NAMES = [*contract_columns(), *(field.name for field in stage_fields("noise"))]


def read_in_pieces(path: Path) -> object:
    return list(read_pieces(path, [*NAMES, "sharpness"]))


@pytest.mark.parametrize("read", [read_manifest, read_in_pieces])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[
            ("file_name", name)
            for name in ("/etc/hostname", "../x.png", "a/../../x", "a//b.png", "", ".", "a/", "x\0y")
        ],
        *[(name, None) for name in ("file_name", "keep", "width", "noise_prob", "label", "fault")],
        ("image_id", "0" * 63),
        ("image_id", "G" * 64),
        ("fault", "tired"),
        ("drop_stage", "evil"),
        ("noise_evidence", "rumour"),
        ("width", -2),
        ("noise_round", -9),
        ("noise_prob", 1.5),
        ("noise_prob", -0.1),
        ("sharpness", float("inf")),
    ],
)
def test_a_lie_is_named_with_its_row(path: Path, read: Callable[[Path], object], name: str, value: Any) -> None:
    read(path)
    forge(path, name, 4, value)
    with pytest.raises(BadInputError, match=rf"m\.parquet: {name} in row 4") as caught:
        read(path)
    assert caught.value.expected and caught.value.found and "--force" in caught.value.next_step


@pytest.mark.parametrize("read", [read_manifest, read_in_pieces])
@pytest.mark.parametrize(
    ("name", "arrow_type", "value"),
    [
        ("file_name", pa.binary(), b"a"),
        ("keep", pa.int8(), 1),
        ("width", pa.string(), "9"),
        ("width", pa.float32(), 9.0),
        ("noise_prob", pa.bool_(), True),
        ("label", pa.list_(pa.string()), ["cat"]),
    ],
)
def test_another_type_is_named(
    path: Path, read: Callable[[Path], object], name: str, arrow_type: pa.DataType, value: Any
) -> None:
    table = pq.read_table(path)
    other = pa.array([value] * NUM, arrow_type)
    pq.write_table(table.set_column(table.column_names.index(name), name, other), path)
    with pytest.raises(BadInputError, match=f"column {name}"):
        read(path)


def test_wider_types_of_other_programs_are_read_as_declared(path: Path) -> None:
    table = pq.read_table(path)
    wide = [
        f.with_type({"string": pa.large_string(), "int32": pa.int64(), "float": pa.float64()}.get(str(f.type), f.type))
        for f in table.schema
    ]
    pq.write_table(table.cast(pa.schema(wide)), path)
    found = read_manifest(path)
    assert found["width"].dtype == np.int32 and found["noise_prob"].dtype == np.float32
    pd.testing.assert_frame_equal(found, sound_manifest()[list(found.columns)], check_dtype=False)


@pytest.mark.parametrize(("name", "value"), [("file_name", "cat/3.png"), ("image_id", ""), ("readable", False)])
def test_columns_that_do_not_go_together_are_refused(path: Path, name: str, value: Any) -> None:
    forge(path, name, 2, value)
    with pytest.raises(BadInputError, match=name):
        read_manifest(path)


def test_rows_are_checked_without_pandas(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from cleaner.dataset.manifest_rows import read_images, read_pieces\n"
        f"names = {pq.read_schema(path).names}; list(read_pieces(Path({str(path)!r}), names))\n"
        f"read_images(Path({str(path)!r}), ['label'], ['0' * 64]); sys.exit('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or "pandas is loaded, which takes a quarter of a second"
