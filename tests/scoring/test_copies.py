"""Which copy stays, and which splits share pictures."""

from __future__ import annotations

import pandas as pd

from cleaner.scoring.copies import count_leaks, count_within, leak_examples, leaking, worse_copies


def rows(*given: tuple[str, int, str, str, int, int, int]) -> pd.DataFrame:
    columns = ["file_name", "duplicate_group", "split", "label", "width", "height", "file_bytes"]
    return pd.DataFrame(given, columns=columns).assign(keep=True)


def test_the_largest_stays_then_the_least_compressed_then_the_first() -> None:
    table = rows(
        ("a", 0, "train", "x", 30, 20, 900),
        ("b", 0, "train", "x", 40, 20, 100),
        ("c", 0, "train", "x", 20, 40, 300),
        ("d", 0, "train", "x", 40, 20, 300),
        ("e", 0, "train", "y", 4, 2, 3),
        ("f", 0, "test", "x", 4, 2, 3),
        ("g", -1, "train", "x", 4, 2, 3),
        ("h", -1, "train", "x", 4, 2, 3),
    )
    assert table["file_name"][worse_copies(table)].tolist() == ["a", "b", "d"]
    table.loc[table["file_name"] == "c", "keep"] = False
    assert table["file_name"][worse_copies(table)].tolist() == ["a", "b"]


def test_splits_that_share_pictures() -> None:
    table = rows(
        ("a", 0, "train", "x", 9, 9, 9),
        ("b", 0, "test", "x", 9, 9, 9),
        ("c", 0, "val", "x", 9, 9, 9),
        ("d", 1, "test", "x", 9, 9, 9),
        ("e", 1, "train", "y", 9, 9, 9),
        ("f", 2, "test", "x", 9, 9, 9),
        ("g", 2, "test", "x", 9, 9, 9),
        ("h", 2, "test", "y", 9, 9, 9),
        ("i", 3, "train", "x", 9, 9, 9),
        ("j", 3, "train", "x", 9, 9, 9),
    )
    assert table["file_name"][leaking(table)].tolist() == ["a", "e"]
    assert count_leaks(table) == {"test and train": 2, "test and val": 1, "train and val": 1}
    assert count_within(table) == {"test": 2}
    assert leak_examples(table, 5) == ["c = a = b", "e = d"]
    table.loc[table["split"] == "train", "keep"] = False
    assert not leaking(table).any() and count_leaks(table) == {"test and val": 1}


def test_no_copies() -> None:
    table = rows(("a", -1, "train", "x", 9, 9, 9))
    assert not worse_copies(table).any() and not leaking(table).any()
    assert count_leaks(table) == {} and count_within(table) == {} and leak_examples(table, 3) == []
