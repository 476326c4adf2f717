"""The class table of a report."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tests.support.report_page import Page


def test_the_class_table_is_that_of_the_manifest(figures: dict[str, Any], manifest: pd.DataFrame, page: Page) -> None:
    table = pd.DataFrame(figures["classes"]["table"]).set_index("label")
    pd.testing.assert_series_equal(
        table["before"], manifest["label"].value_counts(), check_names=False, check_dtype=False, check_like=True
    )
    kept = manifest[manifest["keep"]].groupby("clean_label")
    assert table["after"].to_dict() == kept.size().reindex(table.index, fill_value=0).to_dict()
    assert table["sampled"].to_dict() == kept["repeats"].sum().reindex(table.index, fill_value=0).to_dict()
    dropped = table[["noise", "labels", "copies", "other"]].sum(axis=1)
    assert (table["before"] == table["after"] + dropped).all()
    assert {a.get("data-v", "") for a in page.all("td")} >= {str(n) for n in table["noise"]}
    rows = [name for name in page.text if name in table.index]
    assert set(rows) >= set(table.index)
