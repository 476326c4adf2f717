"""Every kind of export through the program that it is for: the same count, labels, order and bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.exports.readers import READERS, Sample
from tests.support.exports import make_set, write_to

ODD_LABELS = [
    "NA",
    "007",
    "+1",
    "a/b",
    "../../x",
    "ü日本",
    "x" * 300,
    " cat ",
    "cat",
    "__pycache__",
    ".h",
    "{a}",
    "nan",
]
ODD_NAMES = ["NA", "007", "+1", "ü日本", "x" * 250, "[a]", "{1..3}", "__x", ".y", "a%2Fb", "a'b", 'a"b', "a b ", "=1+1"]
_TEXTS = st.one_of(st.sampled_from(ODD_LABELS), st.text(min_size=1, max_size=100).filter(str.strip))
_NAMES = st.one_of(
    st.sampled_from(ODD_NAMES),
    st.text(
        st.characters(exclude_characters="/\0", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=60
    ),
)
_SETS = st.lists(st.tuples(_TEXTS, _NAMES), min_size=2, max_size=6, unique_by=lambda pair: pair[1])
_SUFFIX = {"csv": ".csv", "jsonl": ".jsonl", "parquet": ".parquet"}


def expected(manifest: pd.DataFrame) -> list[Sample]:
    """What a reader has to find, in the order of the manifest."""
    kept = manifest.sort_values("file_name")
    return list(zip(kept["clean_label"], kept["image_id"], strict=True))


def check(folder: Path, pairs: list[tuple[str, str]], kind: str, read: Callable[[Path], list[Sample]]) -> None:
    rows: list[dict[str, object]] = [
        {"file_name": f"{name}.png", "label": label, "repeats": 1 + i % 2} for i, (label, name) in enumerate(pairs)
    ]
    manifest = make_set(folder / "images", rows)
    out = folder / f"out{_SUFFIX.get(kind, '')}"
    result = write_to(kind, manifest, folder / "images", out)
    found = read(out)
    assert len(found) == result.num_files == len(pairs)
    if kind == "folder":  # it is read by class, and by name below that
        assert sorted(found) == sorted(expected(manifest))
    else:
        assert found == expected(manifest)


@pytest.mark.parametrize("reader", READERS)
def test_odd_labels_and_names(tmp_path: Path, reader: str) -> None:
    names = (ODD_NAMES * 2)[: len(ODD_LABELS)]
    check(tmp_path, list(zip(ODD_LABELS, names, strict=True)), *READERS[reader])


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pairs=_SETS)
def test_any_labels_and_names(
    tmp_path_factory: pytest.TempPathFactory, reader: str, pairs: list[tuple[str, str]]
) -> None:
    try:
        check(tmp_path_factory.mktemp("any"), pairs, *READERS[reader])
    except OSError as error:  # the file system refuses to hold the source
        assert error.errno == 36
