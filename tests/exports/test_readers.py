"""Every kind of export through the program that it is for: the same count, labels, order and bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cleaner.exports.export import export
from cleaner.exports.kind import load_kind
from tests.exports.readers import READERS, Sample
from tests.support.exports import make_set
from tests.support.judged import make_judged

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
_CHARS = st.characters(exclude_characters="\ufffe\uffff", exclude_categories=["Cs"])  # no Unicode text holds the two
_TEXTS = st.one_of(st.sampled_from(ODD_LABELS), st.text(_CHARS, min_size=1, max_size=100).filter(str.strip))
_PRINTED = st.characters(exclude_characters="/", exclude_categories=["Cs", "Cc", "Zl", "Zp"])
_NAMES = st.one_of(st.sampled_from(ODD_NAMES), st.text(_PRINTED, min_size=1, max_size=60))
_SETS = st.lists(st.tuples(_TEXTS, _NAMES), min_size=2, max_size=6, unique_by=lambda pair: pair[1])


def expected(manifest: pd.DataFrame) -> list[Sample]:
    """What a reader has to find, in the order of the manifest."""
    kept = manifest.sort_values("file_name")
    return list(zip(kept["clean_label"], kept["image_id"], strict=True))


def check(folder: Path, pairs: list[tuple[str, str]], kind: str, read: Callable[[Path], list[Sample]]) -> None:
    rows: list[dict[str, object]] = [
        {"file_name": f"{name}.png", "label": label, "repeats": 1 + i % 2} for i, (label, name) in enumerate(pairs)
    ]
    manifest, images = make_set(folder / "images", rows), folder / "images"
    classes = sorted(set(manifest["label"]))
    probs = np.full((len(rows), len(classes)), 1 / len(classes))
    cleaned = make_judged(folder / "work", manifest, classes, probs, images_root=images)
    out = folder / f"out{(*load_kind(kind).suffixes, '')[0]}"
    result = export(cleaned, load_kind(kind), out)
    found = read(out)
    assert len(found) == result.num_files == len(pairs)
    if kind == "folder":  # it is read by class, and by name below that
        assert sorted(found) == sorted(expected(manifest))
    else:
        assert found == expected(manifest)


@pytest.mark.parametrize("reader", READERS)
def test_odd_labels_and_names(tmp_path: Path, reader: str) -> None:
    names = [*ODD_NAMES, "8", "9"][: len(ODD_LABELS)]
    check(tmp_path, list(zip(ODD_LABELS, names, strict=True)), *READERS[reader])


@pytest.mark.parametrize("reader", READERS)
def test_a_column_of_numbers_alone_stays_text(tmp_path: Path, reader: str) -> None:
    check(tmp_path, [("007", "1"), ("010", "2"), ("1e5", "3")], *READERS[reader])


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
